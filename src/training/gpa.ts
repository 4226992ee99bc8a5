/**
 * GPA, Gaussian-weighted prompt aggregation (paper, section 3.2.2, equation 6): the result is sum_e w_e P_e over the prompts P_e at
 * the end of each epoch e = 1..E, w_e = N(e; mean, std) over the sum of all. The official code takes the number that the paper
 * calls sigma^2 as the standard deviation. Training itself goes on from the raw prompts.
 */
import type { Params } from "../methods/method";
import { tf } from "../tf";

/** w_1..w_E, summing to 1. */
export function gpaWeights(epochs: number, { mean, std }: { mean: number; std: number }): number[] {
  // the largest exponent is taken out, so that a far or narrow Gaussian does not underflow to 0/0
  const exponents = Array.from({ length: epochs }, (_, i) => -0.5 * ((i + 1 - mean) / std) ** 2);
  const largest = Math.max(...exponents);
  const weights = exponents.map((exponent) => Math.exp(exponent - largest));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/** aggregate + weight * params, as new tensors; a null aggregate is 0. */
export function accumulate(aggregate: Params | null, params: Params, weight: number): Params {
  const sum: Params = {};
  for (const [name, p] of Object.entries(params)) {
    sum[name] = tf.tidy(() => (aggregate ? tf.add(aggregate[name], tf.mul(p, weight)) : tf.mul(p, weight)));
  }
  return sum;
}
