/**
 * Settings of the GPU, which TensorFlow and NVIDIA's libraries read from the environment when they are loaded:
 * - PROMPTSRC_TF32=1 (`--tf32`) lets matrix products round their inputs to TF32 (10 bits of mantissa instead of 23). It is off
 *   by default, because its products differ from those of float32 in the fourth digit.
 * - PROMPTSRC_GPU_MEMORY is the most of the GPU's memory that TensorFlow may take, in GB. Without it, TensorFlow takes
 *   what it needs and keeps what it took.
 */
import { execFileSync } from "node:child_process";
import { UsageError } from "../util/errors";

/** The GPU that TensorFlow will use: the last that nvidia-smi lists. */
type Gpu = { name: string; memoryGB: number; driver: string };

/** @returns undefined where nvidia-smi is missing or fails: then there is no driver that CUDA could use */
export function findGpu(): Gpu | undefined {
  try {
    const query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"];
    const lines = execFileSync("nvidia-smi", query, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    const [name, mebibytes, driver] = (lines.trim().split("\n").pop() as string).split(", ");
    return { name, memoryGB: (Number(mebibytes) * 2 ** 20) / 1e9, driver };
  } catch {
    return undefined;
  }
}

export const usesTf32 = (): boolean => process.env.PROMPTSRC_TF32 === "1";

/** What a number depends on besides float32: part of the identity of trainings, results and stored features. */
export const precision = (): "tf32" | undefined => (usesTf32() ? "tf32" : undefined);

/**
 * Sets the variables that the libraries read; call it before they are loaded.
 * @throws UsageError where PROMPTSRC_TF32 is neither 0 nor 1, or PROMPTSRC_GPU_MEMORY is no amount that the GPU has
 */
export function applyGpuSettings(): void {
  const { PROMPTSRC_TF32: tf32 = "0", PROMPTSRC_GPU_MEMORY: limit } = process.env;
  if (!["", "0", "1"].includes(tf32)) throw new UsageError(`PROMPTSRC_TF32 is "${tf32}"; use 1 or 0`);
  // 0 overrides what TensorFlow asks of cuBLAS and cuDNN, which is TF32 by default.
  if (usesTf32()) delete process.env.NVIDIA_TF32_OVERRIDE;
  else process.env.NVIDIA_TF32_OVERRIDE = "0";
  process.env.TF_FORCE_GPU_ALLOW_GROWTH ??= "true";
  delete process.env.PROMPTSRC_GPU_FRACTION;
  if (!limit) return;
  const gigabytes = Number(limit);
  if (!(gigabytes > 0)) throw new UsageError(`PROMPTSRC_GPU_MEMORY is "${limit}"; use a number of GB, such as 8`);
  const gpu = findGpu();
  if (!gpu) return; // the CPU runs, and no GPU's memory is taken
  if (gigabytes > gpu.memoryGB)
    throw new UsageError(
      `PROMPTSRC_GPU_MEMORY is ${limit} GB, but ${gpu.name} has ${gpu.memoryGB.toFixed(1)} GB; use less, or leave it unset`,
    );
  process.env.PROMPTSRC_GPU_FRACTION = String(gigabytes / gpu.memoryGB);
}
