/**
 * What a method costs on a dataset's classes: numbers it learns, operations and time of a training step, operations and time of testing
 * (PromptSRC, appendix: SUN397, its set of most classes). Times are this machine's, the operations of matrix products are counted as
 * they are done; TensorFlow's native engine alone can count them.
 */
import { forgetImages } from "../cache/imageFeatures";
import type { Optimisation } from "../configs/settings";
import { drawFewShot } from "../datasets/fewShot";
import { testBatches, trainPictures } from "../datasets/pictures";
import type { Dataset } from "../datasets/split";
import { profileKernels } from "../engine/profiler";
import { tf } from "../engine/tf";
import { type Benchmark, byShots, configOf, type Grid, type Row } from "../experiments/benchmark";
import { testBatch } from "../experiments/evaluate";
import type { Job, JobContext, JobResult } from "../experiments/runner";
import { configJson } from "../experiments/trainAndEvaluate";
import type { PixelBatch } from "../io/preprocess";
import type { Method, Params, Task } from "../methods/method";
import { type Settings, trainingSettings } from "../methods/method";
import { type Paper, paperTitle } from "../results/paper";
import { median } from "../results/statistics";
import type { Column, Labelled, Table } from "../results/table";
import { sgdStep } from "../training/sgd";
import { gradientStep } from "../training/train";

/** Steps and test batches that are timed, after `warmup` that are not. */
const timed = 20;
const warmup = 3;

function costJob(
  { clip, subset = "test" }: Grid,
  dataset: Dataset,
  method: Method,
  config: Settings,
  seed: number,
  shots: number,
): Job {
  const steps = method.trainable ? timed + warmup : 0;
  const tests = timed + warmup;
  return {
    identity: {
      benchmark: "cost",
      method: method.name,
      dataset: dataset.name,
      split: dataset.split,
      subset,
      shots,
      seed,
      config: configJson(config),
      data: dataset.fingerprint,
      model: clip.fingerprint,
    },
    row: method.name,
    place: `${dataset.name} \u00b7 ${method.title}`,
    testing: 3 * steps * (config.batch ?? 0) + tests * testBatch,
    suffices: () => true,
    run: (hooks) =>
      measureMethod(
        { clip, classNames: dataset.classNames, config: trainingSettings(method, config), seed },
        method,
        drawFewShot(dataset, shots, seed),
        subset,
        hooks,
      ),
  };
}

async function measureMethod(
  task: Task,
  method: Method,
  dataset: Dataset,
  subset: "test" | "val",
  { signal, report }: JobContext,
): Promise<JobResult> {
  const begun = performance.now();
  const { clip, config, seed } = task;
  const metrics: Record<string, number> = {};
  const start = tf.tidy(() => method.init(task));
  let params = start;
  let work = 0;
  const done = (pictures: number, weight: number, stage: string) => {
    work += pictures * weight;
    report({ stage, work, count: work, unit: "pictures" });
  };
  try {
    metrics.parameters = Object.values(params).reduce((sum, { size }) => sum + size, 0);
    if (method.trainable) {
      const pictures = trainPictures(dataset.train, clip.preprocess, {
        batch: config.batch,
        augmentation: config.augmentation,
        seed,
      });
      const learner = method.prepare(task);
      const seconds: number[] = [];
      let velocity: Params | null = null;
      const step = ({ pixels, labels }: PixelBatch) => {
        forgetImages();
        const before = performance.now();
        const { gradients, terms } = gradientStep(learner, params, () => ({
          ...tensors(task, pixels, labels),
          at: [0, seconds.length],
        }));
        const next = sgdStep(params, velocity, gradients, config as Optimisation);
        tf.dispose([gradients, terms, params, velocity] as any);
        [params, velocity] = [next.params, next.velocity];
        for (const p of Object.values(params)) p.dataSync();
        seconds.push((performance.now() - before) / 1000);
      };
      try {
        for (let epoch = 1; seconds.length < timed + warmup; epoch++) {
          for await (const batch of pictures.epoch(epoch)) {
            signal?.throwIfAborted();
            if (seconds.length === timed + warmup) break;
            if (seconds.length === 0) metrics["GFLOP a step"] = giga(() => step(batch));
            else step(batch);
            done(batch.labels.length, 3, "training steps");
          }
        }
      } finally {
        learner.dispose();
        if (velocity) tf.dispose(velocity);
      }
      metrics["ms a step"] = 1000 * median(seconds.slice(warmup));
    }
    const classify = () => method.classify(task, params);
    let classifier = classify();
    try {
      classifier.dispose();
      metrics["GFLOP for the classes"] = giga(() => {
        classifier = classify();
      });
      const rates: number[] = [];
      while (rates.length < timed + warmup) {
        for await (const { pixels, labels } of testBatches(dataset[subset], clip.preprocess, testBatch)) {
          signal?.throwIfAborted();
          if (rates.length === timed + warmup) break;
          const test = () => tf.tidy(() => classifier.logits(tensors(task, pixels, labels).pixels).dataSync());
          forgetImages();
          const before = performance.now();
          if (rates.length === 0) metrics["GFLOP a picture"] = giga(test) / labels.length;
          else test();
          rates.push((1000 * labels.length) / (performance.now() - before));
          done(labels.length, 1, "testing");
        }
      }
      metrics["pictures a second"] = median(rates.slice(warmup));
    } finally {
      classifier.dispose();
    }
  } finally {
    tf.dispose(params);
  }
  const counted = Object.entries(metrics).filter(([, value]) => !Number.isNaN(value));
  return { metrics: Object.fromEntries(counted), epochs: [], seconds: (performance.now() - begun) / 1000 };
}

