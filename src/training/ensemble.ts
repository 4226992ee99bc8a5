/**
 * GPA, Gaussian-weighted prompt aggregation (paper, section 3.2.2, equation 6): the result of a training is
 * sum_e w_e P_e, where P_e are the prompts at the end of epoch e = 1..E, and the weights w_e are N(e; mean, std),
 * divided by their sum. As standard deviation the official code uses the number that the paper calls sigma^2. The
 * aggregation does not affect the training itself, which continues from the prompts P_e.
 */

import type { Ensemble } from "../configs/settings";
import { tf } from "../engine/tf";
import type { Stored } from "../io/safetensors";
import type { Params } from "../methods/method";

/** The Gaussian weights w_1..w_E, which sum to 1. */
export function gpaWeights(epochs: number, { mean, std }: { mean: number; std: number }): number[] {
  // Subtracting the largest exponent avoids 0/0 by underflow when the Gaussian is narrow or far from all epochs.
  const exponents = Array.from({ length: epochs }, (_, i) => -0.5 * ((i + 1 - mean) / std) ** 2);
  const largest = Math.max(...exponents);
  const weights = exponents.map((exponent) => Math.exp(exponent - largest));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/** The weights of the epochs for any kind of ensemble; they sum to 1. */
export function ensembleWeights(epochs: number, ensemble: Ensemble): number[] {
  if (ensemble && "mean" in ensemble) return gpaWeights(epochs, ensemble);
  const decay = ensemble && "decay" in ensemble ? ensemble.decay : 0;
  const weights = Array.from({ length: epochs }, (_, i) => decay ** (epochs - 1 - i));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/**
 * Why a Gaussian says nothing about the epochs that there are: it lies so far from all of them that even the nearest
 * has a density below 1e-6 of its peak (5.3 standard deviations). Divided by their sum, the weights would look sound.
 * @returns undefined for an ensemble that is sound
 */
export function senselessGpa(epochs: number, ensemble: Ensemble): string | undefined {
  if (!ensemble || !("mean" in ensemble)) return undefined;
  const { mean, std } = ensemble;
  const nearest = Math.min(Math.max(Math.round(mean), 1), epochs);
  const density = Math.exp(-0.5 * ((nearest - mean) / std) ** 2);
  if (density >= 1e-6) return undefined;
  return (
    `GPA's weights are all next to zero: its Gaussian has the mean ${mean} and the standard deviation ${std}, the epochs ` +
    `are 1 to ${epochs}, and that of epoch ${nearest}, the nearest, is ${density.toExponential(1)} of the peak. Set ` +
    `ensemble.mean between 1 and ${epochs}, or ensemble=null for the last epoch`
  );
}

/** Parameters as arrays outside the engine, so that storing the trajectory of a long training needs no tensors. */
export type HostParams = Record<string, Stored>;

export const toHost = (params: Params): HostParams =>
  Object.fromEntries(
    Object.entries(params).map(([name, p]) => [name, { shape: p.shape, data: p.dataSync().slice() as Float32Array }]),
  );

export const toDevice = (kept: HostParams): Params =>
  Object.fromEntries(Object.entries(kept).map(([name, { data, shape }]) => [name, tf.tensor(data, shape)]));

/** Euclidean distance of two sets of parameters. */
export function distance(a: HostParams, b: HostParams): number {
  let squares = 0;
  for (const [name, { data }] of Object.entries(a)) {
    for (let i = 0; i < data.length; i++) squares += (data[i] - b[name].data[i]) ** 2;
  }
  return Math.sqrt(squares);
}

/** Computes sum_e w_e P_e. @param trajectory the parameters P_e after each epoch */
export function aggregate(trajectory: HostParams[], ensemble: Ensemble): Params {
  const weights = ensembleWeights(trajectory.length, ensemble);
  const weighted = trajectory.map((params, e) => ({ params, weight: weights[e] })).filter(({ weight }) => weight > 0);
  const sum = (name: string) =>
    weighted
      .map(({ params, weight }) => tf.mul(tf.tensor(params[name].data, params[name].shape), weight))
      .reduce((a, b) => tf.add(a, b));
  return Object.fromEntries(Object.keys(weighted[0].params).map((name) => [name, tf.tidy(() => sum(name))]));
}
