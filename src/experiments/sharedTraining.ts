/**
 * The training of a run: few shots of one dataset, and the prompts that come of them. It is stored by its key, so that
 * runs that differ only in what is tested, or in how the epochs are averaged, share it.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import type { Clip } from "../clip/model";
import { officialAugmentation } from "../configs/presets";
import { baseNovel } from "../datasets/baseNovel";
import { drawFewShot } from "../datasets/fewShot";
import { stepsPerEpoch, testBatches, trainPictures, viewBatches } from "../datasets/pictures";
import type { Dataset, Item } from "../datasets/split";
import { precision } from "../engine/gpu";
import { tf } from "../engine/tf";
import { setAside } from "../io/atomicWrite";
import { canonical } from "../io/json";
import { type Method, type Params, type Settings, trainingSettings } from "../methods/method";
import { tensorsOf } from "../solvers/optimiser";
import { loadState, saveState } from "../training/checkpoint";
import { type Trained, type TrainState, train } from "../training/train";
import { numericsVersion } from "../util/numerics";
import { testBatch } from "./evaluate";
import type { JobContext } from "./job";

export type TrainingOptions = {
  method: Method;
  config: Settings;
  seed: number;
  /** The training data. The shots are drawn from all classes before the classes are halved, as in the official code. */
  source: { dataset: Dataset; classes: "all" | "base"; shots: number };
};

/** Cost of a training image (forward and backward pass) relative to a test image (forward pass only). */
export const trainingCost = 3;

/**
 * What names a training: all that its numbers depend on.
 * @param data fingerprint of the few shots, or of the dataset where none are drawn
 */
export function trainingKey(clip: Clip, { method, config, seed, source }: TrainingOptions, data: string): string {
  const identity = {
    model: clip.fingerprint,
    numerics: numericsVersion(),
    method: method.trainedAs ?? method.name,
    version: method.version,
    precision: precision(),
    seed,
  };
  const trainedOn = { data, split: source.dataset.split, classes: source.classes, shots: source.shots };
  return createHash("sha256")
    .update(canonical({ ...identity, ...trainedOn, config: trainingSettings(method, config) }))
    .digest("hex")
    .slice(0, 12);
}

/** The class names of the training. */
export const trainingClasses = ({ source: { dataset, classes } }: TrainingOptions): string[] =>
  dataset.classNames.slice(0, classes === "base" ? Math.ceil(dataset.classNames.length / 2) : undefined);

/** All classes of the few shots, or the base classes alone. */
export const ofClasses = (drawn: Dataset, classes: "all" | "base"): Dataset =>
  classes === "base" ? baseNovel(drawn).base : drawn;

/** The few shots of the training classes. */
const trainingSet = ({ source: { dataset, classes, shots }, seed }: TrainingOptions): Dataset =>
  ofClasses(drawFewShot(dataset, shots, seed), classes);

/** The work of a training: images passed through the encoders, weighted by cost. */
export function trainingWork(
  { config }: TrainingOptions,
  pictures: number,
): { steps: number; perStep: number; work: number } {
  const steps = stepsPerEpoch(pictures, config.batch);
  const perStep = Math.min(config.batch, pictures) * trainingCost;
  return { steps, perStep, work: config.epochs * steps * perStep };
}

/** Loads the training if it is stored completely; otherwise trains, resuming from the last stored epoch. */
export async function loadOrTrain(
  clip: Clip,
  options: TrainingOptions,
  { signal, report, trained }: JobContext,
): Promise<Pick<Trained, "trajectory" | "history">> {
  const { method, config, seed } = options;
  const resume = readState(trained);
  if (resume && resume.epoch === config.epochs) {
    tf.dispose([resume.params, tensorsOf(resume.optimiser)] as any);
    return resume;
  }
  const data = trainingSet(options);
  const { steps, perStep } = trainingWork(options, data.train.length);
  const pictures = trainPictures(data.train, clip.preprocess, {
    batch: config.batch,
    augmentation: config.augmentation,
    seed,
  });
  let loss: number | undefined;
  let lastRead = Number.NEGATIVE_INFINITY;
  const result = await train(
    method,
    { clip, classNames: data.classNames, config: trainingSettings(method, config), seed },
    pictures,
    {
      signal,
      resume,
      onStep({ epoch, step, terms }) {
        // Reading the loss waits for the step to finish, so it is read only every half second.
        if (Date.now() - lastRead > 500) {
          loss = terms().total;
          lastRead = Date.now();
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

/** Crops of half a picture or more, as in gaopengcuhk/Tip-Adapter main.py. */
const fitAugmentation = { ...officialAugmentation, scale: [0.5, 1] as [number, number] };

/** The parameters of a method that solves for them (`Method.fit`); none for other methods. */
export async function fitParams(clip: Clip, options: TrainingOptions, { signal }: JobContext): Promise<Params> {
  const { method, config, seed } = options;
  if (!method.fit) return {};
  const { train, val, classNames } = trainingSet(options);
  const batches = (items: Item[]) => testBatches(items, clip.preprocess, testBatch);
  const params = await method.fit(
    { clip, classNames, config: trainingSettings(method, config), seed },
    {
      train: batches(train),
      val: batches(val),
      views: (view) =>
        viewBatches(train, clip.preprocess, { batch: testBatch, seed, augmentation: fitAugmentation }, view),
    },
    signal,
  );
  for (const [name, param] of Object.entries(params)) {
    if (param.dataSync().every(Number.isFinite)) continue;
    tf.dispose(params);
    throw new Error(`${method.name}, seed ${seed}: the parameter "${name}" of the fit is not finite`);
  }
  return params;
}

/**
 * The stored state of a training; undefined if there is none, or if its file is damaged: it is set aside then, and the
 * training starts from the beginning.
 */
function readState(file: string): TrainState | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return loadState(file);
  } catch (error) {
    setAside(file, error, "the training begins anew");
    return undefined;
  }
}
