/**
 * What all benchmarks do: train prompts on the few shots of one dataset, test them on pictures of the same or of others, each among its own
 * class names. The training is stored by itself, so that runs which differ only in what is tested, or in how the epochs are averaged, share it.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Clip } from "../clip/model";
import { drawFewShot, shortClasses } from "../datasets/fewShot";
import { stepsPerEpoch, testBatches, trainPictures } from "../datasets/pictures";
import { baseNovel, type Dataset, type Item } from "../datasets/split";
import { tf } from "../engine/tf";
import { writeAtomic } from "../io/atomicWrite";
import { canonical, type Json } from "../io/json";
import { ensembleOf, type Method, type Params, type Settings, trainingSettings } from "../methods/method";
import { methods } from "../methods/registry";
import type { EpochResult } from "../results/store";
import { loadState, saveState } from "../training/checkpoint";
import { aggregate, toDevice } from "../training/ensemble";
import { type Trained, type TrainState, train } from "../training/train";
import { UsageError } from "../util/errors";
import { numericsVersion } from "../util/numerics";
import type { Grid } from "./benchmark";
import { accuracy, testBatch } from "./evaluate";
import type { Job, JobContext, JobResult } from "./runner";

export type TrainTestOptions = {
  benchmark: string;
  method: Method;
  config: Settings;
  seed: number;
  /** What is trained on. The shots are drawn from all classes before the classes are halved, as in the official code. */
  source: { dataset: Dataset; classes: "all" | "base"; shots: number };
  /** Whose result this is. */
  target: Dataset;
  /** What is tested, by name: the classes to choose from, and the pictures. */
  tests: Record<string, Dataset>;
  /** Results from the accuracies of the tests. */
  metrics(accuracies: Record<string, number>): Record<string, number>;
};

/** What the runs of a grid have in common. */
type Common = Required<Pick<Grid, "clip" | "subset" | "perEpoch">>;

/** Relative cost of a picture: forward and backward against forward alone. */
const trainingCost = 3;

/** After each epoch every third picture is tested, always the same ones: enough for a curve, at a third of the time. */
const everyThird = (dataset: Dataset): Dataset => {
  const some = (items: Item[]) => items.filter((_, i) => i % 3 === 0);
  return { ...dataset, val: some(dataset.val), test: some(dataset.test) };
};

export function trainTestJob({ clip, subset = "test", perEpoch = false, row }: Grid, options: TrainTestOptions): Job {
  const { benchmark, method, config, seed, source, target, tests } = options;
  const { name, title } = row ?? method;
  const known = source.dataset.classNames.slice(
    0,
    source.classes === "base" ? Math.ceil(source.dataset.classNames.length / 2) : undefined,
  );
  if (
    method.transfers?.(config) === false &&
    Object.values(tests).some((test) => JSON.stringify(test.classNames) !== JSON.stringify(known))
  ) {
    throw new UsageError(
      `${method.title} answers with the classes that it was trained on; ${benchmark} asks for others`,
    );
  }
  const pictures = Object.values(tests).reduce((sum, test) => sum + test[subset].length, 0);
  const elsewhere =
    source.dataset.name === target.name
      ? undefined
      : { dataset: source.dataset.name, data: source.dataset.fingerprint };
  const trained = {
    model: clip.fingerprint,
    numerics: numericsVersion(),
    method: method.name,
    version: method.version,
    seed,
  };
  const from = {
    data: source.dataset.fingerprint,
    split: source.dataset.split,
    classes: source.classes,
    shots: source.shots,
  };
  const key = createHash("sha256")
    .update(canonical({ ...trained, ...from, config: trainingSettings(method, config) }))
    .digest("hex")
    .slice(0, 12);
  const training = method.trainable
    ? { key, work: trainingWork(options, drawn(options).train.length).work }
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
      data: target.fingerprint,
      source: elsewhere,
      model: clip.fingerprint,
      version: method.version,
    },
    stored: methods[method.name] === method || method.version !== undefined,
    row: name,
    place: `${target.name} \u00b7 ${title} \u00b7 ${benchmark === "few-shot" ? `${source.shots} ${source.shots === 1 ? "shot" : "shots"} \u00b7 ` : ""}seed ${seed}`,
    note: method.trainable || method.fit ? fewer(source.dataset, source.shots) : undefined,
    training,
    testing: pictures * (method.trainable && perEpoch ? config.epochs / 3 + 1 : 1),
    suffices: (run) =>
      !perEpoch || !method.trainable || (run.epochs.length > 0 && run.epochs.every((e) => e.metrics !== undefined)),
    run: (hooks) => trainAndTest({ clip, subset, perEpoch }, options, hooks, training?.work ?? 0),
  };
}

/** The few shots of the training classes. */
function drawn({ source: { dataset, classes, shots }, seed }: TrainTestOptions): Dataset {
  const few = drawFewShot(dataset, shots, seed);
  return classes === "base" ? baseNovel(few).base : few;
}

/** Pictures through the encoders in a training, weighted by cost. */
function trainingWork(
  { config }: TrainTestOptions,
  pictures: number,
): { steps: number; perStep: number; work: number } {
  const steps = stepsPerEpoch(pictures, config.batch);
  const perStep = Math.min(config.batch, pictures) * trainingCost;
  return { steps, perStep, work: config.epochs * steps * perStep };
}

function fewer(dataset: Dataset, shots: number): string | undefined {
  const short = shortClasses(dataset, shots);
  if (short.length === 0) return undefined;
  const some = short.slice(0, 3).map((c) => `${c.className} ${c.pictures}`);
  return `${dataset.name}: ${short.length} classes have fewer than ${shots} training pictures (${some.join(", ")}${short.length > 3 ? " ..." : ""})`;
}

