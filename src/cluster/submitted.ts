/**
 * Plans that were submitted for a grid, each in a file `results/.slurm/<grid>/<n>.plan.json` with its script and the logs
 * of its tasks beside it, and the state of their tasks. A task is done when all its results are there: the results are
 * the only record of what was computed.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Job } from "../experiments/job";
import { readSealedJson, writeSealedJson } from "../io/sealedJson";
import { type Run, runFile, runKey } from "../results/store";
import { UsageError } from "../util/errors";
import { numericsVersion } from "../util/numerics";
import type { Part, Unit } from "./plan";
import type { Queued } from "./slurm";

/**
 * `made`: when, in milliseconds; `numerics`: the version of the code that may compute it; `fresh`: when --fresh was asked,
 * results from before that do not count.
 */
export type Plan = { made: number; numerics: string; fresh?: number; parts: Part[] };

/** A plan with its place: the number within its grid, and the name of its job in the queue. */
export type Submitted = Plan & { number: number; name: string; file: string };

/** The folder of a grid's plans. The same jobs have the same folder. */
export function planFolder(jobs: Job[], root: string): string {
  const keys = jobs.map(({ identity }) => runKey(identity)).sort();
  return join(root, ".slurm", createHash("sha256").update(keys.join()).digest("hex").slice(0, 8));
}

const submitted = (plan: Plan, folder: string, number: number): Submitted => ({
  ...plan,
  number,
  name: `promptsrc-${basename(folder)}-${number}`,
  file: join(folder, `${number}.plan.json`),
});

/** The log of a task; the number of `task` may be %a, for Slurm to put it. */
export const logOf = ({ number, file }: Submitted, task: number | "%a"): string =>
  join(dirname(file), `${number}-${task}.log`);

/** A plan with the next number of its folder, which `storePlan` writes. */
export const nextPlan = (parts: Part[], folder: string, fresh?: number): Submitted =>
  submitted(
    { made: Date.now(), numerics: numericsVersion(), ...(fresh === undefined ? {} : { fresh }), parts },
    folder,
    1 + Math.max(0, ...numbersIn(folder)),
  );

export const storePlan = ({ file, number, name, ...plan }: Submitted): void => writeSealedJson(file, plan);

const numbersIn = (folder: string): number[] =>
  (existsSync(folder) ? readdirSync(folder) : [])
    .flatMap((name) => /^(\d+)\.plan\.json$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);

/** The plans of a grid that the present code may compute, the oldest first. */
export function plansIn(folder: string): Submitted[] {
  return numbersIn(folder)
    .flatMap((number) => {
      const plan = readSealedJson<Plan>(join(folder, `${number}.plan.json`), "what it planned is submitted again");
      return plan ? submitted(plan, folder, number) : [];
    })
    .filter(({ numerics }) => numerics === numericsVersion());
}

/** A plan for one of its tasks. @throws UsageError where it is not there, or was made by other code */
export function readPlan(file: string): Plan {
  const plan = readSealedJson<Plan>(file, "submit it again");
  if (plan === undefined) throw new UsageError(`--plan ${file}: there is no such plan`);
  if (plan.numerics !== numericsVersion())
    throw new UsageError(`--plan ${file}: the code was changed since it was submitted; submit it again (--retry)`);
  return plan;
}

/** `open`: units of the part without all results that are in no later plan. A task without any is done. */
export type Task = {
  plan: Submitted;
  number: number;
  state: "done" | "running" | "waiting" | "failed";
  open: Unit[];
  reason?: string;
};

/** The tasks of all plans. @param open keys of the units that lack results */
export function tasksOf(plans: Submitted[], open: Set<string>, queued: Queued[]): Task[] {
  const inQueue = new Map(queued.map((entry) => [`${entry.name} ${entry.task}`, entry]));
  const latest = new Map(plans.flatMap((plan) => plan.parts.flat().map(({ key }) => [key, plan.number])));
  return plans.flatMap((plan) =>
    plan.parts.map((part, k): Task => {
      const entry = inQueue.get(`${plan.name} ${k + 1}`);
      const left = part.filter(({ key }) => open.has(key) && latest.get(key) === plan.number);
      const state = left.length === 0 ? "done" : !entry ? "failed" : entry.running ? "running" : "waiting";
      return { plan, number: k + 1, state, open: left, reason: entry?.reason };
    }),
  );
}

/**
 * The runs of open jobs that have appeared. Folders are listed once, so that this takes as many requests of a network
 * disk as there are folders and new results.
 */
export function appeared(open: Job[], root: string, find: (job: Job) => Run | undefined): [Job, Run][] {
  const names = new Map<string, Set<string>>();
  return open.flatMap((job) => {
    const file = runFile(job.identity, root);
    const folder = dirname(file);
    if (!names.has(folder)) names.set(folder, new Set(existsSync(folder) ? readdirSync(folder) : []));
    const run = names.get(folder)?.has(basename(file)) ? find(job) : undefined;
    return run ? [[job, run] as [Job, Run]] : [];
  });
}
