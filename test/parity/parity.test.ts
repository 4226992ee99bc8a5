/** Compares with numbers of the official code (test/golden), on the engine of this process and on the WASM engine. */
import { execFile } from "node:child_process";
import { cpSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { tf } from "../../src/engine/tf";
import { readSafetensors, writeSafetensors } from "../../src/io/safetensors";
import { parity } from "../../src/parity/replay";
import { temporaryFolder } from "../temporary";

const golden = join("test", "golden");

test("values, gradients, losses, parameters, weights, rates and draws agree with the official code", async () => {
  const before = tf.memory().numTensors;
  const lines: string[] = [];
  const report = await parity(golden, (line) => lines.push(line));
  expect(lines.filter((line) => line.startsWith("FAIL"))).toEqual([]);
  expect(report.passed).toBeGreaterThan(950);
  expect(lines[lines.length - 1]).toBe(`${report.passed} passed, 0 failed`);
  expect(tf.memory().numTensors).toBe(before);
}, 300_000);

test("they agree on the WASM engine too", async () => {
  const code = `require("./src/parity/replay").parity(${JSON.stringify(golden)}, console.log).then(({ failed }) => process.exit(failed ? 1 : 0))`;
  const env = { ...process.env, PROMPTSRC_ENGINE: "wasm" };
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", "--eval", code], {
    env,
    maxBuffer: 1 << 24,
  });
  expect(stdout).toMatch(/^engine wasm/);
  expect(stdout.trim().split("\n").pop()).toMatch(/^\d{3,4} passed, 0 failed$/);
}, 300_000);

test("a wrong number fails, and files of unknown methods neither pass nor fail", async () => {
  const folder = temporaryFolder("parity");
  cpSync(golden, folder, { recursive: true });
  const selected = ["model.safetensors", "common.safetensors", "ivlp_depth1.safetensors"];
  for (const name of readdirSync(folder))
    if (name.endsWith(".safetensors") && !selected.includes(name)) rmSync(join(folder, name));
  const path = join(folder, "ivlp_depth1.safetensors");
  const { tensors } = readSafetensors(path);
  tensors["step0.grad.vision.0"].data[5] *= 1.01;
  writeSafetensors(path, tensors);
  writeSafetensors(join(folder, "tomorrow.safetensors"), {});
  const lines: string[] = [];
  const { failed } = await parity(folder, (line) => lines.push(line));
  expect(failed).toBe(1);
  expect(lines.find((line) => line.startsWith("FAILED"))).toMatch(/ivlp_depth1 step0\.grad\.vision\.0/);
  expect(lines.find((line) => line.includes("tomorrow"))).toMatch(/^- .*not yet covered/);
}, 300_000);

test("a folder without reference numbers is an error", async () => {
  await expect(parity(temporaryFolder("parity"), () => {})).rejects.toThrow(/holds no reference numbers/);
  await expect(parity("nowhere", () => {})).rejects.toThrow(/nowhere is no folder/);
});
