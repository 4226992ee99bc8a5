/**
 * `run ... --on slurm`: submits a grid as a job array, or takes up one that was submitted by the same command, and shows
 * its progress until it ends or is left by Ctrl-C.
 */
import { relative, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { costOf, jobsOf, planParts, unitKey } from "../cluster/plan";
import { arrayScript, checkSlurm, lastWords, queue, type SlurmSettings, submit, timeLimit } from "../cluster/slurm";
import {
  appeared,
  logOf,
  nextPlan,
  planFolder,
  plansIn,
  type Submitted,
  storePlan,
  type Task,
  tasksOf,
} from "../cluster/submitted";
import { startEngine } from "../engine/tf";
import { type Failure, failureSince } from "../experiments/failures";
import { type Job, metricsText, storedRuns } from "../experiments/job";
import { clock, type Screen } from "../experiments/progress";
import type { GridResult } from "../experiments/runner";
import { removeAbandonedParts, removeIfPossible, writeAtomic } from "../io/atomicWrite";
import { type Run, runKey } from "../results/store";
import { tableText } from "../results/table";
import { UsageError } from "../util/errors";
import { estimateSeconds, openJobs, planTable } from "./estimate";
import type { RunContext } from "./runContext";

type SlurmRequest = {
  /** What follows `run` on the command line, without the options of Slurm. */
  args: string[];
  settings: SlurmSettings;
  /** Submit again what failed. */
  retry: boolean;
  /** Show the plan and its script, and end. */
  dryRun: boolean;
  screen: Screen;
  signal: AbortSignal;
};

/** Results of a network disk may show a minute late: what has left the queue is not given up before. */
const lateResults = 60_000; // milliseconds
const mostOftenAsked = 15_000;

/**
 * With --fresh (`context.fresh`) the grid begins anew, unless its tasks are in the queue: two would write one result.
 * Without it, results from before the last --fresh do not count.
 * @returns the results that there are when the tasks have ended or the command is left; undefined after a dry run
 */
export async function runOnSlurm(asked: RunContext, request: SlurmRequest): Promise<GridResult | undefined> {
  const { jobs, root, shipped } = asked;
  const { retry, dryRun, screen, signal } = request;
  const startTime = Date.now();
  const folder = planFolder(jobs, root);
  if (!dryRun) checkSlurm();
  const queuedBefore = dryRun ? [] : answered(queue());
  let plans = plansIn(folder);
  const inQueue = plans.filter((plan) => queuedBefore.some(({ name }) => name === plan.name));
  if (asked.fresh !== undefined && inQueue.length > 0)
    throw new UsageError(
      `--fresh: this grid is in the queue as ${inQueue.map(({ name }) => name).join(", ")}; leave out --fresh to see it, or end it first with scancel --name`,
    );
  const fresh = asked.fresh ?? plans.filter((plan) => plan.fresh !== undefined).pop()?.fresh;
  const context = { ...asked, fresh };
  const find = (job: Job): Run | undefined => storedRuns([job], root, shipped, fresh)[0];
  let open = openJobs(context).filter(({ refused }) => refused === undefined);
  const reused = jobs
    .filter((job) => !open.includes(job) && job.refused === undefined)
    .map((job) => runKey(job.identity));
  const tasks = (queued: ReturnType<typeof queue>): Task[] =>
    tasksOf(plans, new Set(open.map(unitKey)), typeof queued === "string" ? [] : queued);

  const before = tasks(queuedBefore);
  const active = new Set(before.filter(isActive).flatMap(({ open }) => open.map(({ key }) => key)));
  const failedBefore = new Set(
    before.filter(({ state }) => state === "failed").flatMap(({ open }) => open.map(({ key }) => key)),
  );
  const toSubmit = open.filter(
    (job) => !active.has(unitKey(job)) && (retry || asked.fresh || !failedBefore.has(unitKey(job))),
  );
  if (toSubmit.length > 0 || dryRun) {
    const added = await submitPlan(dryRun ? open : toSubmit);
    if (!added) return undefined;
    plans = [...plans, added];
  } else if (plans.length > 0) {
    screen.print(
      `submitted before: ${plans.map(({ name }) => name).join(", ")}; ${relative("", folder)} has plans and logs`,
    );
  }

  let interrupted = false;
  try {
    await watch();
  } catch (error) {
    if (!signal.aborted) throw error;
    interrupted = true;
    screen.print(
      "left: the tasks go on; the same command (without --fresh) shows them again, scancel --name ends them",
    );
  }
  screen.clear();
  const failed = interrupted ? [] : failures(tasks(answered(queue())));
  const refused = jobs.flatMap(({ place, refused }) => (refused === undefined ? [] : { place, reason: refused }));
  const seconds = (Date.now() - startTime) / 1000;
  return {
    runs: storedRuns(jobs, root, shipped, fresh),
    reused,
    failed: [...refused, ...failed],
    interrupted,
    seconds,
  };

  /** Makes a plan of these jobs, shows it, and submits it. */
  async function submitPlan(chosen: Job[]): Promise<Submitted | undefined> {
    const { settings, args } = request;
    const estimate = await estimateSeconds(context, chosen);
    console.log(`\n${tableText(planTable(context, chosen, estimate))}\n`);
    const parts = planParts(chosen, settings.tasks, estimate.secondsOf);
    const longest = Math.max(0, ...parts.map(costOf));
    const { time } = settings.options;
    console.log(
      `${chosen.length} runs in ${parts.length} tasks, ${settings.atOnce ?? parts.length} at the same time; the longest takes about ${clock(longest)}`,
    );
    if ((timeLimit(String(time ?? "")) ?? longest) < longest)
      console.log(`that is more than time=${time}: such a task is requeued, and goes on from its last epoch`);
    const plan = nextPlan(parts, folder, fresh);
    const script = arrayScript(
      settings,
      {
        name: plan.name,
        tasks: parts.length,
        log: resolve(logOf(plan, "%a")),
        folder: process.cwd(),
        callerFolder: process.env.INIT_CWD || process.cwd(),
        engine: (await startEngine()).kind,
      },
      [process.execPath, ...process.execArgv, process.argv[1], "run", ...args, "--plan", resolve(plan.file)],
    );
    if (dryRun) console.log(`\n${script}`);
    if (dryRun) return undefined;
    removeAbandonedParts(root);
    const scriptFile = plan.file.replace(/plan\.json$/, "sh");
    writeAtomic(scriptFile, script);
    storePlan(plan);
    try {
      const job = submit(scriptFile);
      screen.print(`job ${job} is submitted as ${plan.name}; plan, script and logs are in ${relative("", folder)}`);
    } catch (error) {
      removeIfPossible(plan.file); // nothing was planned
      throw error;
    }
    return plan;
  }

  /** Shows the progress until no task waits or runs. @throws the signal's reason when the command is left */
  async function watch(): Promise<void> {
    const watchStart = Date.now();
    let [endedSince, doneWork, pause] = [0, 0, 1000];
    const worked = new Map<string, number>();
    for (;;) {
      for (const [job, run] of appeared(open, root, find)) {
        open = open.filter((other) => other !== job);
        screen.print(`${job.place}: ${metricsText(run)} (${clock(run.seconds)})`);
        doneWork += job.testing;
        if (job.training) worked.set(job.training.key, job.training.work);
      }
      if (open.length === 0) return;
      const queued = queue();
      const now = tasks(queued);
      const isOver = typeof queued !== "string" && !now.some(isActive);
      if (!isOver) endedSince = 0;
      else if (endedSince === 0) endedSince = Date.now();
      else if (Date.now() - endedSince > lateResults) return;
      const seconds = (Date.now() - watchStart) / 1000;
      const work = doneWork + [...worked.values()].reduce((sum, each) => sum + each, 0);
      screen.update(line(now, queued, work / seconds));
      await setTimeout(pause, undefined, { signal });
      pause = Math.min(pause * 1.3, mostOftenAsked);
    }
  }

  function line(now: Task[], queued: ReturnType<typeof queue>, rate: number): string {
    const count = (state: Task["state"]) => now.filter((task) => task.state === state).length;
    const parts = [`${jobs.length - open.length} of ${jobs.length} runs`];
    if (typeof queued === "string") return [...parts, `squeue: ${queued}`].join(" \u00b7 ");
    const states = (["done", "running", "waiting", "failed"] as const).map((state) => `${count(state)} ${state}`);
    parts.push(`tasks: ${states.join(", ")}`);
    const waitsFor = now.find(({ state }) => state === "waiting")?.reason;
    if (count("running") === 0 && waitsFor) parts.push(`waits for ${waitsFor}`);
    if (rate > 0) {
      const left = openWork();
      parts.push(`${rate.toFixed(rate < 10 ? 1 : 0)} pictures/s`, `${clock(left / rate)} left`);
    } else if (count("running") > 0) {
      const seconds = now.reduce((sum, { open }) => sum + costOf(open), 0);
      parts.push(`about ${clock(seconds / count("running"))} left`);
    }
    return parts.join(" \u00b7 ");
  }

  /** Pictures of the open jobs; a shared training counts once. */
  function openWork(): number {
    const trainings = new Map(open.flatMap(({ training }) => (training ? [[training.key, training.work]] : [])));
    return (
      [...trainings.values()].reduce((sum, work) => sum + work, 0) + open.reduce((sum, job) => sum + job.testing, 0)
    );
  }

  /** The runs that are missing, with their reasons; the ends of the logs are printed. */
  function failures(now: Task[]): Failure[] {
    const lost = now.filter(({ state }) => state === "failed");
    const found: Failure[] = [];
    for (const task of lost) {
      const { plan, number } = task;
      const log = logOf(plan, number);
      const { reason, tail } = lastWords(log);
      const missing = jobsOf(open, task.open);
      const own = missing.map((job) => failureSince(root, runKey(job.identity), plan.made));
      found.push(
        ...missing.map(({ place }, k) => ({ place, reason: own[k] ?? `task ${number} ended before it (${reason})` })),
      );
      if (own.every((text) => text !== undefined) || lost.indexOf(task) >= mostTails) continue;
      screen.print(`\ntask ${number} of ${plan.name}: ${reason}; ${relative("", log)} ends with`);
      for (const text of tail) screen.print(`  ${text}`);
    }
    if (lost.length > mostTails) screen.print(`\n${lost.length - mostTails} more tasks failed; their logs are beside`);
    return found;
  }
}

/** Of how many failed tasks the ends of the logs are shown. */
const mostTails = 5;

const isActive = ({ state }: Task): boolean => state === "running" || state === "waiting";

/** @throws an Error where squeue does not answer: nothing is known of the tasks then, and nothing is submitted */
function answered(queued: ReturnType<typeof queue>): Exclude<ReturnType<typeof queue>, string> {
  if (typeof queued === "string") throw new Error(`squeue: ${queued}; give the same command again when it answers`);
  return queued;
}
