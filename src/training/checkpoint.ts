/**
 * Saves and loads a checkpoint of a training as one safetensors file. It contains the parameters after each epoch
 * (`1.<name>`, `2.<name>`, ...) and what the optimiser keeps (`velocity.<name>` of SGD, `first.<name>` and
 * `second.<name>` of Adam); the metadata contains the epoch, the number of steps and the history.
 * A training that is resumed from a checkpoint gives bit for bit the same numbers as one without interruption. The
 * checkpoint of the last epoch is the trained method, from which any ensemble of the epochs can be computed. A kit with
 * other records of the epochs in the history does not find the file: its name is a hash that covers the code.
 */
import { readSealed, type Stored, writeSealed } from "../io/safetensors";
import { type HostParams, toDevice, toHost } from "./ensemble";
import type { TrainState } from "./train";

/** Writes atomically: a reader sees either the old file or the new one. Creates the folder if needed. */
export function saveState(path: string, { epoch, trajectory, optimiser, history }: TrainState): void {
  const tensors: Record<string, Stored> = {};
  const add = (prefix: string, params: HostParams) => {
    for (const [name, stored] of Object.entries(params)) tensors[`${prefix}.${name}`] = stored;
  };
  trajectory.forEach((params, e) => {
    add(String(e + 1), params);
  });
  for (const [kind, moment] of Object.entries(optimiser?.moments ?? {})) add(kind, toHost(moment));
  const steps = String(optimiser?.steps ?? 0);
  writeSealed(path, tensors, { epoch: String(epoch), steps, history: JSON.stringify(history) });
}

/**
 * @returns a state for the option `resume` of `train`, which becomes the owner of its tensors
 * @throws if the file is not a checkpoint of a training, or is damaged
 */
export function loadState(path: string): TrainState {
  const { tensors, metadata } = readSealed(path);
  const epoch = Number(metadata.epoch);
  if (!(Number.isInteger(epoch) && epoch > 0) || metadata.history === undefined)
    throw new Error(`${path} is not a checkpoint of a training: its metadata has no epoch or no history`);
  const withPrefix = (prefix: string): HostParams =>
    Object.fromEntries(
      Object.entries(tensors).flatMap(([name, stored]) =>
        name.startsWith(`${prefix}.`) ? [[name.slice(prefix.length + 1), stored]] : [],
      ),
    );
  const trajectory = Array.from({ length: epoch }, (_, e) => withPrefix(String(e + 1)));
  const kinds = new Set(Object.keys(tensors).map((name) => name.slice(0, name.indexOf("."))));
  const moments = Object.fromEntries(
    [...kinds].filter((kind) => !/^\d+$/.test(kind)).map((kind) => [kind, toDevice(withPrefix(kind))]),
  );
  const optimiser = { steps: Number(metadata.steps ?? 0), moments };
  return {
    epoch,
    trajectory,
    params: toDevice(trajectory[epoch - 1]),
    optimiser,
    history: JSON.parse(metadata.history),
  };
}
