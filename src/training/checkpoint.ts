/**
 * A training state as one safetensors file: tensors `params.*`, `velocity.*`, `aggregate.*`; epoch and history in the metadata.
 * Written after an epoch and read back, training goes on to the same numbers, bit for bit.
 */
import { readSafetensors, type Stored, writeSafetensors } from "../clip/safetensors";
import type { Params } from "../methods/method";
import { tf } from "../tf";
import type { TrainState } from "./train";

const parts = ["params", "velocity", "aggregate"] as const;

/** Writes atomically: a reader sees the old file or the new one. */
export function saveState(path: string, state: TrainState): void {
  const tensors: Record<string, Stored> = {};
  for (const part of parts) {
    for (const [name, tensor] of Object.entries(state[part] ?? {})) {
      tensors[`${part}.${name}`] = { shape: tensor.shape, data: tensor.dataSync() as Float32Array };
    }
  }
  writeSafetensors(path, tensors, { epoch: String(state.epoch), history: JSON.stringify(state.history) });
}

/** @returns tensors for `train`'s `resume`, which takes them over. @throws where the file is no such state. */
export function loadState(path: string): TrainState {
  const { tensors, metadata } = readSafetensors(path);
  const epoch = Number(metadata.epoch);
  if (!Number.isInteger(epoch) || metadata.history === undefined) throw new Error(`${path} holds no training state (no epoch, no history)`);
  const take = (part: string): Params | null => {
    const entries = Object.entries(tensors).filter(([name]) => name.startsWith(`${part}.`));
    if (entries.length === 0) return null;
    return Object.fromEntries(entries.map(([name, { data, shape }]) => [name.slice(part.length + 1), tf.tensor(data, shape)]));
  };
  return {
    epoch,
    params: take("params") ?? {},
    velocity: take("velocity"),
    aggregate: take("aggregate"),
    history: JSON.parse(metadata.history),
  };
}
