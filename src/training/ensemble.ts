/**
 * GPA, Gaussian-weighted prompt aggregation (paper, section 3.2.2, equation 6): the result is sum_e w_e P_e over the prompts P_e at
 * the end of each epoch e = 1..E, w_e = N(e; mean, std) over the sum of all. The official code takes the number that the paper
 * calls sigma^2 as the standard deviation. Training itself goes on from the raw prompts.
 */

import type { Ensemble } from "../configs/settings";
import { tf } from "../engine/tf";
import type { Stored } from "../io/safetensors";
import type { Params } from "../methods/method";

/** w_1..w_E, summing to 1. */
export function gpaWeights(epochs: number, { mean, std }: { mean: number; std: number }): number[] {
  // the largest exponent is taken out, so that a far or narrow Gaussian does not underflow to 0/0
  const exponents = Array.from({ length: epochs }, (_, i) => -0.5 * ((i + 1 - mean) / std) ** 2);
  const largest = Math.max(...exponents);
  const weights = exponents.map((exponent) => Math.exp(exponent - largest));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/** The weights of any ensemble of epochs, summing to 1. */
export function ensembleWeights(epochs: number, ensemble: Ensemble): number[] {
  if (ensemble && "mean" in ensemble) return gpaWeights(epochs, ensemble);
  const decay = ensemble && "decay" in ensemble ? ensemble.decay : 0;
  const weights = Array.from({ length: epochs }, (_, i) => decay ** (epochs - 1 - i));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/** Parameters kept outside the engine, so that the trajectory of a long training costs no tensors. */
export type HostParams = Record<string, Stored>;

export const toHost = (params: Params): HostParams =>
  Object.fromEntries(
    Object.entries(params).map(([name, p]) => [name, { shape: p.shape, data: p.dataSync().slice() as Float32Array }]),
  );

export const toDevice = (kept: HostParams): Params =>
  Object.fromEntries(Object.entries(kept).map(([name, { data, shape }]) => [name, tf.tensor(data, shape)]));

/** sum_e w_e P_e. `trajectory` holds the parameters P_e after each epoch. */
export function aggregate(trajectory: HostParams[], ensemble: Ensemble): Params {
  const weights = ensembleWeights(trajectory.length, ensemble);
  const counted = trajectory.map((params, e) => ({ params, weight: weights[e] })).filter(({ weight }) => weight > 0);
  const sum = (name: string) =>
    counted
      .map(({ params, weight }) => tf.mul(tf.tensor(params[name].data, params[name].shape), weight))
      .reduce((a, b) => tf.add(a, b));
  return Object.fromEntries(Object.keys(counted[0].params).map((name) => [name, tf.tidy(() => sum(name))]));
}
