/** The diagnostics of a training run (src/analysis), and their figures and tables. */
import { join } from "node:path";
import { sampleCorrelation } from "simple-statistics";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { imageAttention, textAttention } from "../../src/analysis/attention";
import { anglesOf, batchOf, confusionOf, termsOf } from "../../src/analysis/diagnostics";
import { distances, type Path, pathOf, withParams } from "../../src/analysis/trajectory";
import { baseToNovelJobs } from "../../src/benchmarks/baseToNovel";
import { tokenise } from "../../src/clip/fast/suffixes";
import { disposeClip, loadClip } from "../../src/clip/load";
import type { Clip } from "../../src/clip/model";
import { embedded } from "../../src/configs/presets";
import { baseNovel } from "../../src/datasets/baseNovel";
import { type Dataset, loadDataset } from "../../src/datasets/split";
import { tf } from "../../src/engine/tf";
import { meter } from "../../src/experiments/progress";
import { runGrid } from "../../src/experiments/runner";
import { fewShotFigure } from "../../src/figures/fewShot";
import { trajectoryFigure } from "../../src/figures/trajectory";
import { transferFigure } from "../../src/figures/transfer";
import { promptSets } from "../../src/methods/ivlp";
import type { Settings } from "../../src/methods/method";
import { methods } from "../../src/methods/registry";
import type { AccuracyScore } from "../../src/results/accuracy";
import { changesOf, forgettingTable } from "../../src/results/forgetting";
import { loadPaper } from "../../src/results/paper";
import type { Run } from "../../src/results/store";
import { numericsVersion } from "../../src/util/numerics";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";

const { clip: zeroShot, ivlp, promptsrc } = methods;
const change = (config: Settings): Settings => ({
  ...config,
  epochs: 3,
  batch: 8,
  ...(config.ensemble && { ensemble: { mean: 2, std: 1 } }),
  ...(config.textTargetTemplates && { textTargetTemplates: config.textTargetTemplates.slice(0, 2) }),
});

let folder: string;
let clip: Clip;
let base: Dataset;
let path: Path;
let run: Run;
beforeAll(async () => {
  folder = temporaryFolder("inside");
  await drawShapes(join(folder, "shapes"));
  clip = await loadClip("test/golden");
  const dataset = loadDataset(join(folder, "shapes"));
  base = baseNovel(dataset).base;
  const task = {
    clip,
    classNames: base.classNames,
    config: { ...change(embedded.baseToNovel), consistency: "l1" },
    seed: 1,
  };
  const [job] = baseToNovelJobs({
    clip,
    datasets: [dataset],
    methods: [promptsrc],
    seeds: [1],
    shots: [4],
    perEpoch: true,
    change,
  });
  const silent = meter({ print() {}, update() {}, clear() {} });
  [run] = (
    await runGrid([job], {
      meter: silent,
      provenance: { kit: "0", engine: "a test's", numerics: numericsVersion(), versions: {} },
      root: folder,
    })
  ).runs;
  path = pathOf(promptsrc, task, job, folder);
  expect(() => pathOf(promptsrc, task, job, join(folder, "elsewhere"))).toThrow(
    "is missing; delete the stored run and run it again",
  );
});
afterAll(() => {
  disposeClip(clip);
});

const sum = (list: number[]) => list.reduce((a, b) => a + b, 0);

