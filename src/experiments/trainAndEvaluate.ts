/**
 * The procedure that all benchmarks share: train prompts on the few shots of one dataset (sharedTraining.ts), then test
 * them on the same or other datasets, each with its own class names.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { drawFewShot } from "../datasets/fewShot";
import type { Dataset, Item } from "../datasets/split";
import { precision } from "../engine/gpu";
import { tf } from "../engine/tf";
import type { Json } from "../io/json";
import { readSealedJson, writeSealedJson } from "../io/sealedJson";
import { ensembleOf, type Params, type Settings, trainingSettings } from "../methods/method";
import { methods } from "../methods/registry";
import { findPredictions, type TestPredictions } from "../results/predictions";
import type { EpochResult } from "../results/store";
import { aggregate, senselessGpa, toDevice } from "../training/ensemble";
import { UsageError } from "../util/errors";
import type { Grid } from "./benchmark";
import { accuracyOf, firstOfSameSentence } from "./evaluate";
import type { Job, JobContext, JobResult } from "./job";
import { needsOf, tooLong } from "./needs";
import { dataNotes } from "./notes";
import { predictClasses } from "./predictions";
import {
  fitParams,
  loadOrTrain,
  ofClasses,
  type TrainingOptions,
  trainingClasses,
  trainingKey,
  trainingWork,
} from "./sharedTraining";

type TrainTestOptions = TrainingOptions & {
  benchmark: string;
  /** The dataset that the result belongs to. */
  target: Dataset;
  /** The tests by name. Each dataset gives the candidate classes and the images. */
  tests: Record<string, Dataset>;
  /** Computes the reported metrics from the accuracies of the tests. */
  metrics(accuracies: Record<string, number>): Record<string, number>;
};

/** The options that all runs of a grid share. */
type SharedOptions = Required<Pick<Grid, "clip" | "subset" | "perEpoch">>;

/**
 * The images to test after each epoch: always the same third of them, which suffices for a curve at a third of the
 * time.
 */
const everyThird = (dataset: Dataset): Dataset => {
  const subsample = (items: Item[]) => items.filter((_, i) => i % 3 === 0);
  return { ...dataset, val: subsample(dataset.val), test: subsample(dataset.test) };
};

export function trainTestJob(
  { clip, subset = "test", perEpoch = false, predictions = false, row }: Grid,
  options: TrainTestOptions,
): Job {
  const { benchmark, method, config, seed, source, target, tests } = options;
  const { name, title } = row ?? method;
  const trainedClasses = trainingClasses(options);
  if (
    method.transfers?.(config) === false &&
    Object.values(tests).some((test) => JSON.stringify(test.classNames) !== JSON.stringify(trainedClasses))
  ) {
    throw new UsageError(
      `${method.title} answers with the classes that it was trained on; ${benchmark} asks for others`,
    );
  }
  const senseless = method.trainable ? senselessGpa(config.epochs, ensembleOf(method, config)) : undefined;
  if (senseless !== undefined) throw new UsageError(`${title}: ${senseless}`);
  const pictures = Object.values(tests).reduce((sum, test) => sum + test[subset].length, 0);
  const drawn = method.trainable || method.fit ? drawFewShot(source.dataset, source.shots, seed) : undefined;
  const trainedOn = (drawn ?? source.dataset).fingerprint;
  const sameDataset = source.dataset.name === target.name;
  const shots = drawn && ofClasses(drawn, source.classes);
  const training =
    method.trainable && shots
      ? { key: trainingKey(clip, options, trainedOn), work: trainingWork(options, shots.train.length).work }
      : undefined;
  return {
    identity: {
      benchmark,
      method: method.name,
      dataset: target.name,
      split: target.split,
      subset,
      shots: source.shots,
      seed,
      config: configJson(config),
      data: sameDataset ? trainedOn : target.fingerprint,
      source: sameDataset ? undefined : { dataset: source.dataset.name, data: trainedOn },
      model: clip.fingerprint,
      version: method.version,
      precision: precision(),
    },
    stored: Object.values(methods).includes(method) || method.version !== undefined,
    row: name,
    place: `${target.name} \u00b7 ${title} \u00b7 ${benchmark === "few-shot" ? `${source.shots} ${source.shots === 1 ? "shot" : "shots"} \u00b7 ` : ""}seed ${seed}`,
    note: dataNotes(
      target,
      drawn &&
        shots && {
          dataset: source.dataset,
          shots: source.shots,
          seed,
          drawn,
          count: shots.train.length,
          batch: training && config.batch,
        },
    ),
    training,
    refused:
      method.fit && shots?.val.length === 0
        ? `${method.title} chooses its settings on validation pictures, of which ${source.dataset.name} has none: add some (a list "val" in its split file), or leave the method out`
        : tooLong(clip, config, [trainedClasses, ...Object.values(tests).map(({ classNames }) => classNames)].flat()),
    needs: () => needsOf(method, { clip, classNames: trainedClasses, config: trainingSettings(method, config), seed }),
    testing: pictures * (method.trainable && perEpoch ? config.epochs / 3 + 1 : 1),
    suffices: (run, root) =>
      (!perEpoch || !method.trainable || (run.epochs.length > 0 && run.epochs.every((e) => e.metrics !== undefined))) &&
      (!predictions || findPredictions(run, root) !== undefined),
    run: (hooks) => trainAndTest({ clip, subset, perEpoch }, options, hooks, training?.work ?? 0),
  };
}

