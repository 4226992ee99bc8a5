/**
 * The interface of a prompt learning method: parameters, a loss, and a classifier. All code for training, testing and
 * the parity check goes through the type `Method`. A method is one file that defines such a record, and one line in
 * registry.ts.
 */

import { z } from "zod";
import type { Clip } from "../clip/model";
import { keysOf, problems, settingsOf } from "../configs/change";
import { type BenchmarkSettings, type PresetName, presets } from "../configs/presets";
import { contradiction, type Ensemble, type ensemble } from "../configs/settings";
import type { Tensor, Tensor2D, Tensor4D } from "../engine/tf";
import type { PixelBatch } from "../io/preprocess";
import { UsageError } from "../util/errors";

/**
 * Learnable tensors by name. Prompts are named `text.0` and `vision.0` (at the input), `text.i` and `vision.i` (before
 * block i).
 */
export type Params = Record<string, Tensor>;

/**
 * What a method is trained on: a frozen model, class names (with spaces or underscores), the method's training settings
 * S, and the seed of the initial parameters. The settings that only testing reads (`Method.testing`) are left out, so
 * that no training can depend on them.
 */
export type Task<S = Settings> = {
  clip: Clip;
  classNames: string[];
  config: S;
  seed: number;
  /** In testing, the class names of the training, where they may be others than `classNames`. */
  trainedClasses?: string[];
};

/** Whether a classifier is asked for the classes that its parameters were trained on. */
export const asksTrainedClasses = ({ classNames, trainedClasses = classNames }: Task<unknown>): boolean =>
  classNames.length === trainedClasses.length && classNames.every((name, c) => name === trainedClasses[c]);

/** Settings by name, nested as in the schema of the method (`lossWeights.text`). */
export type Settings = Record<string, any>;

/**
 * Normalised pixels [B,3,R,R] and one label per image, an index into the class names. `at` is the epoch and the step
 * that the batch belongs to, both counted from 0.
 */
export type Batch = { pixels: Tensor4D; labels: Int32Array; at?: [number, number] };

/** Batches of pictures without augmentation, as in testing: normalised pixels [B,3,R,R] and one label per picture. */
export type PictureBatches = Iterable<PixelBatch> | AsyncIterable<PixelBatch>;

/**
 * What `Method.fit` gets: the training and validation pictures, and `views(v)`, the training pictures in the same order
 * with random crops and mirrorings that depend on v and the seed alone.
 */
export type FitPictures = Record<"train" | "val", PictureBatches> & { views(view: number): PictureBatches };

/** Scalars: loss terms by name, already multiplied by their weights; `total` is the loss that is minimised. */
export type Terms = Record<string, Tensor>;

export type Learner = {
  /**
   * The loss of one batch, in two calls. The first call computes everything that does not depend on the parameters (the
   * image tokens before the first block, frozen targets). The second is differentiable in the parameters. Both run
   * inside the caller's tf.tidy, but only the second inside tf.grads.
   */
  loss(batch: Batch): (params: Params) => Terms;
  /**
   * For methods that combine gradients of several loss terms, such as ProGrad: computes the gradients that the
   * optimiser receives. Without it, the optimiser receives the gradients of `total`. Each call `of(term)`
   * differentiates one term of the loss above. The returned `terms` are further numbers to record along with the loss
   * terms.
   */
  gradient?(of: (term: string) => Params): { gradients: Params; terms?: Terms };
  /** By how much the learning rate of a parameter is multiplied; 1 by default. */
  rate?(name: string): number;
  /** Frees the tensors that `prepare` computed. */
  dispose(): void;
};

export type Classifier = {
  /** Logits [B,C], usually scaled cosine similarities; the class with the largest logit is the prediction. */
  logits(pixels: Tensor4D): Tensor2D;
  /** Class features [C,E] of unit length, if they do not depend on the image; freed by `dispose`. */
  text?: Tensor2D;
  /**
   * Of a method with a second classifier (`Head` of promptLearner.ts): its logits [B,C], and the image features [B,E]
   * that it alone reads, of unit length.
   */
  head?(pixels: Tensor4D): { logits: Tensor2D; features: Record<string, Tensor2D> };
  /** Image features [B,E] of unit length; the caller disposes them. */
  image(pixels: Tensor4D): Tensor2D;
  dispose(): void;
};

/**
 * Where a learnt part acts: before or inside a block of an encoder, counted from 0, or on the features of both.
 * Prompts take the place of tokens or stand beside them, and a later block's replace an earlier one's.
 */
export type Part =
  | { place: "text" | "image"; block: number; kind: "prompts" | "adapter" | "low-rank maps" }
  | { place: "features"; kind: "classifier" | "cache" };

