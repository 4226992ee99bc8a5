/**
 * How a prompt learner is put together: a host makes image features f and class features g out of a frozen CLIP and
 * learnable parameters; an objective on f and g is what is minimised. IVLP, CoOp and MaPLe are hosts under
 * cross-entropy; KgCoOp, ProGrad and PromptSRC are other objectives. Any objective goes with any host.
 *
 * A host chooses its encoders by calling them. The fast ones (clip/fast/text.ts, clip/fast/image.ts) take prompts and
 * nothing else; the reference (clip/reference.ts) takes tokens at any block, adapters, and gives all tokens after the
 * last block. Its weights are read from the model's folder when a host first calls it.
 * Shapes: B images, C classes, E joint embedding, R pixels a side.
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
 * What is frozen of a batch: its normalised pixels [B,3,R,R], and what is computed when it is first asked for: `front()` for the fast
 * image encoder, `features()` of the frozen CLIP [B,E], of unit length. `at` is the batch's epoch and step, for what is drawn by lot.
 */
export type Frozen = { pixels: Tensor4D; front(): ImageFront; features(): Tensor2D; at: [number, number] };

export type Encoders = {
  /** g [C,E] of unit length, differentiable. */
  text(params: Params): Tensor2D;
  /** f [B,E] of unit length; the first call computes what is frozen, the second is differentiable. */
  image(batch: Frozen): (params: Params) => Tensor2D;
  /** Frees what was computed for the class names. */
  dispose(): void;
};

/** `settings` are those that the host reads: the shape of a zod object, see configs/settings.ts. */
export type Host<S extends z.ZodRawShape = any> = {
  settings: S;
  init(task: Task<z.infer<z.ZodObject<S>>>): Params;
  /** Computes what is frozen of the class names. @throws where parameters cannot serve these class names. */
  encoders(task: Task<z.infer<z.ZodObject<S>>>): Encoders;
  /** Settings that follow from others, see `Method.resolve`. */
  resolve?: Method["resolve"];
};

/** A host whose settings are inferred. */
export const host = <S extends z.ZodRawShape>(made: Host<S>): Host<S> => made;

/** f [B,E], g [C,E], their scaled cosines [B,C], and the labels one-hot [B,C]. */
export type Seen = { f: Tensor2D; g: Tensor2D; logits: Tensor2D; truth: Tensor2D };

/** A loss on f and g, and the numbers that it has: the shape of a zod object, with their defaults. */
export type Objective<S extends z.ZodRawShape = any> = {
  settings: S;
  /** Settings of the result, such as `ensemble`: what is applied to a finished training. */
  testing?: Method["testing"];
  /** Computes what is frozen for the whole training; `terms` has the frozen side of a batch in its first call, as `Learner.loss`. */
  create(task: Task<z.infer<z.ZodObject<S>>>): {
    terms(batch: Frozen): (seen: Seen) => Terms;
    gradient?: Learner["gradient"];
    dispose?(): void;
  };
};

/** An objective whose settings are inferred. */
export const objective = <S extends z.ZodRawShape>(made: Objective<S>): Objective<S> => made;

type About = Pick<Method, "name" | "title" | "source" | "version" | "paper" | "transfers">;

/** Cross-entropy alone. */
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

/** A method of a host and an objective, trained by SGD: its settings are those of the three. */
export function promptLearner(about: About, host: Host, objective: Objective = crossEntropyAlone): Method {
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
      const made = classifier(clip, text, (pixels) => encoders.image(frozen(clip, pixels))(params));
      return {
        ...made,
        dispose() {
          made.dispose();
          encoders.dispose();
        },
      };
    },
  };
}

/** A classifier from class features [C,E] of unit length, which it takes over, and an encoder of images to unit length. */
export function classifier(clip: Clip, text: Tensor2D, encode: (pixels: Tensor4D) => Tensor2D): Classifier {
  const image = (pixels: Tensor4D) => tf.tidy(() => encode(pixels));
  return {
    text,
    image,
    logits: (pixels) => tf.tidy(() => cosineLogits(image(pixels), text, clip.logitScale)),
    dispose: () => text.dispose(),
  };
}

/** Of normalised pixels [B,3,R,R]; freed by the caller's tf.tidy. */
export function frozen(clip: Clip, pixels: Tensor4D, at: [number, number] = [0, 0]): Frozen {
  const front = once(() => imageFront(clip.image, pixels));
  const features = once(() => rememberImages(clip, pixels, () => l2Normalise(encodeImage(clip.image, front(), []))));
  return { pixels, front, features, at };
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
