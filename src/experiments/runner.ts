/**
 * Executes many runs one after the other. Stored results are reused, a new result is stored as soon as it is
 * computed, and one progress line covers the whole grid. Several processes may work on the same grid: each takes the
 * runs that no other process is computing, and every process ends with all runs.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { checkPrecision } from "../engine/tf";
import { removeAbandonedParts, removeIfPossible } from "../io/atomicWrite";
import { DiskError, makeFolder } from "../io/disk";
import { savePredictions } from "../results/predictions";
import { isShipped, type Provenance, type Run, resultsFolder, runKey, saveRun, shippedFolder } from "../results/store";
import { abandonedText, type Failure, failureSince, forgetFailure, recordFailure } from "./failures";
import { isTrained, type Job, metricsText, type ReportProgress, storedRun, trainedFile } from "./job";
import { claim, type Lock } from "./lock";
import { clock, type Meter } from "./progress";
import { checkDisk, checkMemory, diskAdvice } from "./room";

type GridOptions = {
  meter: Meter;
  signal?: AbortSignal;
  /** Runs and trainings stored before this time (milliseconds) are computed again; by default none is. */
  fresh?: number;
  /** Start of this grid in milliseconds, by default now: what has failed since then is not tried again. */
  since?: number;
  /** What the runs are computed with, as their files record it. */
  provenance: Provenance;
  root?: string;
  /** How many processes share the grid and its memory (default: 1). */
  processes?: number;
  /**
   * Whether no other machine computes these jobs, as those of a plan's part (default: false). A lock of another machine
   * is then left from an earlier attempt, and is taken over at once.
   */
  alone?: boolean;
  /** Whether runs that came with the kit are used instead of computing them (default: true). */
  shipped?: boolean;
  /** Called after every further run, with all runs that there are. */
  finished?(runs: Run[]): void;
};

/**
 * `runs` are the requested runs that exist, in the order of the jobs. `reused` are the keys of those that were already
 * stored. `failed` are those that ended with an error; they are tried again by the next call.
 */
export type GridResult = {
  runs: Run[];
  reused: string[];
  failed: Failure[];
  interrupted: boolean;
  seconds: number;
};

/**
 * Runs the jobs that have no stored result. A run that ends with an error is reported, and the others go on. An
 * interrupt returns early with the finished runs; the next call resumes from there.
 * @throws DiskError if the results cannot be stored; what was computed before is, and the next call resumes from there
 */