async function trainAndTest(
  common: Common,
  options: TrainTestOptions,
  hooks: JobContext,
  work: number,
): Promise<JobResult> {
  const { method, config, source, target } = options;
  const { perEpoch } = common;
  const result = method.trainable ? await trained(common.clip, options, hooks) : { trajectory: [], history: [] };
  const began = Date.now();
  const test = tester(common, options, hooks, work);
  const epochs: EpochResult[] = result.history.map(({ epoch, lr, losses }) => ({ epoch, lr, losses: rounded(losses) }));
  if (perEpoch) {
    const file = join(hooks.partial, "epochs.json");
    const known = accuraciesIn(file);
    const some = Object.fromEntries(
      Object.entries(options.tests).map(([name, dataset]) => [name, everyThird(dataset)]),
    );
    for (const [e, kept] of result.trajectory.entries()) {
      known[e] ??= await test(toDevice(kept), `epoch ${e + 1}/${config.epochs}, `, some);
      epochs[e].metrics = known[e];
      writeAtomic(file, JSON.stringify(known));
    }
  }
  const params = method.trainable
    ? aggregate(result.trajectory, ensembleOf(method, config))
    : await fitted(common.clip, options, hooks);
  const metrics = await test(params, "");
  const seconds = result.history.reduce((sum, epoch) => sum + epoch.seconds, (Date.now() - began) / 1000);
  // How the prompts were learnt stands in the result on the dataset that they were learnt from.
  const own = source.dataset.name === target.name || perEpoch;
  return { metrics, epochs: own ? epochs : [], seconds: Number(seconds.toFixed(3)) };
}

/** A function that measures parameters, which it disposes. `work` is what the job has done before. */
function tester({ clip, subset }: Common, options: TrainTestOptions, { signal, report }: JobContext, work: number) {
  const { method, config, seed, metrics } = options;
  return async (params: Params, stage: string, tests = options.tests): Promise<Record<string, number>> => {
    const accuracies: Record<string, number> = {};
    try {
      for (const [name, dataset] of Object.entries(tests)) {
        const classifier = method.classify(
          { clip, classNames: dataset.classNames, config: trainingSettings(method, config), seed },
          params,
        );
        const before = work;
        const what = name === "accuracy" ? "testing" : `testing ${name} classes`;
        try {
          accuracies[name] = await accuracy(classifier, dataset[subset], clip, {
            signal,
            onPictures(done) {
              work = before + done;
              report({ stage: `${stage}${what}`, work, count: work, unit: "pictures" });
            },
          });
        } finally {
          classifier.dispose();
        }
      }
    } finally {
      tf.dispose(params);
    }
    return metrics(accuracies);
  };
}

/** The accuracies after each epoch that an interrupted run has measured. */
function accuraciesIn(file: string): Record<string, number>[] {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return [];
  }
}

/** The training of these options: read if it is stored, else gone on with from its last stored epoch. */
async function trained(
  clip: Clip,
  options: TrainTestOptions,
  { signal, report, trained }: JobContext,
): Promise<Pick<Trained, "trajectory" | "history">> {
  const { method, config, seed } = options;
  const resume = readState(trained);
  if (resume && resume.epoch === config.epochs) {
    tf.dispose([resume.params, resume.velocity] as any);
    return resume;
  }
  const data = drawn(options);
  const { steps, perStep } = trainingWork(options, data.train.length);
  const pictures = trainPictures(data.train, clip.preprocess, {
    batch: config.batch,
    augmentation: config.augmentation,
    seed,
  });
  let loss: number | undefined;
  let read = Number.NEGATIVE_INFINITY;
  const result = await train(
    method,
    { clip, classNames: data.classNames, config: trainingSettings(method, config), seed },
    pictures,
    {
      signal,
      resume,
      onStep({ epoch, step, terms }) {
        // Reading the loss waits for the step; once in half a second is enough to watch it.
        if (Date.now() - read > 500) {
          loss = terms().total;
          read = Date.now();
        }
        const count = epoch * steps + step + 1;
        report({ stage: `epoch ${epoch + 1}/${config.epochs}`, work: count * perStep, count, unit: "steps", loss });
      },
      onEpoch: (state) => saveState(trained, state),
    },
  );
  tf.dispose([result.params, result.last] as any);
  return result;
}

/** The parameters of a method that solves for them, if it does. */
async function fitted(clip: Clip, options: TrainTestOptions, { signal }: JobContext): Promise<Params> {
  const { method, config, seed } = options;
  if (!method.fit) return {};
  const { train, val, classNames } = drawn(options);
  const batches = (items: Item[]) => testBatches(items, clip.preprocess, testBatch);
  return method.fit(
    { clip, classNames, config: trainingSettings(method, config), seed },
    { train: batches(train), val: batches(val) },
    signal,
  );
}

/** A training as far as it was stored; undefined if it was not, or if its file is damaged (then it begins anew). */
function readState(file: string): TrainState | undefined {
  try {
    return existsSync(file) ? loadState(file) : undefined;
  } catch {
    return undefined;
  }
}

/** Losses to six digits: more are not the same from machine to machine. */
const rounded = (losses: Record<string, number>) =>
  Object.fromEntries(Object.entries(losses).map(([name, value]) => [name, Number(value.toPrecision(6))]));

/** Settings as result files hold them: of a long list of sentences its length and hash. */
export function configJson(config: Settings): Json {
  const short = (value: unknown): unknown =>
    Array.isArray(value) && value.length > 2 && typeof value[0] === "string"
      ? `${value.length} sentences, ${createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 12)}`
      : value;
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, short(value)])) as Json;
}
