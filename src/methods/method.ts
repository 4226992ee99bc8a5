/**
 * What a method of prompt learning is: parameters, a loss, a classifier. Everything that trains, tests or replays goes through
 * this type; a method is one file that makes such a record and one line in registry.ts.
 */

import { z } from "zod";
import type { Clip } from "../clip/model";
import { hasSetting, problems, settingsOf } from "../configs/change";
import { type BenchmarkSettings, type PresetName, presets } from "../configs/presets";
import type { Ensemble, ensemble } from "../configs/settings";
import type { Scalar, Tensor, Tensor2D, Tensor4D } from "../engine/tf";
import type { PixelBatch } from "../io/preprocess";
import { UsageError } from "../util/errors";

/** Learnable tensors by name; for prompts `text.0` (input), `text.i`, `vision.0`, `vision.i` (before block i). */
export type Params = Record<string, Tensor>;

/**
 * What is to be trained: a frozen model, class names (with spaces or underscores), the method's training settings S, and the seed of the
 * initial parameters. What only testing reads (`Method.testing`) is not in here, so that no training can depend on it.
 */
export type Task<S = Settings> = { clip: Clip; classNames: string[]; config: S; seed: number };

/** Settings by name, nested where the schema of a method nests them (`lossWeights.text`). */
export type Settings = Record<string, any>;

/** Normalised pixels [B,3,R,R] and one label each, an index into the class names; the epoch and step (from 0) that they belong to. */
export type Batch = { pixels: Tensor4D; labels: Int32Array; at?: [number, number] };

/** Batches of pictures as in testing, without augmentation: normalised pixels [B,3,R,R], a label each. */
export type PictureBatches = Iterable<PixelBatch> | AsyncIterable<PixelBatch>;

/** Loss terms by name, weights included; `total` is what is minimised. */
export type Terms = Record<string, Scalar>;

export type Learner = {
  /**
   * The loss of one batch in two calls: the first computes what is frozen (image front, targets), the second is differentiable
   * in the parameters. Both run inside the caller's tf.tidy; only the second inside tf.grads.
   */
  loss(batch: Batch): (params: Params) => Terms;
  /**
   * How terms become the gradient that the optimiser gets; without it, the gradient of `total`. `of(term)` differentiates the
   * loss above once. For methods that combine gradients, such as ProGrad. `terms` are numbers to record beside the loss's.
   */
  gradient?(of: (term: string) => Params): { gradients: Params; terms?: Terms };
  /** Frees what `prepare` computed. */
  dispose(): void;
};

export type Classifier = {
  /** Scaled cosines [B,C]; the class with the largest is the answer. */
  logits(pixels: Tensor4D): Tensor2D;
  /** Class features [C,E] of unit length, where they do not depend on the image; freed by `dispose`. */
  text?: Tensor2D;
  /** Image features [B,E] of unit length; the caller disposes them. */
  image(pixels: Tensor4D): Tensor2D;
  dispose(): void;
};

/** A method: how its parameters start, what it minimises, how it classifies, and the settings it has. */
export type Method = {
  /** Name in commands and result files. */
  name: string;
  /** Name in tables. */
  title: string;
  /** Paper, and the official file that the numbers are pinned to. */
  source: string;
  /**
   * For methods that are not in registry.ts, such as one written in a notebook cell: names this version of its code in the results. Change it
   * with the code. Without it nothing that the method computes is stored, since nobody could tell later what computed it.
   */
  version?: string;
  /** False for methods that are not trained by steps: they have no parameters, or `fit` finds them. */
  trainable: boolean;
  /** The settings that training, and the classifier made of it, may read: no others reach them, and all of them identify a training. */
  settings: z.ZodObject;
  /** The settings that are applied to a finished training; runs that differ in these alone share it. */
  testing?: z.ZodObject<{ ensemble?: typeof ensemble }>;
  /** Settings that follow from others as the official code has it, so that what is stored is what was used. */
  resolve?(settings: any): Settings;
  /** The numbers of the method's own paper for a benchmark (ViT-B/16), where they are not PromptSRC's. */
  paper?(benchmark: BenchmarkSettings): Settings;
  /** Initial parameters, a function of the task and its seed. */
  init(task: Task): Params;
  /** Computes what is frozen for the whole training, such as the text targets. */
  prepare(task: Task): Learner;
  /**
   * For methods that solve for their parameters instead of training by steps (`learns` is then false): from the few shots and the
   * validation pictures drawn with them. @throws the signal's reason when it is aborted
   */
  fit?(task: Task, pictures: Record<"train" | "val", PictureBatches>, signal?: AbortSignal): Promise<Params>;
  /** False where the parameters serve the class names of their training alone; without it they serve any. */
  transfers?(config: Settings): boolean;
  /** Encodes the class names once; also for class names that were not trained on. */
  classify(task: Task, params: Params): Classifier;
};

/** All settings of a method: what training reads and what testing reads. */
export const schemaOf = ({ settings, testing }: Method): z.ZodObject =>
  z.object({ ...settings.shape, ...testing?.shape });

/**
 * The settings that a method has out of a record that may hold more, checked and with defaults filled in.
 * @throws UsageError naming each setting that is missing or out of its range
 */
export function settle(method: Method, settings: Settings): Settings {
  const parsed = schemaOf(method).safeParse(settings);
  if (!parsed.success) throw new UsageError(`settings of ${method.title}:\n${problems(parsed.error, settings)}`);
  return method.resolve?.(parsed.data) ?? parsed.data;
}

/** The settings a method runs with: a preset's for a benchmark, and in `paper` what the method's own paper sets otherwise. */
export function configFor(method: Method, preset: PresetName, benchmark: BenchmarkSettings): Settings {
  const own = preset === "paper" ? method.paper?.(benchmark) : undefined;
  return settle(method, { ...presets[preset][benchmark], ...own });
}

/**
 * Settings after a user's change. @throws UsageError for a setting that the method does not have, by name, and for one out of its range. Methods
 * that are not trained pass over the settings of training, so that one change can serve a grid with zero-shot CLIP in it.
 */
export function changed(method: Method, before: Settings, change: (config: Settings) => Settings): Settings {
  const after = change(before);
  const foreign = Object.keys(after).filter((key) => after[key] !== undefined && !hasSetting(schemaOf(method), key));
  if (method.trainable && foreign.length > 0) {
    const known = settingsOf(schemaOf(method)).map(({ key }) => key);
    throw new UsageError(`${method.title} has no setting "${foreign.join('", "')}". It has: ${known.join(", ")}`);
  }
  return settle(method, after);
}

/** What training reads of a method's settings. */
export const trainingSettings = (method: Method, config: Settings): Settings => method.settings.parse(config);

/** How the epochs' parameters are weighted in the result; null: the last epoch's are the result. */
export const ensembleOf = (method: Method, config: Settings): Ensemble =>
  (method.testing?.parse(config).ensemble as Ensemble | undefined) ?? null;
