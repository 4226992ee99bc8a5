/**
 * Runs that ended with an error. Each is tried once by a command, even if several processes share its grid: a file
 * beside the locks tells the others, and the next command tries it again.
 */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { removeIfPossible, writeAtomic } from "../io/atomicWrite";
import { bytesText } from "../io/disk";
import type { Lock } from "./lock";

/** A run that ended with an error: its place, as in the progress line, and the reason. */
export type Failure = { place: string; reason: string };

const fileOf = (root: string, key: string): string => join(root, ".partial", `${key}.failed`);

/** Tells the processes that share the grid that a run failed. */
export function recordFailure(root: string, key: string, { reason }: Failure): void {
  try {
    writeAtomic(fileOf(root, key), reason);
  } catch {} // then the others try it as well
}

/** Why a run failed since a time in milliseconds, if another process has tried it. */
export function failureSince(root: string, key: string, since: number): string | undefined {
  try {
    const file = fileOf(root, key);
    return statSync(file).mtimeMs > since ? readFileSync(file, "utf8") : undefined;
  } catch {
    return undefined;
  }
}

export const forgetFailure = (root: string, key: string): void => removeIfPossible(fileOf(root, key));

/** In a few words, for a line and a list: "2 of 9 runs failed: ...". */
export const failureText = (failed: Failure[], count: number, by = "the same command"): string =>
  `${failed.length} of ${count} runs failed, and are tried again by ${by}:\n` +
  failed.map(({ place, reason }) => `  ${place}: ${reason}`).join("\n");

/** What is said of a process that was killed during a run. */
export const abandonedText = ({ pid, place, outOfMemory }: NonNullable<Lock["abandoned"]>, needed?: number): string =>
  `${place}: process ${pid}, which computed it, ended before it was finished${
    outOfMemory
      ? `; the kernel has ended processes since then because memory ran out, probably this one${needed ? ` (it needs about ${bytesText(needed)})` : ""}: reduce --processes, or the batch, or close other programs`
      : ""
  }. It goes on from what is stored`;
