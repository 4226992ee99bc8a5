/**
 * Tip-Adapter (Zhang et al., ECCV 2022): a cache of the training pictures beside zero-shot CLIP. Its keys K are their
 * frozen features (the mean over 10 augmented views, of unit length), its values V their one-hot labels:
 *
 *   logits(f) = s f W + alpha exp(-beta (1 - f K)) V
 *
 * In Tip-Adapter-F the keys are then trained by the cross-entropy, with alpha 1 and beta 3. alpha and beta, and the
 * epoch whose keys are taken, are those of the best accuracy on the validation pictures. (The official code chooses the
 * epoch on the test pictures.) Based on gaopengcuhk/Tip-Adapter main.py and utils.py.
 * A cache answers with the classes that it was made of.
 * Shapes: B pictures, N training pictures, C classes, E joint embedding.
 */
import { z } from "zod";
import { encodeImage, imageFront } from "../clip/fast/image";
import type { Clip } from "../clip/model";
import { adamByStep, zeroShotTemplates } from "../configs/settings";
import { differentiate, l2Normalise, oneHot } from "../engine/autograd";
import type { Tensor2D, Tensor4D } from "../engine/tf";
import { tf } from "../engine/tf";
import { type OptimiserState, optimiserStep, tensorsOf } from "../solvers/optimiser";
import { assertFinite, pictureName } from "../util/finite";
import { seeded } from "../util/random";
import { zeroShotText } from "./frozenText";
import { cosineLogits, crossEntropy } from "./losses";
import type { FitPictures, Method, Params, PictureBatches, Task } from "./method";
import { frozen } from "./promptLearner";

/** Frozen features [N,E], not normalised, and the labels of pictures. */
type Samples = { features: Tensor2D; labels: Int32Array };
/** The two numbers that are chosen on the validation pictures. */
type Sharpness = { alpha: number; beta: number };

const start: Sharpness = { alpha: 1, beta: 3 };
const views = 10;
/** main.py's search: 20 values of alpha up to 5 and 200 of beta up to 12, from 0.1 on. */
const alphas = Array.from({ length: 20 }, (_, i) => 0.1 + (i * (5 - 0.1)) / 20);
const betas = Array.from({ length: 200 }, (_, i) => 0.1 + (i * (12 - 0.1)) / 200);

async function samplesOf({ image }: Clip, batches: PictureBatches, signal?: AbortSignal): Promise<Samples> {
  const parts: Tensor2D[] = [];
  const labels: number[] = [];
  try {
    for await (const { pixels, labels: own, paths } of batches) {
      signal?.throwIfAborted();
      const batch = () => tf.tensor4d(pixels, [own.length, 3, image.size, image.size]);
      const part = tf.tidy(() => encodeImage(image, imageFront(image, batch()), []));
      parts.push(part);
      assertFinite(part.dataSync(), own.length, (row) => pictureName(row, paths));
      labels.push(...own);
    }
    if (parts.length === 0) throw new Error("Tip-Adapter needs training and validation pictures; a subset is empty");
    return { features: tf.concat(parts, 0), labels: Int32Array.from(labels) };
  } finally {
    tf.dispose(parts);
  }
}

/** exp(-beta (1 - f K)) V [B,C]. @param keys [N,E] @param values [N,C] */
const cacheLogits = (f: Tensor2D, keys: Tensor2D, values: Tensor2D, beta: number): Tensor2D =>
  tf.matMul(tf.exp(tf.mul(tf.sub(tf.matMul(f, keys, false, true), 1), beta)) as Tensor2D, values);

/** Share of the rows whose largest logit is that of their label. */
function accuracyOf(logits: Tensor2D, labels: Int32Array): number {
  const predicted = tf.tidy(() => logits.argMax(1).dataSync()) as Int32Array;
  return labels.filter((label, n) => predicted[n] === label).length / labels.length;
}

/**
 * alpha and beta with the best accuracy; of equal ones the first, beta outermost, as in utils.py `search_hp`.
 * @param f features [B,E] of unit length @param zeroShot their zero-shot logits [B,C]
 */
