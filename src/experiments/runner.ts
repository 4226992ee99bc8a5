/**
 * Many runs one after the other: what is stored is reused, what is done is stored at once, one progress line covers all. Several processes
 * may work on the same grid: each takes what no other is at, and all end with all runs.
 */
import { existsSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import {
  findRun,
  type Identity,
  isShipped,
  type Provenance,
  type Run,
  resultsFolder,
  runKey,
  saveRun,
  shippedFolder,
} from "../results/store";
import { claim, type Lock } from "./lock";
import { clock, type Meter, type Status } from "./progress";

/** What a job computes beyond its identity. */
export type JobResult = Pick<Run, "metrics" | "epochs" | "seconds">;

/** How a job tells where it stands: `work` of its own, in the unit of `Job.testing`. */
export type ReportProgress = (status: Omit<Status, "place" | "total">) => void;

/** `trained` is the file of the job's training, `partial` a folder for what else an interrupted run leaves to go on from. */
export type JobContext = { signal?: AbortSignal; report: ReportProgress; trained: string; partial: string };

export type Job = {
  identity: Identity;
  /** False for what nobody could recognise later, such as a method that lives in a notebook cell: it is computed each time. */
  stored?: boolean;
  /** The row of the tables that it belongs to. */
  row: string;
  /** Where it runs, for people: "food . PromptSRC . seed 1". */
  place: string;
  /** Something about the data that a reader of the results should know. */
  note?: string;
  /** What is learnt, by its key: jobs with the same one share it. Work counts pictures through the encoders, weighted by cost. */
  training?: { key: string; work: number };
  /** Work of the tests. */
  testing: number;
  /** Whether a stored run holds all that is asked for (accuracies per epoch may be missing). */
  suffices(run: Run): boolean;
  /** Does the training, unless it is stored, then the tests. @throws the signal's reason when it is aborted */
  run(hooks: JobContext): Promise<JobResult>;
};

export type GridOptions = {
  meter: Meter;
  signal?: AbortSignal;
  /** Compute all runs anew. */
  fresh?: boolean;
  /** When this grid began (now), in milliseconds: with `fresh`, older runs and trainings are computed anew. */
  since?: number;
  /** What the runs are made with, for their files. */
  provenance: Provenance;
  root?: string;
  /** Whether runs that came with the kit stand for computing them (yes, unless it is said). */
  shipped?: boolean;
};

/** `runs` are those asked for and there, in the order of the jobs; `reused` the keys of those that were stored before. */
export type GridResult = { runs: Run[]; reused: string[]; interrupted: boolean; seconds: number };

const sentence = (run: Run): string =>
  Object.entries(run.metrics)
    .map(([name, value]) => `${name} ${value.toFixed(1)}`)
    .join(", ");

const storedRun = (job: Job, root: string, shipped = true): Run | undefined => {
  if (job.stored === false) return undefined;
  return findRun(job.identity, root, { suffices: job.suffices, shipped });
};

/** Where a training is stored, by its key. */
export const trainedFile = (key: string, root = resultsFolder): string => join(root, ".trained", `${key}.safetensors`);

/** The runs of these jobs that are stored, in their order. */
export const storedRuns = (jobs: Job[], root = resultsFolder): Run[] =>
  jobs.flatMap((job) => storedRun(job, root) ?? []);

/** The rows of tables that finished runs belong to; a run that several jobs stand for belongs to the row of each. */
export const rowsOf = (jobs: Job[], runs: Run[]): { row: string; run: Run }[] =>
  jobs.flatMap((job) => {
    const key = runKey(job.identity);
    const run = runs.find((run) => run.key === key);
    return run ? [{ row: job.row, run }] : [];
  });

/** Runs the jobs that have no stored result. An interrupt ends it early with what is done; the next call goes on from there. */
export async function runGrid(jobs: Job[], options: GridOptions): Promise<GridResult> {
  const {
    meter,
    signal,
    fresh,
    provenance,
    root = resultsFolder,
    since: started = Date.now(),
    shipped: mayBeShipped = true,
  } = options;
  const isNew = (time: number) => !fresh || time >= started;
  const stored = (job: Job) => {
    const run = storedRun(job, root, mayBeShipped);
    return run && isNew(Date.parse(run.finished)) ? run : undefined;
  };
  const isTrained = (key: string) => {
    const file = trainedFile(key, root);
    return existsSync(file) && isNew(statSync(file).mtimeMs);
  };

  const found = jobs.map(stored);
  const reused = found.flatMap((run) => (run ? [run.key] : []));
  const shipped = found.filter((run) => run && isShipped(run)).length;
  const local = reused.length - shipped;
  if (local > 0) meter.say(`${local} of ${jobs.length} runs are stored in ${root} and reused`);
  if (shipped > 0) {
    meter.say(
      `${shipped} of ${jobs.length} runs came with the kit (${shippedFolder}), made by other code than this one; data/README.md says how far they move`,
    );
  }
  const unstored = new Set(jobs.filter((job) => job.stored === false).map((job) => job.identity.method));
  if (unstored.size > 0) {
    meter.say(
      `${[...unstored].join(", ")}: not in the registry and without a \`version\`, so nothing is stored and all is computed each time`,
    );
  }
  for (const note of new Set(jobs.flatMap((job) => job.note ?? []))) meter.say(note);
  let open = jobs.map((_, k) => k).filter((k) => !found[k]);
  const count = open.length;
  const result = (interrupted: boolean): GridResult => ({
    runs: found.filter((run) => run !== undefined) as Run[],
    reused,
    interrupted,
    seconds: (Date.now() - started) / 1000,
  });

  /** Work that is left for some jobs: a training that they share counts once, a stored one not at all. */
  const left = (which: number[]): number => {
    const trainings = new Map(
      which.flatMap((k) => (jobs[k].training ? [[jobs[k].training.key, jobs[k].training.work]] : [])),
    );
    const training = [...trainings].reduce((sum, [key, work]) => sum + (isTrained(key) ? 0 : work), 0);
    return which.reduce((sum, k) => sum + jobs[k].testing, training);
  };

  let done = 0;
  const compute = async (k: number, lock: Lock): Promise<void> => {
    const job = jobs[k];
    const key = runKey(job.identity);
    const partial = join(root, ".partial", key);
    if (job.stored === false) rmSync(partial, { recursive: true, force: true });
    const trained =
      job.stored === false ? join(partial, "trained.safetensors") : trainedFile(job.training?.key ?? key, root);
    if (job.training && job.stored !== false && !isTrained(job.training.key)) rmSync(trained, { force: true });
    const skipped = job.training && job.stored !== false && isTrained(job.training.key) ? job.training.work : 0;
    const total = done + left(open);
    const place = count > 1 ? `${count - open.length + 1}/${count} \u00b7 ${job.place}` : job.place;
    const report: ReportProgress = (status) => {
      lock.touch();
      meter.report({ ...status, place, work: done + Math.max(0, status.work - skipped), total });
    };
    const outcome = await job.run({ signal, partial, trained, report });
    const run: Run = { ...job.identity, key, ...outcome, finished: new Date().toISOString(), provenance };
    if (job.stored !== false) saveRun(run, root);
    rmSync(partial, { recursive: true, force: true });
    found[k] = run;
    done += (job.training?.work ?? 0) + job.testing - skipped;
    meter.say(`${job.place}: ${sentence(run)} (${clock(run.seconds)})`);
  };

  let waiting = false;
  try {
    while (open.length > 0) {
      const before = open.length;
      for (const k of open) {
        signal?.throwIfAborted();
        const lock = claim(join(root, ".partial", `${jobs[k].training?.key ?? runKey(jobs[k].identity)}.lock`));
        if (!lock) continue;
        try {
          found[k] = stored(jobs[k]); // by another process, since
          if (!found[k]) await compute(k, lock);
        } finally {
          lock.release();
        }
        open = open.filter((other) => other !== k);
      }
      if (open.length === 0 || open.length < before) continue;
      if (!waiting)
        meter.say(`${open.length} of ${count} runs are being computed by another process; waiting for them`);
      waiting = true;
      await setTimeout(500, undefined, { signal });
    }
  } catch (error) {
    meter.done();
    if (!signal?.aborted) throw error;
    meter.say(
      `interrupted: ${count - open.length} of ${count} runs done and stored; the same command goes on from here`,
    );
    return result(true);
  }
  meter.done();
  return result(false);
}
