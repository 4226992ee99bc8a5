/**
 * Linear-probe CLIP (Radford et al. 2021), the baseline of few-shot prompt learning: multinomial logistic regression on
 * the frozen image features x (not normalised), with an L2 penalty on the weights but not on the bias:
 *
 *   minimise  sum_n -log p(y_n | x_n) + |W|^2 / (2 c)
 *
 * c is chosen by the accuracy on the validation pictures as in KaiyangZhou/CoOp lpclip/linear_probe.py: first the best
 * of 1e6, 1e4, ..., 1e-6, then 8 steps of a binary search on the interval from a tenth to ten times that value. Each
 * step fits both ends of the interval and moves the worse end to the middle (on a logarithmic scale). The official code
 * fits with scikit-learn, this file with solvers/logisticRegression.ts. A probe can classify only the classes it was
 * fitted on.
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
import { assertFinite, pictureName } from "../util/finite";
import type { Method, PictureBatches, Task } from "./method";

const coarseGrid = [1e6, 1e4, 1e2, 1, 1e-2, 1e-4, 1e-6];
const searchSteps = 8;

const rawFeatures = ({ clip }: Task, pixels: Tensor4D): Tensor2D =>
  encodeImage(clip.image, imageFront(clip.image, pixels), []);

async function extractSamples(task: Task, batches: PictureBatches, signal?: AbortSignal): Promise<Samples> {
  const { size } = task.clip.image;
  const features: number[] = [];
  const labels: number[] = [];
  for await (const batch of batches) {
    signal?.throwIfAborted();
    const rows = tf.tidy(() => rawFeatures(task, tf.tensor4d(batch.pixels, [batch.labels.length, 3, size, size])));
    const values = rows.dataSync();
    rows.dispose();
    assertFinite(values, batch.labels.length, (row) => pictureName(row, batch.paths));
    for (const value of values) features.push(value);
    labels.push(...batch.labels);
  }
  if (labels.length === 0)
    throw new Error("the linear probe needs training and validation pictures, but one of the two subsets is empty");
  return { features: Float64Array.from(features), labels };
}

/** Fits the regression with the c that has the best validation accuracy. */
async function searchRegularisation(
  train: Samples,
  val: Samples,
  classes: number,
  signal?: AbortSignal,
): Promise<Regression> {
  const evaluate = async (c: number) => {
    await new Promise(setImmediate);
    signal?.throwIfAborted();
    const fit = regress(train, c, classes);
    return { c, fit, accuracy: accuracyOf(val, fit, classes) };
  };
  let best = await evaluate(coarseGrid[0]);
  for (const c of coarseGrid.slice(1)) {
    const candidate = await evaluate(c);
    if (candidate.accuracy > best.accuracy) best = candidate;
  }
  let [low, high] = [Math.log10(best.c) - 1, Math.log10(best.c) + 1];
  for (let step = 0; step < searchSteps; step++) {
    const [atLow, atHigh] = [await evaluate(10 ** low), await evaluate(10 ** high)];
    const middle = (low + high) / 2;
    if (atLow.accuracy < atHigh.accuracy) [best, low] = [atHigh, middle];
    else [best, high] = [atLow, middle];
  }
  return best.fit;
}

export const probe: Method = {
  name: "probe",
  title: "Linear probe CLIP",
  source: "Radford et al. 2021, arXiv 2103.00020; KaiyangZhou/CoOp lpclip/linear_probe.py",
  trainable: false,
  settings: z.object({}),
  transfers: () => false,
  parts: () => [{ place: "features", kind: "classifier" }],
  init: ({ clip, classNames }) => ({
    weight: tf.zeros([clip.embed, classNames.length]),
    bias: tf.zeros([classNames.length]),
  }),
  prepare() {
    throw new Error("the linear probe is not trained by gradient steps: use `fit`");
  },
  async fit(task, pictures, signal) {
    const [E, C] = [task.clip.embed, task.classNames.length];
    const train = await extractSamples(task, pictures.train, signal);
    const val = await extractSamples(task, pictures.val, signal);
    const means = featureMeans(train);
    const centredFit = await searchRegularisation(centred(train, means), centred(val, means), C, signal);
    const values = Float32Array.from(uncentred(centredFit, means, C));
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