export async function searchSharpness(
  f: Tensor2D,
  zeroShot: Tensor2D,
  { keys, values }: Record<"keys" | "values", Tensor2D>,
  labels: Int32Array,
  signal?: AbortSignal,
): Promise<Sharpness> {
  let best = { ...start, accuracy: -1 };
  for (const beta of betas) {
    await new Promise(setImmediate);
    signal?.throwIfAborted();
    tf.tidy(() => {
      const cache = cacheLogits(f, keys, values, beta);
      for (const alpha of alphas) {
        const accuracy = tf.tidy(() => accuracyOf(tf.add(zeroShot, tf.mul(cache, alpha)), labels));
        if (accuracy > best.accuracy) best = { alpha, beta, accuracy };
      }
    });
  }
  return { alpha: best.alpha, beta: best.beta };
}

/** The training pictures' keys [N,E]: the mean feature of their views, of unit length. */
async function cacheKeys(task: Task, pictures: FitPictures, signal?: AbortSignal): Promise<Samples> {
  let sum: Samples | undefined;
  try {
    for (let view = 0; view < views; view++) {
      const next = await samplesOf(task.clip, pictures.views(view), signal);
      const features: Tensor2D = sum ? tf.add(sum.features, next.features) : tf.clone(next.features);
      tf.dispose([next.features, sum?.features] as any);
      sum = { features, labels: next.labels };
    }
    const { features, labels } = sum as Samples;
    return { features: l2Normalise(features), labels };
  } finally {
    sum?.features.dispose();
  }
}

/** Trains the keys; of the epochs, those with the best accuracy on the validation pictures. Takes over `keys`. */
async function trainedKeys(
  task: Task,
  { keys, values, text }: Record<"keys" | "values" | "text", Tensor2D>,
  validation: Samples,
  pictures: FitPictures,
  signal?: AbortSignal,
): Promise<Tensor2D> {
  const { clip, config, seed, classNames } = task;
  const mixture = (f: Tensor2D, keys: Tensor2D): Tensor2D =>
    tf.add(cosineLogits(f, text, clip.logitScale), tf.mul(cacheLogits(f, keys, values, start.beta), start.alpha));
  let params: Params = { keys };
  let state: OptimiserState | null = null;
  let best = { accuracy: -1, keys: tf.clone(keys) };
  try {
    for (let epoch = 0; epoch < config.epochs; epoch++) {
      const { features, labels } = await samplesOf(clip, pictures.views(views + epoch), signal);
      const order = seeded("order", seed, epoch).shuffle([...labels.keys()]);
      const steps = Math.ceil(order.length / config.batch);
      try {
        for (let step = 0; step < steps; step++) {
          await new Promise(setImmediate);
          signal?.throwIfAborted();
          const rows = order.slice(step * config.batch, (step + 1) * config.batch);
          const { gradients, terms } = tf.tidy(() => {
            const f = l2Normalise(tf.gather(features, tf.tensor1d(rows, "int32")));
            const truth = oneHot(
              Int32Array.from(rows, (n) => labels[n]),
              classNames.length,
            );
            return differentiate(
              ({ keys }) => ({ total: crossEntropy(mixture(f, keys as Tensor2D), truth) }),
              params,
            ) as any;
          });
          const done = (epoch * steps + step) / (config.epochs * steps);
          const lr = config.minimumLr + (config.lr - config.minimumLr) * 0.5 * (1 + Math.cos(Math.PI * done));
          const next = optimiserStep(params, state, gradients, config as any, () => lr);
          tf.dispose([params, gradients, terms, tensorsOf(state)] as any);
          [params, state] = [next.params, next.state];
        }
      } finally {
        features.dispose();
      }
      if (!params.keys.dataSync().every(Number.isFinite))
        throw new Error(
          `the keys are not finite after epoch ${epoch + 1}: reduce the learning rate (lr is ${config.lr})`,
        );
      const accuracy = tf.tidy(() =>
        accuracyOf(mixture(l2Normalise(validation.features), params.keys as Tensor2D), validation.labels),
      );
      if (accuracy > best.accuracy) {
        best.keys.dispose();
        best = { accuracy, keys: tf.clone(params.keys) as Tensor2D };
      }
    }
    return best.keys;
  } catch (error) {
    best.keys.dispose();
    throw error;
  } finally {
    tf.dispose([params, tensorsOf(state)] as any);
  }
}

