/**
 * A stored training or stored predictions whose file was damaged are not believed: the file is set aside, and what it
 * held is computed again and gives the same numbers.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { baseToNovelJobs } from "../../src/benchmarks/baseToNovel";
import { disposeClip, loadClip } from "../../src/clip/load";
import { baseNovel } from "../../src/datasets/baseNovel";
import { loadDataset } from "../../src/datasets/split";
import { startEngine } from "../../src/engine/tf";
import { accuracyOf, firstOfSameSentence } from "../../src/experiments/evaluate";
import { trainedFile } from "../../src/experiments/job";
import { meter } from "../../src/experiments/progress";
import { provenance } from "../../src/experiments/provenance";
import { runGrid } from "../../src/experiments/runner";
import { methods } from "../../src/methods/registry";
import { findPredictions, predictionsFile, predictionsOf, type TestPredictions } from "../../src/results/predictions";
import { runFile } from "../../src/results/store";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";

it.each([
  ["one number that is not finite", (bytes: Buffer) => bytes.writeFloatLE(Number.NaN, bytes.length - 400)],
  ["numbers that may be", (bytes: Buffer) => bytes.writeFloatLE(0.125, bytes.length - 400)],
])("%s in the file of a training", async (_, damage) => {
  const root = temporaryFolder("damaged");
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
  }
});

it("predictions of a run: the stored accuracies are counted from them, and what is damaged is predicted again", async () => {
  const root = temporaryFolder("predictions");
  const clip = await loadClip("test/golden");
  try {
    await drawShapes(join(root, "shapes"));
    const datasets = [loadDataset(join(root, "shapes"))];
    const change = (config: object) => ({ ...config, epochs: 1 });
    const [job] = baseToNovelJobs({
      clip,
      datasets,
      methods: [methods.ivlp],
      seeds: [1],
      shots: [1],
      change,
      predictions: true,
    });
    const screen = { update() {}, print() {}, clear() {} };
    const options = { meter: meter(screen), provenance: provenance(await startEngine()), root };
    const before = await runGrid([job], options);
    const [run] = before.runs;
    const stored = findPredictions(run, root) as TestPredictions;
    for (const [name, dataset] of Object.entries(baseNovel(datasets[0]))) {
      const { classNames, pictures } = stored[name];
      expect(classNames).toEqual(dataset.classNames);
      expect(accuracyOf(pictures, firstOfSameSentence(classNames)).exact).toBe(run.metrics[name]);
    }
    expect((await runGrid([job], options)).reused).toEqual([run.key]);

    const file = predictionsFile(run, root);
    const bytes = readFileSync(file);
    bytes.writeFloatLE(0.125, bytes.length - 40);
    writeFileSync(file, bytes);
    const again = await runGrid([job], options);
    expect(existsSync(`${file}.damaged`)).toBe(true);
    expect(again.reused).toEqual([]);
    expect(findPredictions(again.runs[0], root)).toEqual(stored);
    expect(() => predictionsOf([{ row: "ivlp", run }], root)).toThrow(
      "run base-to-novel --methods ivlp --datasets shapes --seeds 1 --predictions",
    ); // those of an earlier run with this key are not taken for its own
  } finally {
    disposeClip(clip);
  }
});
