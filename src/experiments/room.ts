/** Before runs are computed: whether disk and memory have room for them. */

import { join, resolve } from "node:path";
import { removeIfPossible, writeAtomic } from "../io/atomicWrite";
import { bytesText, DiskError, freeBytes } from "../io/disk";
import { availableMemory } from "../util/memory";

/** What a run takes, estimated. */
export type Needs = {
  /** Bytes of memory, besides the model. */
  memory: number;
  /** Bytes of the file that stores the training. */
  stored: number;
  /** Settings that reduce the memory, with their values, such as "batch (32)". */
  reduce: string[];
};

/** A result with its curves takes some kilobytes. */
const resultBytes = 64_000;

/**
 * @param trainings bytes of the files of the trainings that are not stored yet
 * @param runs how many results are to be stored
 * @throws DiskError that names the folder, and how much is needed and free
 */
export function checkDisk(root: string, trainings: number[], runs: number): void {
  const probe = join(root, ".partial", `${process.pid}.probe`);
  writeAtomic(probe, "");
  removeIfPossible(probe);
  // While a training is stored after an epoch, its file of the epoch before is still there.
  const needed = trainings.reduce((sum, bytes) => sum + bytes, Math.max(0, ...trainings)) + runs * resultBytes;
  const free = freeBytes(root);
  if (needed <= free) return;
  throw new DiskError(
    `${resolve(root)}: ${runs} runs and their trainings need up to ${bytesText(needed)}, ${bytesText(free)} are free on its disk`,
  );
}

/** What to do about a DiskError: the last sentence of the message. */
export const diskAdvice =
  "Free some space, or name a folder on another disk with --results (in a notebook: the argument `results`)";

/**
 * @param processes how many runs are computed at the same time; each process but this one loads the model as well
 * @throws an Error that says how much memory is needed and free, and what to change
 */
export function checkMemory({ memory: needed, reduce }: Needs, processes = 1, memory = availableMemory()): void {
  const others = (processes - 1) * process.memoryUsage.rss();
  if (!memory || needed * processes + others <= memory.free) return;
  const each = bytesText(needed);
  const wanted =
    processes === 1
      ? `about ${each} of memory are needed besides the model`
      : `${processes} processes need about ${bytesText(needed * processes + others)} of memory (${each} for the run of each)`;
  const limit = memory.limited ? " that this container or job may use" : "";
  const fewer = [...(processes > 1 ? [`--processes (${processes})`] : []), ...reduce];
  throw new Error(
    `${wanted}, ${bytesText(memory.free)} of the ${bytesText(memory.total)}${limit} are free. Reduce ${fewer.join(" or ")}`,
  );
}