const tipAdapter = (
  about: Pick<Method, "name" | "title" | "settings" | "paper" | "embedded">,
  trainKeys: boolean,
): Method => ({
  ...about,
  source: "Zhang et al. 2022, arXiv 2207.09519; gaopengcuhk/Tip-Adapter main.py",
  trainable: false,
  transfers: () => false,
  parts: () => [{ place: "features", kind: "cache" }],
  init: ({ clip, classNames }) => ({
    keys: tf.zeros([classNames.length, clip.embed]),
    values: tf.eye(classNames.length),
    sharpness: tf.tensor1d([start.alpha, start.beta]),
  }),
  prepare() {
    throw new Error("Tip-Adapter is not trained by the training loop: use `fit`");
  },
  async fit(task, pictures, signal) {
    const { clip, classNames, config } = task;
    const made: Tensor2D[] = [];
    let result: Tensor2D[] = []; // freed if it does not get finished
    try {
      const text = zeroShotText(clip, classNames, config.zeroShotTemplates);
      made.push(text);
      const cache = await cacheKeys(task, pictures, signal);
      result = [cache.features];
      const values = oneHot(cache.labels, classNames.length);
      result.push(values);
      const validation = await samplesOf(clip, pictures.val, signal);
      made.push(validation.features);
      if (trainKeys) result = [values]; // the keys are taken over
      const keys = trainKeys
        ? await trainedKeys(task, { keys: cache.features, values, text }, validation, pictures, signal)
        : cache.features;
      result = [keys, values];
      const f = l2Normalise(validation.features);
      const zeroShot = cosineLogits(f, text, clip.logitScale);
      made.push(f, zeroShot);
      const { alpha, beta } = await searchSharpness(f, zeroShot, { keys, values }, validation.labels, signal);
      return { keys, values, sharpness: tf.tensor1d([alpha, beta]) };
    } catch (error) {
      tf.dispose(result);
      throw error;
    } finally {
      tf.dispose(made);
    }
  },
  classify({ clip, classNames, config }, { keys, values, sharpness }) {
    const text = zeroShotText(clip, classNames, config.zeroShotTemplates);
    const [alpha, beta] = sharpness.dataSync();
    const image = (pixels: Tensor4D) => tf.tidy(() => tf.clone(frozen(clip, pixels).features()));
    return {
      text,
      image,
      logits: (pixels) =>
        tf.tidy(() => {
          const f = image(pixels);
          const cache = cacheLogits(f, keys as Tensor2D, values as Tensor2D, beta);
          return tf.add<Tensor2D>(cosineLogits(f, text, clip.logitScale), tf.mul(cache, alpha));
        }),
      dispose: () => text.dispose(),
    };
  },
});

export const tip = tipAdapter(
  {
    name: "tip-adapter",
    title: "Tip-Adapter",
    settings: z.object({ zeroShotTemplates }),
    paper: (_, template) => ({ zeroShotTemplates: [template] }),
  },
  false,
);

const { augmentation: _, ...optimisation } = adamByStep("adamw", 1e-4);

export const tipF = tipAdapter(
  {
    name: "tip-adapter-f",
    title: "Tip-Adapter-F",
    settings: z.object({ zeroShotTemplates, ...optimisation }),
    // main.py and configs/*.yaml: 20 epochs of 256 pictures, torch's weight decay of AdamW
    paper: (_, template) => ({
      batch: 256,
      epochs: 20,
      lr: 0.001,
      weightDecay: 0.01,
      zeroShotTemplates: [template],
    }),
    embedded: () => ({ batch: 256, lr: 0.001, weightDecay: 0.01 }), // as in the paper
  },
  true,
);
