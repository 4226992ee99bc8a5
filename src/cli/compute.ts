/**
 * Where the runs of a command are computed: in this process, in several on this machine, as a part of a plan (`--shard`),
 * or on a cluster (`--on slurm`). All divide the grid by the same plan (cluster/plan.ts).
 */
import { jobsOf, ownFirst, type Part, parseShard, planParts, type Shard } from "../cluster/plan";
import { requeue, type SlurmSettings, settingsFile, slurmSettings } from "../cluster/slurm";
import { type Plan, readPlan } from "../cluster/submitted";
import { failureText } from "../experiments/failures";
import { isTrained, type Job } from "../experiments/job";
import { meter, terminalScreen } from "../experiments/progress";
import { type GridResult, runGrid } from "../experiments/runner";
import type { Provenance } from "../results/store";
import { tableText } from "../results/table";
import { oneOf, UsageError } from "../util/errors";
import { estimateSeconds, openJobs, planTable } from "./estimate";
import { runOnSlurm } from "./onSlurm";
import { fromHere, onInterrupt, type parseOptions, processesOf, wholeNumber, without } from "./options";
import type { RunContext } from "./runContext";
import { isWorker, meterOfWorker, startWorkers, workerOf } from "./workers";

/** The options that say where runs are computed. */
export const placeOptions = {
  processes: { type: "string", default: "1" },
  shard: { type: "string" },
  plan: { type: "string" },
  on: { type: "string" },
  slurm: { type: "string" },
  tasks: { type: "string" },
  retry: { type: "boolean", default: false },
  "dry-run": { type: "boolean", default: false },
  fresh: { type: "boolean", default: false },
  tf32: { type: "boolean", default: false },
} as const;

export const placeHelp = `    --processes 1     how many processes share the runs and the threads; for small models as many as there are cores
    --shard 3/64      only the third of 64 parts, for machines that share the results folder (docs/scale.md)
    --on slurm        as a job array on a cluster: submits it, or shows one that was submitted (docs/scale.md)
      --slurm "..."   options of sbatch, beside those of ${settingsFile}: partition=gpu,gres=gpu:1,time=4:00:00
      --tasks 64      how many tasks the runs are divided into
      --retry         submits again what failed
    --dry-run         what would run and how long it takes, with --on slurm the tasks and their script; then it ends
    --fresh           compute again what is stored; with --on slurm it begins anew, and without it the command goes on
    --tf32            on a GPU: products round their inputs to TF32; its results are stored apart from those of float32`;

type Values = ReturnType<typeof parseOptions<typeof placeOptions>>["values"];

export type Place = {
  processes: number;
  dryRun: boolean;
  /** What was stored before this time (milliseconds) is computed again. */
  fresh?: number;
  /** A part of the plan of a submitted grid, or of the grid as it is. */
  shard?: Shard & { plan?: Plan; file?: string };
  slurm?: SlurmSettings & { retry: boolean };
};

/** @throws UsageError where options do not belong together, before the engine starts, which reads whether TF32 is asked */
export function placeOf(values: Values): Place {
  const { processes, shard, plan, on, slurm, tasks, retry, fresh, tf32, "dry-run": dryRun } = values;
  if (tf32) process.env.PROMPTSRC_TF32 = "1";
  if (on !== undefined) oneOf("place for --on", on, ["slurm"]);
  const lonely = Object.entries({ "--slurm": slurm, "--tasks": tasks, "--retry": retry }).find(([, value]) => value);
  if (on === undefined && lonely) throw new UsageError(`${lonely[0]} belongs to --on slurm`);
  if (on !== undefined && shard !== undefined)
    throw new UsageError("--on slurm makes its own parts: leave out --shard");
  if (plan !== undefined && shard === undefined) throw new UsageError("--plan needs --shard: which of its parts?");
  if (fresh && (plan !== undefined || retry))
    throw new UsageError(
      `${retry ? "--retry" : "--plan"} goes on with what was submitted, after --fresh or without: leave out --fresh`,
    );
  const common = {
    processes: processesOf(processes),
    dryRun,
    fresh: fresh ? (workerOf()?.since ?? Date.now()) : undefined,
  };
  if (shard !== undefined) {
    const file = plan === undefined ? undefined : fromHere(plan);
    const part = parseShard(shard);
    const stored = file === undefined ? undefined : readPlan(file);
    if (stored && stored.parts.length !== part.count)
      throw new UsageError(`--shard ${shard}: ${file} has ${stored.parts.length} parts`);
    return { ...common, fresh: stored?.fresh ?? common.fresh, shard: { ...part, plan: stored, file } };
  }
  if (on === undefined) return common;
  const settings = slurmSettings(settingsFile, slurm, tasks === undefined ? undefined : wholeNumber("tasks", tasks));
  return { ...common, slurm: { ...settings, retry } };
}

