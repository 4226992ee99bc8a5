/**
 * The cost of a method on a dataset's classes: the number of trainable parameters, and the operations and time of a
 * training step and of testing (PromptSRC, appendix: SUN397, its dataset with the most classes). Times are measured on
 * this machine. The operations of matrix products are counted as they are executed, which only TensorFlow's native
 * engine supports.
 */
import { forgetImages } from "../cache/imageFeatures";
import type { Clip } from "../clip/model";
import type { Optimisation } from "../configs/settings";
import { drawFewShot } from "../datasets/fewShot";
import { testBatches, trainPictures } from "../datasets/pictures";
import type { Dataset } from "../datasets/split";
import { precision } from "../engine/gpu";
import { profileKernels } from "../engine/profiler";
import { tf } from "../engine/tf";
import { type Benchmark, byShots, configOf, type Grid, type Row } from "../experiments/benchmark";
import { testBatch } from "../experiments/evaluate";
import type { Job, JobContext, JobResult } from "../experiments/job";
import { configJson } from "../experiments/trainAndEvaluate";
import type { PixelBatch } from "../io/preprocess";
import type { Method, Task } from "../methods/method";
import { configFor, type Settings, trainingSettings } from "../methods/method";
import { type Paper, paperTitle } from "../results/paper";
import { median } from "../results/statistics";
import type { Column, Labelled, Table } from "../results/table";
import { type OptimiserState, optimiserStep, tensorsOf } from "../solvers/optimiser";
import { gradientStep } from "../training/train";

/** Numbers of training steps and of test batches: the first `warmup` are not timed, the next `timed` are. */
const repeats = { timed: 20, warmup: 3 };

function costJob(
  { clip, subset = "test" }: Grid,
  dataset: Dataset,
  method: Method,
  config: Settings,
  seed: number,
  shots: number,
): Job {
  const tests = repeats.timed + repeats.warmup;
  const steps = method.trainable ? tests : 0;
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
      precision: precision(),
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
        repeats,
        hooks,
      ),
  };
}

/** Measures the trainable parameters of a method, and the time and FLOPs of its training steps and tests. */
export async function measureMethod(
  task: Task,
  method: Method,
  dataset: Dataset,
  subset: "test" | "val",
  { timed, warmup }: { timed: number; warmup: number },
  { signal, report = () => {} }: Partial<JobContext> = {},
): Promise<JobResult> {
  const startTime = performance.now();
  const { clip, config, seed } = task;
  const metrics: Record<string, number> = {};
  const initialParams = tf.tidy(() => method.init(task));
  let params = initialParams;
  let work = 0;
  const reportDone = (pictures: number, weight: number, stage: string) => {
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
      let state: OptimiserState | null = null;
      const step = ({ pixels, labels }: PixelBatch) => {
        forgetImages();
        const stepStart = performance.now();
        const { gradients, terms } = gradientStep(learner, params, () => ({
          ...tensors(task, pixels, labels),
          at: [0, seconds.length],
        }));
        const next = optimiserStep(params, state, gradients, config as Optimisation, () => config.lr);
        tf.dispose([gradients, terms, params, tensorsOf(state)] as any);
        [params, state] = [next.params, next.state];
        for (const p of Object.values(params)) p.dataSync();
        seconds.push((performance.now() - stepStart) / 1000);
      };
      try {
        for (let epoch = 1; seconds.length < timed + warmup; epoch++) {
          for await (const batch of pictures.epoch(epoch)) {
            signal?.throwIfAborted();
            if (seconds.length === timed + warmup) break;
            if (seconds.length === 0) metrics["GFLOP a step"] = gigaflopOf(() => step(batch));
            else step(batch);
            reportDone(batch.labels.length, 3, "training steps");
          }
        }
      } finally {
        learner.dispose();
        tf.dispose(tensorsOf(state));
      }
      metrics["ms a step"] = 1000 * median(seconds.slice(warmup));
    }
    const classify = () => method.classify(task, params);
    let classifier = classify();
    try {
      classifier.dispose();
      metrics["GFLOP for the classes"] = gigaflopOf(() => {
        classifier = classify();
      });
      const rates: number[] = [];
      while (rates.length < timed + warmup) {
        for await (const { pixels, labels } of testBatches(dataset[subset], clip.preprocess, testBatch)) {
          signal?.throwIfAborted();
          if (rates.length === timed + warmup) break;
          const test = () => tf.tidy(() => classifier.logits(tensors(task, pixels, labels).pixels).dataSync());
          forgetImages();
          const batchStart = performance.now();
          if (rates.length === 0) metrics["GFLOP a picture"] = gigaflopOf(test) / labels.length;
          else test();
          rates.push((1000 * labels.length) / (performance.now() - batchStart));
          reportDone(labels.length, 1, "testing");
        }
      }
      metrics["pictures a second"] = median(rates.slice(warmup));
    } finally {
      classifier.dispose();
    }
  } finally {
    tf.dispose(params);
  }
  const measured = Object.entries(metrics).filter(([, value]) => !Number.isNaN(value));
  return { metrics: Object.fromEntries(measured), epochs: [], seconds: (performance.now() - startTime) / 1000 };
}