export async function runGrid(jobs: Job[], options: GridOptions): Promise<GridResult> {
  const {
    meter,
    signal,
    fresh = 0,
    provenance,
    root = resultsFolder,
    processes = 1,
    alone,
    since: startTime = Date.now(),
    shipped: useShipped = true,
  } = options;
  const findStored = (job: Job) => storedRun(job, root, useShipped, fresh);

  const runs = jobs.map(findStored);
  const reused = runs.flatMap((run) => (run ? [run.key] : []));
  const shippedCount = runs.filter((run) => run && isShipped(run)).length;
  const localCount = reused.length - shippedCount;
  if (localCount > 0) meter.say(`${localCount} of ${jobs.length} runs are stored in ${root} and reused`);
  if (shippedCount > 0) {
    meter.say(
      `${shippedCount} of ${jobs.length} runs came with the kit (${shippedFolder}), made by other code than this one; data/README.md says how far they move`,
    );
  }
  const unstoredMethods = new Set(jobs.filter((job) => job.stored === false).map((job) => job.identity.method));
  if (unstoredMethods.size > 0) {
    meter.say(
      `${[...unstoredMethods].join(", ")}: neither in the registry nor with a \`version\`, so runs are not stored and are computed every time`,
    );
  }
  for (const note of new Set(jobs.flatMap((job) => job.note ?? []))) meter.say(note);
  const failed: Failure[] = [];
  for (const [k, { place, refused }] of jobs.entries()) {
    if (runs[k] || refused === undefined) continue;
    failed.push({ place, reason: refused });
    meter.say(`${place}: FAILED, ${refused}`);
  }
  let pending = jobs.map((_, k) => k).filter((k) => !runs[k] && jobs[k].refused === undefined);
  const count = pending.length;
  if (count > 0) checkPrecision();
  if (count > 0) checkRoom();
  const result = (interrupted: boolean): GridResult => ({
    runs: runs.filter((run) => run !== undefined) as Run[],
    reused,
    failed,
    interrupted,
    seconds: (Date.now() - startTime) / 1000,
  });

  /** The remaining work of the jobs with these indices. A shared training counts once, a stored training not at all. */
  const remainingWork = (indices: number[]): number => {
    const trainings = new Map(
      indices.flatMap((k) => (jobs[k].training ? [[jobs[k].training.key, jobs[k].training.work]] : [])),
    );
    const training = [...trainings].reduce((sum, [key, work]) => sum + (isTrained(key, root, fresh) ? 0 : work), 0);
    return indices.reduce((sum, k) => sum + jobs[k].testing, training);
  };

  /** @throws DiskError or an Error if disk or memory have no room for the runs */
  function checkRoom(): void {
    const trainings = new Map<string, number>();
    for (const k of pending) {
      const key = jobs[k].training?.key ?? runKey(jobs[k].identity);
      if (trainings.has(key) || isTrained(key, root, fresh)) continue;
      const needs = jobs[k].needs?.();
      trainings.set(key, needs?.stored ?? 0);
      if (needs && processes > 1) checkMemory(needs, processes);
    }
    try {
      makeFolder(root);
      if (!alone) removeAbandonedParts(root); // of many machines at once, each would list all folders
      checkDisk(root, [...trainings.values()], count);
    } catch (error) {
      throw error instanceof DiskError ? new DiskError(`${error.message}. ${diskAdvice}`) : error;
    }
  }

  let doneWork = 0;
  const compute = async (k: number, lock: Lock): Promise<void> => {
    const job = jobs[k];
    const key = runKey(job.identity);
    const partial = join(root, ".partial", key);
    const needs = job.needs?.();
    if (lock.abandoned) meter.say(abandonedText(lock.abandoned, needs?.memory));
    if (needs) checkMemory(needs);
    if (job.stored === false) rmSync(partial, { recursive: true, force: true });
    const trained =
      job.stored === false ? join(partial, "trained.safetensors") : trainedFile(job.training?.key ?? key, root);
    if (job.training && job.stored !== false && !isTrained(job.training.key, root, fresh))
      rmSync(trained, { force: true });
    const skippedWork =
      job.training && job.stored !== false && isTrained(job.training.key, root, fresh) ? job.training.work : 0;
    const total = doneWork + remainingWork(pending);
    const place = count > 1 ? `${count - pending.length + 1}/${count} \u00b7 ${job.place}` : job.place;
    const report: ReportProgress = (status) => {
      lock.touch();
      meter.report({ ...status, place, work: doneWork + Math.max(0, status.work - skippedWork), total });
    };
    const { predictions, ...outcome } = await job.run({ signal, partial, trained, report });
    const run: Run = { ...job.identity, key, ...outcome, finished: new Date().toISOString(), provenance };
    if (job.stored !== false && predictions) savePredictions(run, predictions, root);
    if (job.stored !== false) saveRun(run, root);
    removeIfPossible(partial);
    forgetFailure(root, key);
    runs[k] = run;
    doneWork += (job.training?.work ?? 0) + job.testing - skippedWork;
    meter.say(`${job.place}: ${metricsText(run)} (${clock(run.seconds)})`);
  };

  let isWaiting = false;
  try {
    while (pending.length > 0) {
      const pendingBefore = pending.length;
      for (const k of pending) {
        signal?.throwIfAborted();
        const { place, identity, training } = jobs[k];
        const key = runKey(identity);
        const lock = claim(join(root, ".partial", `${training?.key ?? key}.lock`), place, alone);
        if (!lock) continue;
        try {
          runs[k] = findStored(jobs[k]); // another process may have stored it since
          const reason = runs[k] ? undefined : failureSince(root, key, startTime);
          if (reason !== undefined) failed.push({ place, reason });
          else if (!runs[k]) await compute(k, lock);
        } catch (error) {
          if (signal?.aborted || error instanceof DiskError) throw error;
          const failure = { place, reason: error instanceof Error ? error.message : String(error) };
          failed.push(failure);
          recordFailure(root, key, failure);
          meter.say(`${place}: FAILED, ${failure.reason}`);
        } finally {
          lock.release();
        }
        pending = pending.filter((other) => other !== k);
        if (runs[k]) options.finished?.(result(false).runs);
      }
      if (pending.length === 0 || pending.length < pendingBefore) continue;
      if (!isWaiting)
        meter.say(`${pending.length} of ${count} runs are being computed by another process; waiting for them`);
      isWaiting = true;
      await setTimeout(500, undefined, { signal });
    }
  } catch (error) {
    meter.done();
    const done = `${count - pending.length - failed.length} of ${count} runs done and stored; the same command goes on from here`;
    if (error instanceof DiskError) throw new DiskError(`${error.message}. ${done}. ${diskAdvice}`);
    if (!signal?.aborted) throw error;
    meter.say(`interrupted: ${done}`);
    return result(true);
  }
  meter.done();
  return result(false);
}