describe("diagnostics of a training run", () => {
  it("loads the parameters of each epoch; their average is nearest to the epoch of largest weight", () => {
    expect(path.epochs).toHaveLength(4);
    const distanceByEpoch = distances(path);
    expect(distanceByEpoch[0]).toBe(1);
    expect(distanceByEpoch.indexOf(Math.min(...distanceByEpoch))).toBe(2);
  });

  it("attention sums to 1 over all keys; prompts are an image's last keys and replace words of a text", async () => {
    const { pixels } = await batchOf(base.test.slice(0, 2), clip);
    const tensors = tf.memory().numTensors;
    const imageTokens = 1 + (clip.image.size / clip.image.patch) ** 2;
    const ids = tokenise(clip, `a photo of a ${base.classNames[0]}.`);
    const frozen = [imageAttention(clip, pixels, []).flat(), textAttention(clip, ids, [])];
    const prompted = withParams(path.final, (params) => [
      imageAttention(clip, pixels, promptSets(params, "vision")).flat(),
      textAttention(clip, ids, promptSets(params, "text")),
    ]);
    for (const row of [...frozen, ...prompted].flat()) expect(sum(row)).toBeCloseTo(1, 4);
    expect(frozen[0].map((row) => row.length)).toEqual(frozen[0].map(() => imageTokens));
    expect(prompted[0].map((row) => row.length)).toEqual(frozen[0].map(() => imageTokens + 4));
    expect(prompted[1].map((row) => row.length)).toEqual(frozen[1].map(() => ids.length));
    // The prompts do not change CLS and the patches before the first block, so their attention there is nearly the
    // same.
    const [withoutPrompts, withPrompts] = [frozen[0][0], prompted[0][0].slice(0, imageTokens)];
    expect(sampleCorrelation(withoutPrompts, withPrompts)).toBeGreaterThan(0.99);
    expect(tf.memory().numTensors).toBe(tensors);
    pixels.dispose();
  });

  it("computes loss terms, angles and predictions for any parameters", async () => {
    const batch = await batchOf(base.test, clip);
    const tensors = tf.memory().numTensors;
    const terms = termsOf(promptsrc, path.task, batch, path.epochs);
    for (const { total, ...parts } of terms) expect(sum(Object.values(parts))).toBeCloseTo(total, 4);
    expect(terms[3].ce).toBeLessThan(terms[0].ce);
    const templates = path.task.config.textTargetTemplates.slice(0, 1);
    const oneTemplate = {
      ...path.task,
      config: { ...path.task.config, zeroShotTemplates: templates, textTargetTemplates: templates },
    };
    expect(anglesOf(zeroShot, oneTemplate, batch, [{}])[0].text).toBeCloseTo(0, 1);
    expect(anglesOf(promptsrc, path.task, batch, path.epochs)[3].text).toBeGreaterThan(0);
    const rows = withParams(path.final, (params) => confusionOf(promptsrc, path.task, batch, params));
    for (const row of rows) expect(sum(row)).toBeCloseTo(1, 4);
    expect(tf.memory().numTensors).toBe(tensors);
    batch.pixels.dispose();
  });
});

describe("figures and tables", () => {
  it("show the change of accuracy since the first epoch", () => {
    const novel = [50, 52, 47, 46];
    const runs = [1, 2].map((seed) => ({
      ...run,
      seed,
      epochs: novel.map((value, e) => ({
        epoch: e + 1,
        lr: 1,
        losses: {},
        metrics: { base: 60 + e, novel: value + seed },
      })),
    }));
    expect(changesOf(runs).map((c) => [c.base.mean, c.novel.mean])).toEqual([
      [0, 0],
      [1, 2],
      [2, -3],
      [3, -4],
    ]);
    expect(forgettingTable(runs, [promptsrc]).rows[0]).toMatchObject({
      start: 51.5,
      best: 53.5,
      at: 2,
      end: 47.5,
      change: -4,
      since: 3,
    });
    expect(trajectoryFigure(runs, [promptsrc]).alt).toContain("PromptSRC base 3.0, novel -4.0");
    expect(() => changesOf([{ ...run, epochs: [] }])).toThrow("no accuracy per epoch");
  });

  const score = (method: string, dataset: string, column: string, accuracy: number): AccuracyScore[] =>
    [1, 2].map((seed) => ({ method, dataset, column, seed, accuracy: accuracy + seed }));

  it("show few-shot accuracy, the paper's in a menu; the mean omits methods without runs on all datasets", () => {
    const scores = [
      ...["food", "flags"].flatMap((dataset) => [
        ...score("clip", dataset, "0", 40),
        ...score("promptsrc", dataset, "1", 50),
      ]),
      ...score("ivlp", "food", "1", 45),
    ];
    const figure = fewShotFigure(scores, [zeroShot, ivlp, promptsrc], loadPaper());
    const labels = (figure.layout.updatemenus?.[0].buttons ?? []).map((button) => button.label);
    expect(labels).toEqual(["mean of 2 datasets", "the paper's numbers", "food", "flags"]);
    expect(figure.alt).toBe("Few-shot accuracy (%) with 1 shots: CLIP 41.5; PromptSRC 51.5");
  });

  it("show transfer as percentage points above the first method", () => {
    const scores = ["generic", "food", "flags"].flatMap((dataset, k) => [
      ...score("clip", dataset, dataset, 40 + k),
      ...score("promptsrc", dataset, dataset, 42 + 2 * k),
    ]);
    const figure = transferFigure("Cross-dataset", scores, "generic", [zeroShot, promptsrc], loadPaper().crossDataset);
    const [, dots] = figure.data as { y: number[] }[];
    expect(dots.y).toEqual([2, 4, 3, 3.5]); // generic, flags, food, average
    expect(() => transferFigure("Cross-dataset", [], "generic", [zeroShot], loadPaper().crossDataset)).toThrow(
      "no run of clip",
    );
  });
});