async function trainAndTest(
  shared: SharedOptions,
  options: TrainTestOptions,
  hooks: JobContext,
  work: number,
): Promise<JobResult> {
  const { method, config, source, target } = options;
  const { perEpoch } = shared;
  const result = method.trainable ? await loadOrTrain(shared.clip, options, hooks) : { trajectory: [], history: [] };
  const testStart = Date.now();
  const test = tester(shared, options, hooks, work);
  const epochs: EpochResult[] = result.history.map(({ epoch, lr, losses, gradientNorm, distance }) => ({
    epoch,
    lr,
    losses: Object.fromEntries(Object.entries(losses).map(([name, value]) => [name, rounded(value)])),
    gradientNorm: rounded(gradientNorm),
    distance: rounded(distance),
  }));
  if (perEpoch) {
    const file = join(hooks.partial, "epochs.json");
    const metricsByEpoch = readSealedJson<Record<string, number>[]>(file, "the epochs are tested again") ?? [];
    const subsampledTests = Object.fromEntries(
      Object.entries(options.tests).map(([name, dataset]) => [name, everyThird(dataset)]),
    );
    for (const [e, snapshot] of result.trajectory.entries()) {
      metricsByEpoch[e] ??= (
        await test(toDevice(snapshot), `epoch ${e + 1}/${config.epochs}, `, subsampledTests)
      ).metrics;
      epochs[e].metrics = metricsByEpoch[e];
      writeSealedJson(file, metricsByEpoch);
    }
  }
  const params = method.trainable
    ? aggregate(result.trajectory, ensembleOf(method, config))
    : await fitParams(shared.clip, options, hooks);
  const { metrics, predictions } = await test(params, "");
  const seconds = result.history.reduce((sum, epoch) => sum + epoch.seconds, (Date.now() - testStart) / 1000);
  // Only the result on the training dataset records the epochs of the training.
  const withEpochs = source.dataset.name === target.name || perEpoch;
  return { metrics, epochs: withEpochs ? epochs : [], seconds: Number(seconds.toFixed(3)), predictions };
}

/** Returns a function that tests parameters and then disposes them. `work` is the work that the job has done before. */
function tester(
  { clip, subset }: SharedOptions,
  options: TrainTestOptions,
  { signal, report }: JobContext,
  work: number,
) {
  const { method, config, seed, metrics } = options;
  const trainedClasses = trainingClasses(options);
  return async (
    params: Params,
    stage: string,
    tests = options.tests,
  ): Promise<{ metrics: Record<string, number>; predictions: TestPredictions }> => {
    const predictions: TestPredictions = {};
    const exact: Record<string, number> = {};
    const merged: Record<string, number> = {};
    try {
      for (const [name, dataset] of Object.entries(tests)) {
        const classifier = method.classify(
          { clip, classNames: dataset.classNames, config: trainingSettings(method, config), seed, trainedClasses },
          params,
        );
        const workBefore = work;
        const testStage = name === "accuracy" ? "testing" : `testing ${name} classes`;
        try {
          const pictures = await predictClasses(clip, classifier, dataset[subset], {
            signal,
            onPictures(done) {
              work = workBefore + done;
              report({ stage: `${stage}${testStage}`, work, count: work, unit: "pictures" });
            },
          });
          predictions[name] = { classNames: dataset.classNames, pictures };
          const counted = accuracyOf(pictures, firstOfSameSentence(dataset.classNames));
          exact[name] = counted.exact;
          merged[name] = counted.merged;
        } finally {
          classifier.dispose();
        }
      }
    } finally {
      tf.dispose(params);
    }
    if (Object.keys(exact).every((name) => exact[name] === merged[name]))
      return { metrics: metrics(exact), predictions };
    const both = Object.entries(metrics(merged)).map(([name, value]) => [`merged ${name}`, value]);
    return { metrics: { ...metrics(exact), ...Object.fromEntries(both) }, predictions };
  };
}

/** Rounds to six significant digits, because further digits differ between machines. */
const rounded = (value: number) => Number(value.toPrecision(6));

/** Settings as result files store them: a list of more than two sentences is replaced by its length and hash. */
export function configJson(config: Settings): Json {
  const abbreviate = (value: unknown): unknown =>
    Array.isArray(value) && value.length > 2 && typeof value[0] === "string"
      ? `${value.length} sentences, ${createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 12)}`
      : value;
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, abbreviate(value)])) as Json;
}
