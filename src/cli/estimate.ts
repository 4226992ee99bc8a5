/** How long jobs will take, by a few steps of each method that are measured on this machine. */
import { measureMethod } from "../benchmarks/cost";
import { drawFewShot } from "../datasets/fewShot";
import type { Dataset } from "../datasets/split";
import { isTrained, type Job, storedRuns } from "../experiments/job";
import { clock } from "../experiments/progress";
import { trainingCost } from "../experiments/sharedTraining";
import { configFor, type Method, trainingSettings } from "../methods/method";
import { runKey } from "../results/store";
import type { Table } from "../results/table";
import type { RunContext } from "./runContext";

/** Seconds of a job's training, which jobs may share, and of its tests. */
export type Seconds = { training: number; testing: number };

/** Steps and test batches that are measured, after one that is not. */
const measured = { timed: 2, warmup: 1 };

/** Seconds of a picture through training and testing, by number of classes. */
type Rate = { classes: number } & Seconds;

/** The estimate of a job, and how many stored runs it was scaled by. */
export type Estimate = { secondsOf(job: Job): Seconds; scaledBy: number };

/** The jobs without a stored run. */
export function openJobs({ jobs, root, shipped, fresh }: RunContext): Job[] {
  const stored = new Set(storedRuns(jobs, root, shipped, fresh).map(({ key }) => key));
  return jobs.filter(({ identity }) => !stored.has(runKey(identity)));
}

/**
 * Measures the methods of the open jobs on the datasets with the fewest and the most classes, and takes what lies between
 * as lying on a line. Where runs of the grid are stored, their real seconds scale the estimate.
 */
export async function estimateSeconds(
  { jobs, methods, datasets, source, clip, root, benchmark, preset }: RunContext,
  open: Job[],
): Promise<Estimate> {
  const trainedOn = source ? [source] : datasets.filter(({ train }) => train.length > 0);
  const bySize = [...trainedOn].sort((a, b) => a.classNames.length - b.classNames.length);
  const ends = bySize.length > 1 ? [bySize[0], bySize[bySize.length - 1]] : bySize;
  const classesOf = new Map([...datasets, ...trainedOn].map((dataset) => [dataset.name, dataset.classNames.length]));
  const half = benchmark.name === "base-to-novel" ? 2 : 1;
  const rates = new Map<string, Rate[]>();
  for (const method of methods) {
    if (!open.some(({ identity }) => identity.method === method.name)) continue;
    const ofMethod: Rate[] = [];
    for (const dataset of ends) ofMethod.push(await rateOf(method, dataset));
    rates.set(method.name, ofMethod);
  }
  const onThisMachine = ({ identity, training, testing }: Job): Seconds => {
    const ofMethod = rates.get(identity.method) ?? [];
    const classes = (dataset: string) => (classesOf.get(dataset) ?? 1) / half;
    const trained = identity.source?.dataset ?? identity.dataset;
    return {
      training: ((training?.work ?? 0) / trainingCost) * at(ofMethod, classes(trained), "training"),
      testing: testing * at(ofMethod, classes(identity.dataset), "testing"),
    };
  };
  const stored = new Map(storedRuns(jobs, root, false).map((run) => [run.key, run.seconds]));
  const comparable = jobs.filter(({ identity }) => stored.has(runKey(identity)) && rates.has(identity.method));
  const [real, estimated] = [
    comparable.reduce((sum, { identity }) => sum + (stored.get(runKey(identity)) ?? 0), 0),
    comparable.map(onThisMachine).reduce((sum, { training, testing }) => sum + training + testing, 0),
  ];
  const scale = real > 0 && estimated > 0 ? real / estimated : 1;
  const secondsOf = (job: Job): Seconds => {
    const { training, testing } = onThisMachine(job);
    return { training: training * scale, testing: testing * scale };
  };
  return { secondsOf, scaledBy: comparable.length };

  async function rateOf(method: Method, dataset: Dataset): Promise<Rate> {
    const config = configFor(method, preset, benchmark.settings(dataset.name), dataset.template);
    const task = { clip, classNames: dataset.classNames, config: trainingSettings(method, config), seed: 1 };
    const drawn = drawFewShot(dataset, Math.max(...benchmark.shots), 1);
    const { metrics } = await measureMethod(task, method, drawn, "test", measured);
    const batch = Math.min(config.batch ?? 1, dataset.train.length);
    return {
      classes: dataset.classNames.length,
      training: metrics["ms a step"] ? metrics["ms a step"] / 1000 / batch : 0,
      testing: 1 / metrics["pictures a second"],
    };
  }
}

/** Between the two measured numbers of classes, and beyond them, along a line. */
function at(rates: Rate[], classes: number, what: "training" | "testing"): number {
  const [a, b] = rates;
  if (a === undefined) return 0;
  if (b === undefined || b.classes === a.classes) return a[what];
  return Math.max(a[what] / 4, a[what] + ((b[what] - a[what]) * (classes - a.classes)) / (b.classes - a.classes));
}

/** What will run, what is stored, and the time and memory that the estimate lets expect, method by method. */
export function planTable(
  { jobs, methods, root, fresh }: RunContext,
  open: Job[],
  { secondsOf, scaledBy }: Estimate,
): Table {
  /** Trainings that are stored, or counted already. */
  const trained = new Set(
    jobs.flatMap(({ training }) => (training && isTrained(training.key, root, fresh) ? [training.key] : [])),
  );
  let [total, trainings] = [0, 0];
  const rows = methods.flatMap((method) => {
    const mine = jobs.filter(({ identity }) => identity.method === method.name);
    if (mine.length === 0) return [];
    const left = open.filter(({ identity }) => identity.method === method.name);
    let seconds = 0;
    for (const job of left) {
      const { training, testing } = secondsOf(job);
      seconds += testing;
      if (!job.training || trained.has(job.training.key)) continue;
      trained.add(job.training.key);
      trainings++;
      seconds += training;
    }
    total += seconds;
    return {
      method: method.title,
      runs: mine.length,
      stored: mine.length - left.length,
      time: left.length > 0 ? clock(seconds) : "",
      memory: `${(process.resourceUsage().maxRSS / 2 ** 20).toFixed(1)}`,
    };
  });
  const where = scaledBy > 0 ? "at the speed of the stored runs" : "on this machine";
  return {
    title: `${jobs.length} runs, ${jobs.length - open.length} of them stored; about ${clock(total)} ${where}`,
    columns: [
      { key: "method", title: "method" },
      { key: "runs", title: "runs", digits: 0 },
      { key: "stored", title: "stored", digits: 0 },
      { key: "time", title: "time" },
      { key: "memory", title: "GB, at most so far" },
    ],
    rows,
    note:
      `${trainings} trainings; estimated from ${measured.timed} steps and test batches of each method` +
      (scaledBy > 0 ? `, and the seconds of ${scaledBy} stored runs.` : "."),
  };
}
