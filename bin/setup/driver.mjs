/** The NVIDIA driver of this machine, and whether CUDA 12, for which TensorFlow's wheels are built, runs on it. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

/**
 * The oldest Linux driver that runs programs of any CUDA 12 release
 * (https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html).
 */
const oldest = [525, 60, 13];

/** The version in the text of /proc/driver/nvidia/version or nvidia-smi: [580, 159, 4]. undefined where there is none */
export const versionIn = (text) =>
  /\b(\d{3})\.(\d+)(?:\.(\d+))?\b/
    .exec(text)
    ?.slice(1)
    .map((part) => Number(part ?? 0));

/** Why CUDA cannot be used with a driver of that version; undefined if it can. */
export function tooOld(version) {
  const at = version.findIndex((part, i) => part !== oldest[i]);
  if (at < 0 || version[at] > oldest[at]) return undefined;
  return `the NVIDIA driver ${version.join(".")} is too old for CUDA 12, which needs ${oldest.join(".")} or newer`;
}

/** The driver's version; undefined where no NVIDIA driver is found. */
export function nvidiaDriver() {
  const [linux, wsl] = ["/proc/driver/nvidia/version", "/usr/lib/wsl/lib/nvidia-smi"];
  if (existsSync(linux)) return versionIn(readFileSync(linux, "utf8"));
  const query = ["--query-gpu=driver_version", "--format=csv,noheader"];
  return versionIn(spawnSync(existsSync(wsl) ? wsl : "nvidia-smi", query, { encoding: "utf8" }).stdout ?? "");
}
