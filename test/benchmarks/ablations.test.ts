/** Every benchmark and every ablation, on a small model and small datasets. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { type Ablation, ablationJobs, ablationTables, variantsOf } from "../../src/benchmarks/ablation";
import { ablations } from "../../src/benchmarks/ablations";
import { benchmarks } from "../../src/benchmarks/registry";
import { disposeClip, loadClip } from "../../src/clip/load";
import type { Clip } from "../../src/clip/model";
import { drawFewShot } from "../../src/datasets/fewShot";
import { trainPictures } from "../../src/datasets/pictures";
import { type Dataset, loadDataset } from "../../src/datasets/split";
import { tf } from "../../src/engine/tf";
import type { Grid } from "../../src/experiments/benchmark";
import { rowsOf } from "../../src/experiments/job";
import type { Status } from "../../src/experiments/progress";
import { runGrid } from "../../src/experiments/runner";
import { changed, configFor, type Settings } from "../../src/methods/method";
import { methodNamed, methods } from "../../src/methods/registry";
import { loadPaper } from "../../src/results/paper";
import { runKey } from "../../src/results/store";
import { tableText } from "../../src/results/table";
import { gradientStep } from "../../src/training/train";
import { numericsVersion } from "../../src/util/numerics";
import { writeRandomClip } from "../randomClip";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";

let folder: string;
let clip: Clip;
let shapes: Dataset;
let other: Dataset;
let shiftedDataset: Dataset;
beforeAll(async () => {
  folder = temporaryFolder("ablations");
  for (const name of ["shapes", "other"]) await drawShapes(join(folder, name));
  [shapes, other] = ["shapes", "other"].map((name) => loadDataset(join(folder, name)));
  shiftedDataset = { ...loadDataset(join(folder, "shapes"), "disjoint"), name: "shapes-drawn", train: [], val: [] };
  clip = await loadClip(writeRandomClip({ textLayers: 2, visionLayers: 2, context: 64 }));
});
afterAll(() => {
  disposeClip(clip);
});

const small = (config: Settings): Settings => ({
  ...config,
  epochs: 2,
  batch: 8,
  ...(config.textTargetTemplates && { textTargetTemplates: config.textTargetTemplates.slice(0, 3) }),
});
const provenance = { kit: "0", engine: "a test's", numerics: numericsVersion(), versions: {} };

function recordingMeter() {
  const stages: string[] = [];
  return {
    stages,
    meter: { report: ({ stage, work, total }: Status) => work <= total && stages.push(stage), say() {}, done() {} },
  };
}

test("a method that differs in testing alone shares a training; others have their own", () => {
  const keyOf = (name: string) =>
    benchmarks["base-to-novel"].jobs({ clip, datasets: [shapes], seeds: [1], methods: [methodNamed(name)] })[0].training
      ?.key;
  expect(keyOf("mmrl-gpa")).toBe(keyOf("mmrl"));
  expect(keyOf("mmrl-src")).not.toBe(keyOf("mmrl"));
});

describe("ablations", () => {
  const paper = loadPaper();
  const trainedKeys = new Set<string>();

  test.each(Object.entries<Ablation>(ablations))(
    "%s: variants are different runs that train without tensor leaks",
    async (name, ablation) => {
      const variants = variantsOf(ablation, clip);
      const jobs = ablationJobs(variants, { clip, datasets: [shapes], seeds: [1], shots: [4] });
      expect(new Set(jobs.map((job) => runKey(job.identity))).size).toBe(variants.length);
      const table = ablation.paper;
      for (const { paper: row } of variants) if (row && table) expect(Object.keys(paper[table].rows)).toContain(row);

      const variantNames = ablation.variants.map((variant) => variant.name);
      expect(variantNames).toEqual(expect.arrayContaining((ablation.pairs ?? []).flat()));

      const pictures = trainPictures(drawFewShot(shapes, 1, 1).train, clip.preprocess, { batch: 4, seed: 1 });
      for await (const { pixels, labels } of pictures.epoch(1)) {
        for (const [k, { method, change }] of variants.entries()) {
          const key = jobs[k].training?.key ?? "";
          if (trainedKeys.has(key)) continue; // another variant has the same training steps
          trainedKeys.add(key);
          const before = tf.memory().numTensors;
          const defaults = configFor(method, "embedded", "baseToNovel");
          const task = {
            clip,
            classNames: shapes.classNames,
            config: change ? changed(method, defaults, change) : defaults,
            seed: 1,
          };
          const params = method.init(task);
          const learner = method.prepare(task);
          const size = clip.image.size;
          const step = gradientStep(learner, params, () => ({
            pixels: tf.tensor4d(pixels, [4, 3, size, size]),
            labels,
            at: [0, 0],
          }));
          expect([...step.terms.dataSync()].every(Number.isFinite), `${name} ${variants[k].name}`).toBe(true);
          tf.dispose([params, step.terms, step.gradients] as any);
          learner.dispose();
          expect(tf.memory().numTensors, `${name} ${variants[k].name}`).toBe(before);
        }
        break;
      }
    },
  );

  it("give a table with the paper's numbers in a column", async () => {
    const ablation = ablations.ensemble;
    const { stages, meter } = recordingMeter();
    const datasets = [{ ...shapes, name: "food" }]; // the paper's columns stand beside the embedded datasets
    const change = (config: Settings): Settings =>
      // the paper's Gaussian lies far behind two epochs, and is refused
      ({ ...small(config), ...(config.ensemble?.mean && { ensemble: { mean: 2, std: 1 } }) });
    const jobs = ablationJobs(ablation.variants, { clip, datasets, seeds: [1], shots: [4], change });
    const { runs } = await runGrid(jobs, { meter, provenance, root: join(folder, "ensemble") });
    expect(stages.filter((stage) => stage === "epoch 1/2")).toHaveLength(2);
    const text = tableText(ablationTables(ablation, rowsOf(jobs, runs), paper)[0]);
    expect(text).toMatch(/equal weights .* 83\.50/);
    expect(text.split("\n")).toHaveLength(ablation.variants.length + 4);
  });
});

describe("benchmarks", () => {
  const comparedMethods = ["clip", "probe", "promptsrc"].map((name) => methodNamed(name));
  const grid = (more: Partial<Grid>): Grid => ({
    clip,
    datasets: [],
    methods: comparedMethods,
    seeds: [1],
    change: small,
    ...more,
  });

  it("few-shot: one run per number of shots, but only one of zero-shot CLIP", async () => {
    const jobs = benchmarks["few-shot"].jobs(grid({ datasets: [{ ...shapes, name: "food" }], shots: [2] }));
    const { runs } = await runGrid(jobs, { meter: recordingMeter().meter, provenance, root: join(folder, "few") });
    expect(runs.map(({ method, shots }) => `${method} ${shots}`)).toEqual(["clip 0", "probe 2", "promptsrc 2"]);
    const [table] = benchmarks["few-shot"].tables(rowsOf(jobs, runs), comparedMethods, loadPaper());
    expect(tableText(table)).toMatch(/shots 0 +shots 2 +paper 1/);
    expect(table.rows[2]["paper 16"]).toBe(82.87);
  });

  it("cost: trainable parameters, FLOPs and times", async () => {
    const costMethods = ["clip", "cocoop", "promptsrc"].map((name) => methodNamed(name));
    const jobs = benchmarks.cost.jobs(grid({ datasets: [shapes], methods: costMethods }));
    const tensors = tf.memory().numTensors;
    const { runs } = await runGrid(jobs, { meter: recordingMeter().meter, provenance, root: join(folder, "cost") });
    expect(tf.memory().numTensors).toBe(tensors);
    const [table] = benchmarks.cost.tables(rowsOf(jobs, runs), costMethods, loadPaper());
    const promptsrc = table.rows.find((row) => row.method === "PromptSRC");
    expect(promptsrc).toMatchObject({ parameters: 2 * 4 * (32 + 48), paperTrain: 179.6 });
    for (const { metrics } of runs) expect(metrics["pictures a second"]).toBeGreaterThan(0);
  });

  it("cross-dataset and domain generalisation share one training run, also with later targets", async () => {
    const root = join(folder, "transfer");
    const [source, food, hard] = [
      { ...shapes, name: "generic" },
      { ...other, name: "food" },
      { ...shiftedDataset, name: "generic-hard" },
    ];
    const run = async (name: string, datasets: Dataset[]) => {
      const { stages, meter } = recordingMeter();
      const tensors = tf.memory().numTensors;
      const jobs = benchmarks[name].jobs(grid({ datasets, source, methods: [methods.promptsrc] }));
      const { runs, reused } = await runGrid(jobs, { meter, provenance, root });
      expect(tf.memory().numTensors).toBe(tensors);
      const [table] = benchmarks[name].tables(rowsOf(jobs, runs), comparedMethods, loadPaper());
      return { runs, reused, table, epochs: stages.filter((stage) => stage === "epoch 1/2").length };
    };
    const alone = await run("cross-dataset", []);
    const more = await run("cross-dataset", [food, source]);
    const shifted = await run("domain-generalisation", [hard]);
    expect([alone.epochs > 0, more.epochs, shifted.epochs]).toEqual([true, 0, 0]);
    expect([more.runs.map((r) => r.dataset), more.reused.length]).toEqual([["generic", "food"], 1]);
    expect(more.runs.map((r) => r.source?.dataset)).toEqual([undefined, "generic"]);
    expect(shifted.runs.map((r) => r.dataset)).toEqual(["generic", "generic-hard"]);
    expect(shifted.runs[0].metrics).toEqual(alone.runs[0].metrics);
    expect(more.table.rows[0]).toMatchObject({ "paper ImageNet": 71.27, "paper average": 65.81 });
    expect(() =>
      benchmarks["cross-dataset"].jobs(grid({ datasets: [other], source: shapes, methods: [methods.probe] })),
    ).not.toThrow();
    expect(() => benchmarks["base-to-novel"].jobs(grid({ datasets: [shapes], methods: [methods.probe] }))).toThrow(
      "asks for others",
    );
  });
});
