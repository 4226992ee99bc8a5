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
import { encodeImage, type ImageFront, imageFront } from "../clip/fast/image";
import type { Clip } from "../clip/model";
import { optimisation } from "../configs/settings";
import { l2Normalise, oneHot } from "../engine/autograd";
import type { Tensor2D, Tensor4D } from "../engine/tf";
import { tf } from "../engine/tf";
import { cosineLogits, crossEntropy } from "./losses";
import type { Classifier, Learner, Method, Params, Task, Terms } from "./method";

/**
 * The part of a batch that does not depend on the parameters: its normalised pixels [B,3,R,R], and two values that are
 * computed at the first call and then reused: `front()`, the input of the fast image encoder's first block, and
 * `features()`, the frozen CLIP's image features [B,E] of unit length. `at` is the batch's epoch and step, which seed
 * random draws.
 */
export type Frozen = { pixels: Tensor4D; front(): ImageFront; features(): Tensor2D; at: [number, number] };

export type Encoders = {
  /** Class features g [C,E] of unit length, differentiable in the parameters. */
  text(params: Params): Tensor2D;
  /**
   * Image features f [B,E] of unit length. The first call computes everything that does not depend on the parameters,
   * the second is differentiable in them.
   */
  image(batch: Frozen): (params: Params) => Tensor2D;
  /** Frees the tensors that were computed for the class names. */
  dispose(): void;
};

/** A host; `settings` is the shape of a zod object with the settings that the host reads, see configs/settings.ts. */
export type Host<S extends z.ZodRawShape = any> = {
  settings: S;
  init(task: Task<z.infer<z.ZodObject<S>>>): Params;
  /**
   * Builds the encoders and computes everything about the class names that does not depend on the parameters.
   * @throws if the parameters cannot be applied to these class names
   */
  encoders(task: Task<z.infer<z.ZodObject<S>>>): Encoders;
  /** Replaces settings that are derived from others, see `Method.resolve`. */
  resolve?: Method["resolve"];
};

/** Returns the host unchanged; it lets TypeScript infer the type of the settings. */
export const host = <S extends z.ZodRawShape>(made: Host<S>): Host<S> => made;

/**
 * The inputs of an objective: f [B,E], g [C,E], their logits (scaled cosines) [B,C], and one-hot labels `truth` [B,C].
 */
export type Seen = { f: Tensor2D; g: Tensor2D; logits: Tensor2D; truth: Tensor2D };

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

type Description = Pick<Method, "name" | "title" | "source" | "version" | "paper" | "transfers">;

/** The cross-entropy without any other loss term. */
export const crossEntropyAlone = objective({
  settings: {},
  create: () => ({
    terms:
      () =>
      ({ logits, truth }) => {
        const ce = crossEntropy(logits, truth);
        return { ce, total: ce };
      },
  }),
});

/** Combines a host and an objective into a method trained by SGD; its settings are those of all three. */
export function promptLearner(about: Description, host: Host, objective: Objective = crossEntropyAlone): Method {
  return {
    ...about,
    trainable: true,
    settings: z.object({ ...host.settings, ...objective.settings, ...optimisation }),
    testing: objective.testing,
    resolve: host.resolve,
    init: host.init,
    prepare(task) {
      const { clip, classNames } = task;
      const encoders = host.encoders(task);
      const { terms, gradient, dispose } = objective.create(task);
      return {
        loss({ pixels, labels, at }) {
          const batch = frozen(clip, pixels, at);
          const truth = oneHot(labels, classNames.length);
          const imageFeatures = encoders.image(batch);
          const loss = terms(batch);
          return (params) => {
            const f = imageFeatures(params);
            const g = encoders.text(params);
            return loss({ f, g, logits: cosineLogits(f, g, clip.logitScale), truth });
          };
        },
        gradient,
        dispose() {
          encoders.dispose();
          dispose?.();
        },
      };
    },
    classify(task, params) {
      const { clip } = task;
      const encoders = host.encoders(task);
      const text = tf.tidy(() => encoders.text(params));
      const textClassifier = classifier(clip, text, (pixels) => encoders.image(frozen(clip, pixels))(params));
      return {
        ...textClassifier,
        dispose() {
          textClassifier.dispose();
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
  const front = once(() => imageFront(clip.image, pixels));
  const features = once(() => rememberImages(clip, pixels, () => l2Normalise(encodeImage(clip.image, front(), []))));
  return { pixels, front, features, at };
}

/** Calls `compute` at most once, and returns the stored value from then on. */
function once<T>(compute: () => T): () => T {
  let value: T | undefined;
  return () => {
    value ??= compute();
    return value;
  };
}
