/**
 * A job: what is to be computed for one run of a grid, and what is stored of it and of its training.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import type { TestPredictions } from "../results/predictions";
import { findRun, type Identity, type Run, resultsFolder, runKey } from "../results/store";
import type { Status } from "./progress";
import type { Needs } from "./room";

/** What a job computes: the part of a run that its identity does not contain, and the predictions behind it. */
export type JobResult = Pick<Run, "metrics" | "epochs" | "seconds"> & { predictions?: TestPredictions };

/** Callback by which a job reports its progress. `work` is the work of this job alone, in the unit of `Job.testing`. */
export type ReportProgress = (status: Omit<Status, "place" | "total">) => void;

/**
 * `trained` is the file that stores the job's training. `partial` is a folder for all else that an interrupted run
 * resumes from.
 */
export type JobContext = { signal?: AbortSignal; report: ReportProgress; trained: string; partial: string };

export type Job = {
  identity: Identity;
  /**
   * False if a stored run could not be identified later, for example because its method is defined in a notebook
   * cell. Such a run is computed every time.
   */
  stored?: boolean;
  /** The table row that the run belongs to. */
  row: string;
  /** Name of the run for the progress line, such as "food . PromptSRC . seed 1". */
  place: string;
  /** A remark about the data that a reader of the results should know. */
  note?: string;
  /**
   * The training, identified by its key: jobs with the same key share it. `work` counts images passed through the
   * encoders, weighted by cost.
   */
  training?: { key: string; work: number };
  /** Work of the tests, in the unit of `training.work`. */
  testing: number;
  /** Why the run cannot be made, if that is known before anything is computed. */
  refused?: string;
  /** The memory and the room on the disk that the run takes, if they can be estimated. */
  needs?(): Needs;
  /**
   * Whether a stored run of the folder `root` contains everything that is asked for: its accuracies per epoch, or its
   * predictions, may be missing.
   */
  suffices(run: Run, root: string): boolean;
  /** Trains, unless the training is stored, and then tests. @throws the signal's reason when it is aborted */
  run(hooks: JobContext): Promise<JobResult>;
};

/** A run's accuracies in one line. */
export const metricsText = (run: Run): string =>
  Object.entries(run.metrics)
    .map(([name, value]) => `${name} ${value.toFixed(1)}`)
    .join(", ");

/** @param fresh a time in milliseconds: runs from before it do not count */
export function storedRun(job: Job, root: string, shipped: boolean, fresh: number): Run | undefined {
  if (job.stored === false) return undefined;
  const run = findRun(job.identity, root, { suffices: job.suffices, shipped });
  return run && Date.parse(run.finished) >= fresh ? run : undefined;
}

/** The file in which the training with this key is stored. */
export const trainedFile = (key: string, root = resultsFolder): string => join(root, ".trained", `${key}.safetensors`);

/** Whether a training with this key is stored, finished or not, and not before the time `fresh` (milliseconds). */
export const isTrained = (key: string, root: string, fresh = 0): boolean =>
  (statSync(trainedFile(key, root), { throwIfNoEntry: false })?.mtimeMs ?? -1) >= fresh;

/**
 * The stored runs of these jobs, in the order of the jobs.
 * @param shipped whether those that came with the kit count
 * @param fresh a time in milliseconds: runs from before it do not count
 */
export const storedRuns = (jobs: Job[], root = resultsFolder, shipped = true, fresh = 0): Run[] =>
  jobs.flatMap((job) => storedRun(job, root, shipped, fresh) ?? []);

/**
 * The finished runs with their table rows. A run that belongs to jobs of several rows appears in each of them, but in
 * none twice: a seed that is named twice is no second seed.
 */
export function rowsOf(jobs: Job[], runs: Run[]): { row: string; run: Run }[] {
  const seen = new Set<string>();
  return jobs.flatMap(({ row, identity }) => {
    const key = runKey(identity);
    const run = runs.find((run) => run.key === key);
    if (!run || seen.has(`${row} ${key}`)) return [];
    seen.add(`${row} ${key}`);
    return [{ row, run }];
  });
}
