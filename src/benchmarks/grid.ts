/** Many runs one after the other: what is stored is reused, what is done is stored at once, one progress line covers all. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Environment } from "../results/environment";
import { findRun, type Identity, numericsVersion, type Run, resultsFolder, runKey, saveRun } from "../results/store";
import { clock, type Meter, type Status } from "./progress";

/** What a job computes beyond its identity. */
export type Outcome = Pick<Run, "metrics" | "epochs" | "seconds">;

/** How a job tells where it stands: `work` of its own, in the unit of `Job.work`. */
export type Report = (status: Omit<Status, "place" | "total">) => void;

export type Job = {
  identity: Omit<Identity, "numerics">;
  /** Where it runs, for people: "food . PromptSRC . seed 1". */
  place: string;
  /** Something about the data that a reader of the results should know. */
  note?: string;
  /** Pictures through the encoders, weighted by cost: what the whole job takes. */
  work: number;
  /** Whether a stored run holds all that is asked for (accuracies per epoch may be missing). */
  suffices(run: Run): boolean;
  /** `partial` is a folder for what an interrupted run leaves to go on from. @throws the signal's reason when it is aborted */
  run(options: { signal?: AbortSignal; report: Report; partial: string }): Promise<Outcome>;
};

export type GridOptions = {
  meter: Meter;
  signal?: AbortSignal;
  /** Compute all runs anew. */
  fresh?: boolean;
  environment: Environment;
  root?: string;
};

/** `runs` are those asked for and there, in the order of the jobs; `reused` the keys of those that were stored before. */
export type GridResult = { runs: Run[]; reused: string[]; interrupted: boolean; seconds: number };

const sentence = (run: Run): string =>
  Object.entries(run.metrics)
    .map(([name, value]) => `${name} ${value.toFixed(1)}`)
    .join(", ");

/** Runs the jobs that have no stored result. An interrupt ends it early with what is done; the next call goes on from there. */
export async function runGrid(jobs: Job[], options: GridOptions): Promise<GridResult> {
  const { meter, signal, fresh, environment, root = resultsFolder } = options;
  const started = Date.now();
  const identities = jobs.map((job): Identity => ({ ...job.identity, numerics: numericsVersion }));
  const found = jobs.map((job, k) => {
    const run = fresh ? undefined : findRun(identities[k], root);
    return run && job.suffices(run) ? run : undefined;
  });
  const reused = found.flatMap((run) => (run ? [run.key] : []));
  if (reused.length > 0) meter.say(`${reused.length} of ${jobs.length} runs are stored in ${root} and reused`);
  for (const note of new Set(jobs.flatMap((job) => job.note ?? []))) meter.say(note);
  const todo = jobs.map((_, k) => k).filter((k) => !found[k]);
  const total = todo.reduce((sum, k) => sum + jobs[k].work, 0);
  const result = (interrupted: boolean): GridResult => ({
    runs: found.filter((run) => run !== undefined) as Run[],
    reused,
    interrupted,
    seconds: (Date.now() - started) / 1000,
  });

  let before = 0;
  for (const [at, k] of todo.entries()) {
    const job = jobs[k];
    const place = todo.length > 1 ? `${at + 1}/${todo.length} \u00b7 ${job.place}` : job.place;
    const key = runKey(identities[k]);
    const partial = join(root, ".partial", key);
    try {
      const outcome = await job.run({
        signal,
        partial,
        report: (status) => meter.report({ ...status, place, work: before + status.work, total }),
      });
      const run: Run = { ...identities[k], key, ...outcome, finished: new Date().toISOString(), ...environment };
      saveRun(run, root);
      rmSync(partial, { recursive: true, force: true });
      found[k] = run;
      meter.say(`${job.place}: ${sentence(run)} (${clock(run.seconds)})`);
    } catch (error) {
      meter.done();
      if (!signal?.aborted) throw error;
      meter.say(`interrupted: ${at} of ${todo.length} runs done and stored; the same command goes on from here`);
      return result(true);
    }
    before += job.work;
  }
  meter.done();
  return result(false);
}
