/**
 * A prompt learner consists of a host and an objective. The host computes image features f and class features g from a
 * frozen CLIP and learnable parameters; the objective is the loss on f and g that is minimised. IVLP, CoOp and MaPLe
 * are hosts with the cross-entropy as objective; KgCoOp, ProGrad and PromptSRC have other objectives. Any objective can
 * be combined with any host.
 *
 * A host can call two implementations of the encoders. The fast ones (clip/fast/text.ts, clip/fast/image.ts) support
 * prompts only. The reference (clip/reference.ts) also supports additional tokens at any block and adapters, and
 * returns all tokens after the last block; its weights are read from the model's folder when a host calls it for the
 * first time.
 * Shapes: B images, C classes, E joint embedding, R pixels per side.
 */

import { z } from "zod";
import { rememberImages } from "../cache/imageFeatures";
import { encodeImage, type ImageFront, imageFront, laterFront } from "../clip/fast/image";
import type { Clip } from "../clip/model";
import { optimisation as sgdOptimisation } from "../configs/settings";
import { l2Normalise, oneHot, scale } from "../engine/autograd";
import type { Scalar, Tensor2D, Tensor4D } from "../engine/tf";
import { tf } from "../engine/tf";
import { cosineLogits, crossEntropy } from "./losses";
import {
  asksTrainedClasses,
  type Classifier,
  type Learner,
  type Method,
  type Params,
  type Task,
  type Terms,
} from "./method";
import { changedEncoders, type Encoders, type Frozen, type ImageFeatures, partsOf, type TowerChanges } from "./towers";

/** A host; `settings` is the shape of a zod object with the settings that the host reads, see configs/settings.ts. */
export type Host<S extends z.ZodRawShape = any> = {
  settings: S;
  init(task: Task<z.infer<z.ZodObject<S>>>): Params;
  /** What it changes in the encoders of the frozen CLIP; its encoders are the fast ones with these changes. */
  changes?(task: Task<z.infer<z.ZodObject<S>>>): TowerChanges;
  /**
   * Encoders in place of the fast ones with `changes`. They compute everything about the class names that does not
   * depend on the parameters.
   * @throws if the parameters cannot be applied to these class names
   */
  encoders?(task: Task<z.infer<z.ZodObject<S>>>): Encoders;
  /**
   * Encoders for testing, where the parameters can be folded into the weights; without it, `encoders` are used. Its
   * encoders may ignore the parameters that they are called with.
   */
  folded?(task: Task<z.infer<z.ZodObject<S>>>, params: Params): Encoders;
  /** A second classifier of the classes of the training. */
  head?(task: Task<z.infer<z.ZodObject<S>>>): Head;
  /** By how much the learning rate of a parameter is multiplied; 1 by default. */
  rate?(name: string, config: z.infer<z.ZodObject<S>>): number;
  /** Replaces settings that are derived from others, see `Method.resolve`. */
  resolve?: Method["resolve"];
};

/**
 * A second classifier beside the cosines, for the classes of the training. With its share w, the classification loss is
 * (1 - w) CE(cosines) + w CE(head), and in testing on the trained classes the logits are mixed in the same way. On other
 * classes the cosines alone answer.
 */
export type Head = {
  share: number;
  /** The name of its cross-entropy among the loss terms. */
  term: string;
  /** The number of classes that it can tell apart; any by default. */
  classes?(params: Params): number;
  /** Logits [B,C]; `g` [C,E] are the class features, not normalised. */
  logits(params: Params, image: ImageFeatures, g: Tensor2D): Tensor2D;
  /** Its cross-entropy, if that is not the cross-entropy of `logits`. @param truth one-hot labels [B,C] */
  loss?(params: Params, image: ImageFeatures, g: Tensor2D, truth: Tensor2D): Scalar;
};

/** Returns the host unchanged; it lets TypeScript infer the type of the settings. */
export const host = <S extends z.ZodRawShape>(made: Host<S>): Host<S> => made;

/**
 * The inputs of an objective: f [B,E] and g [C,E] of unit length, their logits (scaled cosines) [B,C], one-hot labels
 * `truth` [B,C], and the classification loss `classified` with its terms: the cross-entropy of the logits, `ce`, mixed
 * with that of the host's head, if it has one.
 */
type Seen = {
  f: Tensor2D;
  g: Tensor2D;
  logits: Tensor2D;
  truth: Tensor2D;
  classified: { loss: Scalar; terms: Record<string, Scalar> };
};

/**
 * A loss on f and g; `settings` is the shape of a zod object with the hyperparameters of the loss and their defaults.
 */
export type Objective<S extends z.ZodRawShape = any> = {
  settings: S;
  /** Settings that are applied to a finished training, such as `ensemble`. */
  testing?: Method["testing"];
  /**
   * Computes everything that stays fixed during the training. Like `Learner.loss`, `terms` has two calls: the first
   * receives the part of a batch that does not depend on the parameters.
   */
  create(task: Task<z.infer<z.ZodObject<S>>>): {
    terms(batch: Frozen): (seen: Seen) => Terms;
    gradient?: Learner["gradient"];
    dispose?(): void;
  };
};

/** Returns the objective unchanged; it lets TypeScript infer the type of the settings. */
export const objective = <S extends z.ZodRawShape>(made: Objective<S>): Objective<S> => made;

type Description = Pick<Method, "name" | "title" | "source" | "version" | "paper" | "embedded" | "transfers"> & {
  /** Adam's settings in place of SGD's (`adamOptimisation`, `adamByStep`). */
  optimisation?: z.ZodRawShape;
};

/** The cross-entropy without any other loss term. */
export const crossEntropyAlone = objective({
  settings: {},
  create: () => ({
    terms:
      () =>
      ({ classified: { loss, terms } }) => ({ ...terms, total: loss }),
  }),
});

