/**
 * Linear-probe CLIP (Radford et al. 2021), the baseline of few-shot prompt learning: multinomial logistic regression on the frozen image
 * features x (not normalised), with an L2 penalty on the weights but not on the bias:
 *
 *   minimise  sum_n -log p(y_n | x_n) + |W|^2 / (2 c)
 *
 * c is searched on the validation pictures as in KaiyangZhou/CoOp lpclip/linear_probe.py: the best of 1e6, 1e4 ... 1e-6, then 8 steps from
 * the range of a tenth to ten times of it, each keeping the better end and the half (in logarithms) towards it. There the fits are
 * scikit-learn's, here those of logistic.ts. The probe knows its own classes only.
 * Shapes: N pictures, C classes, E joint embedding.
 */
import { z } from "zod";
import { encodeImage, imageFront } from "../clip/fast/image";
import { l2Normalise } from "../engine/autograd";
import type { Tensor1D, Tensor2D, Tensor4D } from "../engine/tf";
import { tf } from "../engine/tf";
import {
  accuracyOf,
  centred,
  featureMeans,
  type Regression,
  regress,
  type Samples,
  uncentred,
} from "../solvers/logisticRegression";
import type { Method, PictureBatches, Task } from "./method";

const coarse = [1e6, 1e4, 1e2, 1, 1e-2, 1e-4, 1e-6];
const halvings = 8;

const rawFeatures = ({ clip }: Task, pixels: Tensor4D): Tensor2D =>
  encodeImage(clip.image, imageFront(clip.image, pixels), []);

async function samplesOf(task: Task, batches: PictureBatches, signal?: AbortSignal): Promise<Samples> {
  const { size } = task.clip.image;
  const features: number[] = [];
  const labels: number[] = [];
  for await (const batch of batches) {
    signal?.throwIfAborted();
    const rows = tf.tidy(() => rawFeatures(task, tf.tensor4d(batch.pixels, [batch.labels.length, 3, size, size])));
    for (const value of rows.dataSync()) features.push(value);
    labels.push(...batch.labels);
    rows.dispose();
  }
  if (labels.length === 0)
    throw new Error("the linear probe needs training and validation pictures, and one of them has none");
  return { features: Float64Array.from(features), labels };
}

/** The regression of the best c. */
async function search(train: Samples, val: Samples, classes: number, signal?: AbortSignal): Promise<Regression> {
  const attempt = async (c: number) => {
    await new Promise(setImmediate);
    signal?.throwIfAborted();
    const fit = regress(train, c, classes);
    return { c, fit, right: accuracyOf(val, fit, classes) };
  };
  let chosen = await attempt(coarse[0]);
  for (const c of coarse.slice(1)) {
    const next = await attempt(c);
    if (next.right > chosen.right) chosen = next;
  }
  let [low, high] = [Math.log10(chosen.c) - 1, Math.log10(chosen.c) + 1];
  for (let step = 0; step < halvings; step++) {
    const [left, right] = [await attempt(10 ** low), await attempt(10 ** high)];
    const middle = (low + high) / 2;
    if (left.right < right.right) [chosen, low] = [right, middle];
    else [chosen, high] = [left, middle];
  }
  return chosen.fit;
}

export const probe: Method = {
  name: "probe",
  title: "Linear probe CLIP",
  source: "Radford et al. 2021, arXiv 2103.00020; KaiyangZhou/CoOp lpclip/linear_probe.py",
  trainable: false,
  settings: z.object({}),
  transfers: () => false,
  init: ({ clip, classNames }) => ({
    weight: tf.zeros([clip.embed, classNames.length]),
    bias: tf.zeros([classNames.length]),
  }),
  prepare() {
    throw new Error("a linear probe is fitted as a whole, not trained by steps");
  },
  async fit(task, pictures, signal) {
    const [E, C] = [task.clip.embed, task.classNames.length];
    const [train, val] = [await samplesOf(task, pictures.train, signal), await samplesOf(task, pictures.val, signal)];
    const means = featureMeans(train);
    const found = await search(centred(train, means), centred(val, means), C, signal);
    const values = Float32Array.from(uncentred(found, means, C));
    return { weight: tf.tensor2d(values.subarray(0, E * C), [E, C]), bias: tf.tensor1d(values.subarray(E * C)) };
  },
  classify(task, { weight, bias }) {
    return {
      image: (pixels) => tf.tidy(() => l2Normalise(rawFeatures(task, pixels))),
      logits: (pixels) =>
        tf.tidy(() => tf.add(tf.matMul(rawFeatures(task, pixels), weight as Tensor2D), bias as Tensor1D)),
      dispose() {},
    };
  },
};
