/**
 * What a method of prompt learning is: parameters, a loss, a classifier. Everything that trains, tests or replays goes through
 * this type; a method is one file that makes such a record and one line in registry.ts.
 */
import type { Clip } from "../clip/model";
import { type Config, embedded, paper } from "../configs/config";
import type { PixelBatch } from "../datasets/pictures";
import type { Scalar, Tensor, Tensor2D, Tensor4D } from "../engine/tf";

/** Learnable tensors by name; for prompts `text.0` (input), `text.i`, `vision.0`, `vision.i` (before block i). */
export type Params = Record<string, Tensor>;

/** What is to be learnt: a frozen model, class names (with spaces or underscores), numbers, and the seed of the initial parameters. */
export type Task = { clip: Clip; classNames: string[]; config: Config; seed: number };

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
  learns: boolean;
  /**
   * What the method fixes, as a spread of a named config (take it through `configFor`): `gpa: null` where the last epoch's parameters are
   * the result, depth 0 where a tower has no prompts, the method's own numbers with their defaults.
   */
  settings?(config: Config): Config;
  /** The numbers of the method's own paper for a benchmark (ViT-B/16), where they are not PromptSRC's; a spread of `paper`'s. */
  paper?(config: Config, benchmark: Benchmark): Config;
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
  transfers?(config: Config): boolean;
  /** Encodes the class names once; also for class names that were not trained on. */
  classify(task: Task, params: Params): Classifier;
};

/** Benchmarks that have settings of their own, the keys of `paper`. */
export type Benchmark = keyof typeof paper;

/** The config a method runs with. */
export const configFor = (method: Method, config: Config): Config => method.settings?.(config) ?? config;

/** The same with the embedded model's numbers. */
export const embeddedConfigFor = (method: Method, benchmark: Benchmark): Config => configFor(method, embedded[benchmark]);

/** The same with the numbers of the method's paper. */
export const paperConfigFor = (method: Method, benchmark: Benchmark): Config =>
  configFor(method, method.paper?.(paper[benchmark], benchmark) ?? paper[benchmark]);