/** The jobs of a place: those of its part, or all. @throws UsageError where a plan was made of other jobs */
export function jobsAt({ shard }: Place, jobs: Job[]): Job[] {
  if (!shard) return jobs;
  const part: Part | undefined = (shard.plan?.parts ?? planParts(jobs, shard.count))[shard.k - 1];
  const chosen = jobsOf(jobs, part);
  const planned = part?.reduce((sum, unit) => sum + unit.jobs, 0) ?? 0;
  if (shard.plan && chosen.length < planned)
    throw new UsageError(
      `--plan ${shard.file}: of ${planned} runs of its part ${shard.k}, this command has ${chosen.length}: its data, model or options are others than when it was submitted`,
    );
  return chosen;
}

/**
 * Computes the runs of a command.
 * @param args what follows `run` on the command line
 * @returns undefined after a dry run
 */
export async function compute(
  place: Place,
  context: RunContext,
  made: Provenance,
  args: string[],
): Promise<GridResult | undefined> {
  const { processes, shard, slurm, dryRun } = place;
  const { jobs, root, shipped, fresh } = context;
  const screen = terminalScreen();
  const signal = onInterrupt();
  if (slurm) {
    const own = without(args, ["--on", "--slurm", "--tasks", "--json"], ["--retry", "--dry-run", "--fresh"]);
    return runOnSlurm(context, { args: own, settings: slurm, retry: slurm.retry, dryRun, screen, signal });
  }
  if (dryRun) {
    const open = openJobs(context);
    console.log(`\n${tableText(planTable(context, open, await estimateSeconds(context, open)))}\n`);
    return undefined;
  }
  const startTime = Date.now();
  const { since = shard?.plan?.made ?? fresh ?? startTime, k, count } = workerOf() ?? { k: 1, count: processes };
  const ownMeter = isWorker() ? meterOfWorker : meter(screen);
  const result = await runGrid(ownFirst(jobs, k, count), {
    meter: startWorkers(processes - 1, args, since, ownMeter),
    signal,
    processes,
    fresh,
    since,
    provenance: made,
    shipped,
    root,
    alone: shard !== undefined,
  });
  if (signal.aborted && (signal.reason as Error).message === "SIGUSR1") {
    const isNew = ({ training }: Job) => training && isTrained(training.key, root, startTime);
    const said = requeue(result.runs.length > result.reused.length || jobs.some(isNew));
    if (said !== undefined) console.error(said);
  }
  return result;
}

/** What a part says at its end; the tables need all parts. @returns the exit status */
export function endOfPart({ k, count }: Shard, jobs: Job[], { runs, failed, interrupted }: GridResult): number {
  console.log(`part ${k} of ${count}: ${runs.length} of ${jobs.length} runs are stored; without --shard all are shown`);
  if (failed.length > 0) console.error(`\n${failureText(failed, jobs.length)}`);
  return interrupted ? 130 : failed.length > 0 ? 1 : 0;
}
