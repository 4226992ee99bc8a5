/**
 * A training state as one safetensors file: the parameters after each epoch (`1.<name>`, `2.<name>` ...) and `velocity.<name>`; epoch and
 * history in the metadata. Written after an epoch and read back, training goes on to the same numbers, bit for bit; after the last epoch it
 * is the trained method, from which every ensemble of the epochs can be made.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { readSafetensors, type Stored, writeSafetensors } from "../io/safetensors";
import { type HostParams, toDevice, toHost } from "./ensemble";
import type { TrainState } from "./train";

/** Writes atomically: a reader sees the old file or the new one. Makes the folder. */
export function saveState(path: string, { epoch, trajectory, velocity, history }: TrainState): void {
  const tensors: Record<string, Stored> = {};
  const put = (part: string, kept: HostParams) => {
    for (const [name, stored] of Object.entries(kept)) tensors[`${part}.${name}`] = stored;
  };
  trajectory.forEach((kept, e) => {
    put(String(e + 1), kept);
  });
  if (velocity) put("velocity", toHost(velocity));
  mkdirSync(dirname(path), { recursive: true });
  writeSafetensors(path, tensors, { epoch: String(epoch), history: JSON.stringify(history) });
}

/** @returns a state for `train`'s `resume`, which takes its tensors over. @throws where the file is no such state. */
export function loadState(path: string): TrainState {
  const { tensors, metadata } = readSafetensors(path);
  const epoch = Number(metadata.epoch);
  if (!(Number.isInteger(epoch) && epoch > 0) || metadata.history === undefined)
    throw new Error(`${path} holds no training state (no epoch, no history)`);
  const take = (part: string): HostParams =>
    Object.fromEntries(
      Object.entries(tensors).flatMap(([name, stored]) =>
        name.startsWith(`${part}.`) ? [[name.slice(part.length + 1), stored]] : [],
      ),
    );
  const trajectory = Array.from({ length: epoch }, (_, e) => take(String(e + 1)));
  const [params, velocity] = [toDevice(trajectory[epoch - 1]), toDevice(take("velocity"))];
  return { epoch, trajectory, params, velocity, history: JSON.parse(metadata.history) };
}