const tensors = ({ clip: { preprocess } }: Task, pixels: Float32Array, labels: Int32Array) => ({
  pixels: tf.tensor4d(pixels, [labels.length, 3, preprocess.output.height, preprocess.output.width]),
  labels,
});

/** Operations of the matrix products in `f`, in 10^9; not a number where the engine cannot count them. */
function giga(f: () => void): number {
  if (tf.getBackend() !== "tensorflow") {
    f();
    return Number.NaN;
  }
  return profileKernels(f).reduce((sum, { flops }) => sum + flops, 0) / 1e9;
}

const columns: Column[] = [
  { key: "dataset", title: "dataset" },
  { key: "method", title: "method" },
  { key: "parameters", title: "parameters", digits: 0 },
  { key: "GFLOP a step", title: "GFLOP a step", digits: 2 },
  { key: "ms a step", title: "ms a step" },
  { key: "GFLOP for the classes", title: "GFLOP for the classes", digits: 3 },
  { key: "GFLOP a picture", title: "GFLOP a picture", digits: 3 },
  { key: "pictures a second", title: "pictures a second", digits: 0 },
  { key: "paperParameters", title: "parameters", group: "paper", digits: 0 },
  { key: "paperTrain", title: "GFLOP (train)", group: "paper" },
  { key: "paperMinutes", title: "training (min)", group: "paper", digits: 2 },
  { key: "paperRate", title: "images/s", group: "paper", digits: 0 },
];

function costTable(rows: Row[], named: Labelled[], paper: Paper): Table {
  const datasets = [...new Set(rows.map(({ run }) => run.dataset))];
  return {
    title: "Cost",
    columns,
    rows: datasets.flatMap((dataset) =>
      named.flatMap(({ name, title }) =>
        rows
          .filter(({ row, run }) => row === name && run.dataset === dataset)
          .map(({ run }) => {
            const [train, , minutes, rate] = paper.cost.rows[title] ?? [];
            return {
              dataset,
              method: title,
              ...run.metrics,
              paperParameters: paper.parameters.rows[title]?.[0],
              paperTrain: train,
              paperMinutes: minutes,
              paperRate: rate,
            };
          }),
      ),
    ),
    groupBy: "dataset",
    note: `Medians of ${timed} steps and test batches. ${rows[0]?.run.provenance.engine ?? ""}. Paper: ${paperTitle}; ${paper.cost.note ?? "SUN397, 10 epochs, one A100"}.`,
  };
}

/** The cost benchmark: trainable parameters, operations, and seconds of a training step and of testing. */
export const cost: Benchmark = {
  name: "cost",
  title: "Cost",
  about: "numbers learnt, operations and time of a step and of testing",
  takes: ({ name }) => name === "generic" || name === "sun397",
  transfers: false,
  sameClasses: true,
  jobs: (grid) =>
    grid.datasets.flatMap((dataset) =>
      grid.methods
        .filter((method) => !method.fit)
        .flatMap((method) =>
          (grid.shots ?? [16]).flatMap((shots) =>
            grid.seeds.map((seed) =>
              costJob(grid, dataset, method, configOf(grid, method, "baseToNovel", dataset), seed, shots),
            ),
          ),
        ),
    ),
  tables(all, methods, paper) {
    const { rows, named } = byShots(all, methods);
    return [costTable(rows, named, paper)];
  },
};