/** Combines a host, an objective and an optimiser (SGD by default) into a method; its settings are those of all three. */
export function promptLearner(
  { optimisation = sgdOptimisation, ...about }: Description,
  host: Host,
  objective: Objective = crossEntropyAlone,
): Method {
  const encodersOf = (task: Task) => host.encoders?.(task) ?? changedEncoders(task, host.changes?.(task) ?? {});
  return {
    ...about,
    trainable: true,
    settings: z.object({ ...host.settings, ...objective.settings, ...optimisation }),
    testing: objective.testing,
    resolve: host.resolve,
    init: host.init,
    parts(task) {
      const ofEncoders = partsOf(task, host.changes?.(task) ?? {}, host.init(task));
      return host.head ? [...ofEncoders, { place: "features", kind: "classifier" }] : ofEncoders;
    },
    prepare(task) {
      const { clip, classNames, config } = task;
      const { terms, gradient, dispose } = objective.create(task);
      const encoders = orFree(
        () => encodersOf(task),
        () => dispose?.(),
      );
      const head = host.head?.(task);
      return {
        loss({ pixels, labels, at }) {
          const batch = frozen(clip, pixels, at);
          const truth = oneHot(labels, classNames.length);
          const imageFeatures = encoders.image(batch);
          const loss = terms(batch);
          return (params) => {
            const image = imageFeatures(params);
            const rawText = encoders.text(params, batch.at);
            const [f, g] = [l2Normalise(image.f), l2Normalise(rawText)];
            const logits = cosineLogits(f, g, clip.logitScale);
            const ce = crossEntropy(logits, truth);
            if (!head) return loss({ f, g, logits, truth, classified: { loss: ce, terms: { ce } } });
            const ofHead =
              head.loss?.(params, image, rawText, truth) ?? crossEntropy(head.logits(params, image, rawText), truth);
            const mixed = tf.add<Scalar>(scale(ce, 1 - head.share), scale(ofHead, head.share));
            const classified = { loss: mixed, terms: { ce, [head.term]: ofHead } };
            return loss({ f, g, logits, truth, classified });
          };
        },
        gradient,
        rate: host.rate && ((name) => host.rate?.(name, config) ?? 1),
        dispose() {
          encoders.dispose();
          dispose?.();
        },
      };
    },
    classify(task, params) {
      const { clip } = task;
      const encoders = host.folded?.(task, params) ?? encodersOf(task);
      const possible = asksTrainedClasses(task) ? host.head?.(task) : undefined;
      const head =
        (possible?.classes?.(params) ?? task.classNames.length) === task.classNames.length ? possible : undefined;
      const rawText = tf.tidy(() => encoders.text(params));
      const text = l2Normalise(rawText);
      const image = (pixels: Tensor4D) => encoders.image(frozen(clip, pixels))(params);
      const cosines = ({ f }: ImageFeatures) => cosineLogits(l2Normalise(f), text, clip.logitScale);
      return {
        text,
        image: (pixels) => tf.tidy(() => l2Normalise(image(pixels).f)),
        head:
          head &&
          ((pixels) =>
            tf.tidy(() => {
              const { f, ...others } = image(pixels);
              const features = Object.entries(others).map(([name, feature]) => [name, l2Normalise(feature)]);
              return { logits: head.logits(params, { f, ...others }, rawText), features: Object.fromEntries(features) };
            }) as any),
        logits: (pixels) =>
          tf.tidy(() => {
            const features = image(pixels);
            if (!head) return cosines(features);
            const ofHead = head.logits(params, features, rawText);
            return tf.add<Tensor2D>(tf.mul(cosines(features), 1 - head.share), tf.mul(ofHead, head.share));
          }),
        dispose() {
          tf.dispose([text, rawText]);
          encoders.dispose();
        },
      };
    },
  };
}

/**
 * A classifier by cosine similarity.
 * @param text class features [C,E] of unit length; the classifier disposes them
 * @param encode computes image features [B,E] of unit length
 */
export function classifier(clip: Clip, text: Tensor2D, encode: (pixels: Tensor4D) => Tensor2D): Classifier {
  const image = (pixels: Tensor4D) => tf.tidy(() => encode(pixels));
  return {
    text,
    image,
    logits: (pixels) => tf.tidy(() => cosineLogits(image(pixels), text, clip.logitScale)),
    dispose: () => text.dispose(),
  };
}

/** The frozen part of a batch of normalised pixels [B,3,R,R]; its tensors are freed by the caller's tf.tidy. */
export function frozen(clip: Clip, pixels: Tensor4D, at: [number, number] = [0, 0]): Frozen {
  const fronts: ImageFront[] = [];
  const front = (block = 0): ImageFront => {
    const before = fronts.filter((known) => known.block <= block).pop();
    if (before?.block !== block) {
      fronts.push(before ? laterFront(clip.image, before, block) : imageFront(clip.image, pixels, block));
      fronts.sort((a, b) => a.block - b.block);
    }
    return fronts.find((known) => known.block === block) as ImageFront;
  };
  const deepest = () => fronts[fronts.length - 1] ?? front();
  const rawFeatures = once(() => rememberImages(clip, pixels, () => encodeImage(clip.image, deepest(), [])));
  const features = once(() => l2Normalise(rawFeatures()));
  return { pixels, front, rawFeatures, features, at };
}

/** What `make` gives; if it throws, what was made before it is freed. */
function orFree<T>(make: () => T, free: () => void): T {
  try {
    return make();
  } catch (error) {
    free();
    throw error;
  }
}

/** Calls `compute` at most once, and returns the stored value from then on. */
function once<T>(compute: () => T): () => T {
  let value: T | undefined;
  return () => {
    value ??= compute();
    return value;
  };
}