/** A method: its initial parameters, its loss, its classifier, and its settings. */
export type Method = {
  /** Name in commands and result files. */
  name: string;
  /** Name in tables. */
  title: string;
  /** The paper, and the official file whose numbers the implementation reproduces. */
  source: string;
  /**
   * For methods that are not in registry.ts, such as one written in a notebook cell: a name for this version of the
   * code, which the results record. Change it whenever the code changes. Without a version, no result of the method is
   * stored, because it would be unsupported later which code had computed it.
   */
  version?: string;
  /** False for methods that are not trained by gradient steps: they have no parameters, or `fit` computes them. */
  trainable: boolean;
  /**
   * The settings that training and the resulting classifier may read. They receive no other settings, and all of these
   * settings are part of the identity of a training.
   */
  settings: z.ZodObject;
  /** The method whose training this one's is, if it differs in testing alone; such methods share a training. */
  trainedAs?: string;
  /** The settings that are applied to a finished training; runs that differ only in these share one training. */
  testing?: z.ZodObject<{ ensemble?: typeof ensemble }>;
  /**
   * Replaces settings that the official code derives from other settings, so that the stored settings are those that
   * were used.
   */
  resolve?(settings: any): Settings;
  /**
   * The settings of the method's own paper for a benchmark (ViT-B/16), where they differ from PromptSRC's. `template`
   * is the sentence of zero-shot CLIP for the dataset, for methods whose official code has one for each dataset.
   */
  paper?(benchmark: BenchmarkSettings, template: string): Settings;
  /** The same for the embedded model: settings that do better on its validation pictures than the paper's or preset's. */
  embedded?(benchmark: BenchmarkSettings, template: string): Settings;
  /** Initial parameters; they depend only on the task, including its seed. */
  init(task: Task): Params;
  /** Where its learnt parts act, for drawings. */
  parts?(task: Task): Part[];
  /** Computes everything that stays fixed during the training, such as the frozen text targets. */
  prepare(task: Task): Learner;
  /**
   * For methods that solve for their parameters instead of training by gradient steps (`trainable` is then false).
   * @param pictures the few-shot training pictures, and the validation pictures that were drawn with them
   * @throws the signal's reason when it is aborted
   */
  fit?(task: Task, pictures: FitPictures, signal?: AbortSignal): Promise<Params>;
  /**
   * How many contexts of every class a training step encodes, 1 by default, and whether all that the encoder saves for
   * their backward passes is held at once. The memory of a run is estimated from it (experiments/needs.ts).
   */
  contexts?(config: Settings): { count: number; heldAtOnce?: boolean };
  /** False if the parameters can classify only the classes they were trained on. By default they can classify any. */
  transfers?(config: Settings): boolean;
  /** Builds a classifier and encodes the class names once. They may differ from the class names of the training. */
  classify(task: Task, params: Params): Classifier;
};

/** The schema of all settings of a method: those that training reads and those that testing reads. */
export const schemaOf = ({ settings, testing }: Method): z.ZodObject =>
  z.object({ ...settings.shape, ...testing?.shape });

/**
 * Selects the method's settings from a record that may contain others, validates them and fills in defaults.
 * @throws UsageError that names each setting that is missing or out of range, or two that contradict each other
 */
export function settle(method: Method, settings: Settings): Settings {
  const parsed = schemaOf(method).safeParse(settings);
  if (!parsed.success) throw new UsageError(`settings of ${method.title}:\n${problems(parsed.error, settings)}`);
  const problem = contradiction(parsed.data);
  if (problem !== undefined) throw new UsageError(`settings of ${method.title}:\n${problem}`);
  return method.resolve?.(parsed.data) ?? parsed.data;
}

/**
 * The default settings of a method for a benchmark: those of the preset, and before them those that the method itself
 * has for the preset (`paper`, `embedded`).
 */
export function configFor(
  method: Method,
  preset: PresetName,
  benchmark: BenchmarkSettings,
  template = "a photo of a {}.",
): Settings {
  return settle(method, { ...presets[preset][benchmark], ...method[preset]?.(benchmark, template) });
}

/**
 * The settings after a user's change. Methods that are not trained ignore settings that they do not have, so that the
 * same change can be applied to a grid that contains zero-shot CLIP.
 * @throws UsageError that names a setting that the (trainable) method does not have, or one that is out of range, or
 *   where the change gives no settings
 */
export function changed(method: Method, before: Settings, change: (config: Settings) => Settings): Settings {
  const updated = change(before);
  if (typeof updated !== "object" || updated === null)
    throw new UsageError(`a change of settings returns them all, such as (config) => ({ ...config, lr: 0.01 })`);
  const available = settingsOf(schemaOf(method)).map(({ key }) => key);
  // Inside of a setting that has no settings of its own, such as `ensemble`, its schema is strict.
  const isKnown = (key: string): boolean => {
    const parent = key.slice(0, Math.max(0, key.lastIndexOf(".")));
    if (parent === "") return available.includes(key) || !method.trainable;
    return available.includes(key) || !available.some((other) => other.startsWith(`${parent}.`));
  };
  const unsupported = keysOf(updated).filter((key) => !isKnown(key));
  if (unsupported.length > 0) {
    throw new UsageError(
      `${method.title} has no setting "${unsupported.join('", "')}". Its settings are: ${available.join(", ")}`,
    );
  }
  return settle(method, updated);
}

/** The part of a method's settings that training reads. */
export const trainingSettings = (method: Method, config: Settings): Settings => method.settings.parse(config);

/** How the parameters of the epochs are weighted in the result; null: the result is the last epoch's parameters. */
export const ensembleOf = (method: Method, config: Settings): Ensemble =>
  (method.testing?.parse(config).ensemble as Ensemble | undefined) ?? null;