const tensors = ({ clip: { preprocess } }: Task, pixels: Float32Array, labels: Int32Array) => ({
  pixels: tf.tensor4d(pixels, [labels.length, 3, preprocess.output.height, preprocess.output.width]),
  labels,
});

/** Operations of the matrix products in `f`, in 10^9 (GFLOP); NaN if the engine cannot count them. */
function gigaflopOf(f: () => void): number {
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
            const [trainGflop, , minutes, rate] = paper.cost.rows[title] ?? [];
            return {
              dataset,
              method: title,
              ...run.metrics,
              paperParameters: paper.parameters.rows[title]?.[0],
              paperTrain: trainGflop,
              paperMinutes: minutes,
              paperRate: rate,
            };
          }),
      ),
    ),
    groupBy: "dataset",
    note: `Medians of ${repeats.timed} steps and test batches. ${rows[0]?.run.provenance.engine ?? ""}. Paper: ${paperTitle}; ${paper.cost.note ?? "SUN397, 10 epochs, one A100"}.`,
  };
}

/**
 * What does not depend on how busy the computer is: the numbers that each method learns, and the operations of one
 * training step and of one test batch, in a table. The operations are missing where the engine cannot count them.
 */
export async function operationsTable(clip: Clip, dataset: Dataset, methods: Method[]): Promise<Table> {
  const drawn = drawFewShot(dataset, 16, 1);
  const rows: Table["rows"] = [];
  for (const method of methods) {
    const config = configFor(method, clip.preset, "baseToNovel", dataset.template);
    const task = { clip, classNames: dataset.classNames, config: trainingSettings(method, config), seed: 1 };
    const { metrics } = await measureMethod(task, method, drawn, "test", { timed: 1, warmup: 0 });
    rows.push({ method: method.title, ...metrics });
  }
  const counted = columns.filter(({ key }) => key === "method" || key === "parameters" || key.startsWith("GFLOP"));
  return { title: `Numbers learnt, and operations, on ${dataset.name}`, columns: counted, rows };
}

/** The cost benchmark: trainable parameters, and the operations and time of a training step and of testing. */
export const cost: Benchmark = {
  name: "cost",
  title: "Cost",
  about: "trainable parameters, operations and time of a training step and of testing",
  takes: ({ name }) => name === "generic" || name === "sun397",
  transfers: false,
  sameClasses: true,
  shots: [16],
  settings: () => "baseToNovel",
  jobs: (grid) =>
    grid.datasets.flatMap((dataset) =>
      grid.methods
        .filter((method) => !method.fit)
        .flatMap((method) =>
          (grid.shots ?? cost.shots).flatMap((shots) =>
            grid.seeds.map((seed) =>
              costJob(grid, dataset, method, configOf(grid, method, cost.settings(dataset.name), dataset), seed, shots),
            ),
          ),
        ),
    ),
  tables(all, methods, paper) {
    const { rows, named } = byShots(all, methods);
    return [costTable(rows, named, paper)];
  },
};
