/**
 * Repeats the computations of a folder of reference numbers with the functions that train and test, and compares the
 * results. The folder may contain:
 * - a model with `meta.json`, `common.safetensors` and one file per method, whose own settings, if it has any, are in a
 *   JSON file of the same name (test/golden/README.md)
 * - `lr_schedules.json`
 * - `fewshot_draws.json`
 * - `expected_ids.json` with a tokenizer.json
 * - `cases.json` with reference pixels
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { disposeClip, loadClip } from "../clip/load";
import { engineLine, startEngine } from "../engine/tf";
import { readJson } from "../io/readJson";
import { readSafetensors } from "../io/safetensors";
import { methods } from "../methods/registry";
import { learningRate } from "../training/schedule";
import { Checks, type ParityReport } from "./checks";
import { drawsParity, preprocessParity, tokenParity } from "./data";
import { type MethodFile, readMeta, runOf, runOfFile } from "./meta";
import { commonParity } from "./model";
import { trainingParity } from "./training";

/**
 * Prints one line per check, and finally `N passed, N failed`.
 * @throws if the folder contains no reference numbers
 */
export async function parity(folder: string, print: (line: string) => void): Promise<ParityReport> {
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    throw new Error(`${folder} is no folder; give one with reference numbers`);
  print(engineLine(await startEngine()));
  const checks = new Checks(print);
  const hasFile = (name: string) => existsSync(join(folder, name));
  const runIn = async (name: string, run: (folder: string, print: (line: string) => void) => Promise<ParityReport>) =>
    checks.group(name, async () => {
      const { passed, failed } = await run(folder, print);
      checks.report.passed += passed;
      checks.report.failed += failed;
    });

  if (hasFile("meta.json") && hasFile("model.safetensors"))
    await checks.group("model", () => modelParity(folder, checks));
  if (hasFile("lr_schedules.json"))
    await checks.group("lr_schedules", () => scheduleParity(join(folder, "lr_schedules.json"), checks));
  if (hasFile("fewshot_draws.json")) await runIn("fewshot_draws", drawsParity);
  if (hasFile("expected_ids.json")) await runIn("expected_ids", tokenParity);
  if (hasFile("cases.json")) await runIn("cases", preprocessParity);

  const { passed, failed } = checks.report;
  if (passed + failed === 0) {
    throw new Error(
      `${folder} holds no reference numbers ` +
        "(meta.json with model.safetensors, lr_schedules.json, fewshot_draws.json, expected_ids.json or cases.json)",
    );
  }
  print(`${passed} passed, ${failed} failed`);
  return checks.report;
}

async function modelParity(folder: string, checks: Checks): Promise<void> {
  const meta = readMeta(join(folder, "meta.json"));
  const clip = await loadClip(folder);
  try {
    const common = join(folder, "common.safetensors");
    const commonTensors = existsSync(common) ? readSafetensors(common).tensors : undefined;
    if (commonTensors) await checks.group("common", () => commonParity(common, clip, meta, checks));
    const files = readdirSync(folder).filter(
      (name) => name.endsWith(".safetensors") && name !== "model.safetensors" && name !== "common.safetensors",
    );
    for (const file of files.sort()) {
      const label = file.replace(/\.safetensors$/, "");
      const { tensors } = readSafetensors(join(folder, file));
      const beside = join(folder, `${label}.json`);
      const own: MethodFile | undefined = existsSync(beside) ? readJson(beside) : undefined;
      const run = own ? runOfFile(label, own, meta) : runOf(label, meta, tensors["init.ctx"]?.shape.slice(-2)[0]);
      const method = Object.values(methods).find(({ name }) => name === run.method);
      if (!method?.trainable) {
        checks.note(label, "not yet covered: the kit has no trainable method of this name");
      } else if (!commonTensors?.images || !commonTensors.labels) {
        checks.fail(label, "common.safetensors is missing or contains no images and labels");
      } else {
        const replay = { label, expected: tensors, method, clip, meta: { ...meta, ...own }, config: run.config };
        await checks.group(label, () =>
          trainingParity(replay, commonTensors.images, commonTensors.labels.data, checks),
        );
      }
    }
  } finally {
    disposeClip(clip);
  }
}

/**
 * Checks lists of learning rates, one list per configuration with one rate per epoch. The first rate is the warm-up
 * rate, the second is the full rate.
 */
function scheduleParity(path: string, checks: Checks): void {
  const schedules: Record<string, number[]> = JSON.parse(readFileSync(path, "utf8"));
  for (const [name, expected] of Object.entries(schedules)) {
    const settings = { epochs: expected.length, lr: expected[1] ?? 0, warmup: { epochs: 1, lr: expected[0] } };
    const rates = expected.map((_, i) => learningRate(i + 1, settings));
    checks.same(`lr_schedules ${name}`, rates, expected, { relative: 1e-9, absolute: 1e-15 });
  }
}
