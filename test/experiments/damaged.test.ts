/** A stored training whose file was damaged is not believed: it is set aside, and the training gives the same numbers. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { baseToNovelJobs } from "../../src/benchmarks/baseToNovel";
import { disposeClip, loadClip } from "../../src/clip/load";
import { loadDataset } from "../../src/datasets/split";
import { startEngine } from "../../src/engine/tf";
import { meter } from "../../src/experiments/progress";
import { provenance } from "../../src/experiments/provenance";
import { runGrid, trainedFile } from "../../src/experiments/runner";
import { methods } from "../../src/methods/registry";
import { runFile } from "../../src/results/store";
import { drawShapes } from "../shapes";

it.each([
  ["one number that is not finite", (bytes: Buffer) => bytes.writeFloatLE(Number.NaN, bytes.length - 400)],
  ["numbers that may be", (bytes: Buffer) => bytes.writeFloatLE(0.125, bytes.length - 400)],
])("%s in the file of a training", async (_, damage) => {
  const root = mkdtempSync(join(tmpdir(), "damaged-"));
  const clip = await loadClip("test/golden");
  try {
    await drawShapes(join(root, "shapes"));
    const datasets = [loadDataset(join(root, "shapes"))];
    const change = (config: object) => ({ ...config, epochs: 2 });
    const [job] = baseToNovelJobs({ clip, datasets, methods: [methods.ivlp], seeds: [1], shots: [1], change });
    const screen = { update() {}, print() {}, clear() {} };
    const options = { meter: meter(screen), provenance: provenance(await startEngine()), root };
    const before = await runGrid([job], options);

    const trained = trainedFile(job.training?.key ?? "", root);
    const bytes = readFileSync(trained);
    damage(bytes);
    writeFileSync(trained, bytes);
    rmSync(runFile(job.identity, root));
    const after = await runGrid([job], options);
    expect(after.runs[0].metrics).toEqual(before.runs[0].metrics);
    expect(existsSync(`${trained}.damaged`)).toBe(true);
  } finally {
    disposeClip(clip);
    rmSync(root, { recursive: true, force: true });
  }
});
