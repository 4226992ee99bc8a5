/**
 * Saves and loads a checkpoint of a training as one safetensors file. It contains the parameters after each epoch
 * (`1.<name>`, `2.<name>`, ...) and the optimiser's `velocity.<name>`; the metadata contains the epoch and the history.
 * A training that is resumed from a checkpoint gives bit for bit the same numbers as one without interruption. The
 * checkpoint of the last epoch is the trained method, from which any ensemble of the epochs can be computed. A kit with
 * other records of the epochs in the history does not find the file: its name is a hash that covers the code.
 */
import { readSealed, type Stored, writeSealed } from "../io/safetensors";
import { type HostParams, toDevice, toHost } from "./ensemble";
import type { TrainState } from "./train";

/** Writes atomically: a reader sees either the old file or the new one. Creates the folder if needed. */
export function saveState(path: string, { epoch, trajectory, velocity, history }: TrainState): void {
  const tensors: Record<string, Stored> = {};
  const add = (prefix: string, params: HostParams) => {
    for (const [name, stored] of Object.entries(params)) tensors[`${prefix}.${name}`] = stored;
  };
  trajectory.forEach((params, e) => {
    add(String(e + 1), params);
  });
  if (velocity) add("velocity", toHost(velocity));
  writeSealed(path, tensors, { epoch: String(epoch), history: JSON.stringify(history) });
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
  const [params, velocity] = [toDevice(trajectory[epoch - 1]), toDevice(withPrefix("velocity"))];
  return { epoch, trajectory, params, velocity, history: JSON.parse(metadata.history) };
}
