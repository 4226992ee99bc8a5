/**
 * Multinomial logistic regression with an L2 penalty on the weights but not on the bias:
 *
 *   minimise  sum_n -log p(y_n | x_n) + |W|^2 / (2 c),      p(. | x) = softmax(x W + b)
 *
 * This is the objective of scikit-learn's LogisticRegression, and it is minimised in the same way: by L-BFGS from zero,
 * until no element of the gradient of the mean loss is larger than 1e-4, or for at most 1,000 iterations.
 * Shapes: N samples, E features, C classes.
 */

import { logSoftmax, oneHot, scale } from "../engine/autograd";
import type { Scalar, Tensor2D } from "../engine/tf";
import { tf } from "../engine/tf";
import { minimise } from "./lbfgs";

/** Features [N,E] in row-major order, and one class 0..C-1 per sample. */
export type Samples = { features: ArrayLike<number>; labels: ArrayLike<number> };

/** Weights [E,C] in row-major order, followed by the bias [C]. */
export type Regression = Float64Array;

/** Writes the scores x W + b of sample n into `scores` [C]. */
function computeScores(scores: Float64Array, { features }: Samples, n: number, fit: Regression): void {
  const C = scores.length;
  const E = fit.length / C - 1;
  for (let c = 0; c < C; c++) scores[c] = fit[E * C + c];
  for (let e = 0; e < E; e++) {
    const x = features[n * E + e];
    for (let c = 0, i = e * C; c < C; c++, i++) scores[c] += x * fit[i];
  }
}

/** The mean [E] of the features over the samples. */
export function featureMeans({ features, labels }: Samples): Float64Array {
  const E = features.length / labels.length;
  const means = new Float64Array(E);
  for (let i = 0; i < features.length; i++) means[i % E] += features[i] / labels.length;
  return means;
}

/**
 * Subtracts `means` from the features. The optimal weights remain the same and only the bias changes, but L-BFGS needs
 * fewer iterations.
 */
export const centred = ({ features, labels }: Samples, means: Float64Array): Samples => ({
  features: Float64Array.from(features, (value, i) => value - means[i % means.length]),
  labels,
});

/** Converts a regression that was fitted on centred features into one for the original features. */
export function uncentred(fit: Regression, means: Float64Array, classes: number): Regression {
  const shifted = fit.slice();
  const E = means.length;
  for (let e = 0; e < E; e++)
    for (let c = 0; c < classes; c++) shifted[E * classes + c] -= means[e] * fit[e * classes + c];
  return shifted;
}

/** Fits the regression. @param c inverse strength of the L2 penalty */
export function regress({ features, labels }: Samples, c: number, classes: number, tolerance = 1e-4): Regression {
  const [N, C] = [labels.length, classes];
  const E = features.length / N;
  const x = tf.tensor2d(Float32Array.from(features), [N, E]);
  const truth = oneHot(Int32Array.from(labels), C);
  const objective = (fit: Float64Array): { value: number; gradient: Float64Array } =>
    tf.tidy(() => {
      const values = Float32Array.from(fit);
      const weight = tf.tensor2d(values.subarray(0, E * C), [E, C]);
      const scores = tf.add<Tensor2D>(tf.matMul(x, weight), tf.tensor1d(values.subarray(E * C)));
      const loss = scale(tf.sum(tf.mul(truth, logSoftmax(scores))), -1 / N);
      const penalty = tf.div<Scalar>(tf.sum(tf.square(weight)), 2 * c * N);
      const error = tf.div<Tensor2D>(tf.sub(tf.softmax(scores), truth), N); // [N,C]
      const weightGradient = tf.add(tf.matMul(x, error, true, false), tf.div(weight, c * N));
      const gradient = tf.concat([tf.reshape(weightGradient, [-1]), tf.sum(error, 0)]).dataSync();
      return { value: tf.add(loss, penalty).dataSync()[0], gradient: Float64Array.from(gradient) } as any;
    });
  const fit = minimise(objective, new Float64Array((E + 1) * C), { tolerance });
  tf.dispose([x, truth]);
  return fit;
}

/** The accuracy: the fraction of the samples whose true class has the largest score. */
export function accuracyOf(samples: Samples, fit: Regression, classes: number): number {
  const scores = new Float64Array(classes);
  let correct = 0;
  for (let n = 0; n < samples.labels.length; n++) {
    computeScores(scores, samples, n, fit);
    if (scores.indexOf(scores.reduce((a, b) => Math.max(a, b))) === samples.labels[n]) correct++;
  }
  return correct / samples.labels.length;
}
