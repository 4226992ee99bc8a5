/**
 * A plan divides the jobs of a grid into parts of about the same cost, one for each process, task or machine. Jobs that
 * share a training stay together, so that each training, and each result, has one writer by construction: machines
 * need no lock between them, which a network file system might not keep.
 */
import type { Job } from "../experiments/job";
import { runKey } from "../results/store";
import { UsageError } from "../util/errors";

/** Jobs that share a training, by its key; a job without one stands alone, by the key of its run. */
export type Unit = { key: string; jobs: number; cost: number };

/** The units of a part, in the order of the grid. */
export type Part = Unit[];

/** The cost of a job's training, which jobs may share, and of its tests. */
export type Cost = (job: Job) => { training: number; testing: number };

/** Pictures passed through the encoders: the same number on every machine. */
const work: Cost = ({ training, testing }) => ({ training: training?.work ?? 0, testing });

export const unitKey = ({ training, identity }: Job): string => training?.key ?? runKey(identity);

export const costOf = (part: Part): number => part.reduce((sum, { cost }) => sum + cost, 0);

/**
 * Divides jobs into at most `count` parts: the unit with the highest cost goes first, each into the part that costs least
 * so far (Graham 1969: at most 4/3 of the best division). The same jobs and costs give the same parts.
 */
export function planParts(jobs: Job[], count: number, cost: Cost = work): Part[] {
  const units = new Map<string, Unit>();
  for (const job of jobs) {
    const key = unitKey(job);
    const { training, testing } = cost(job);
    const unit = units.get(key) ?? { key, jobs: 0, cost: training };
    units.set(key, { key, jobs: unit.jobs + 1, cost: unit.cost + testing });
  }
  const inOrder = [...units.values()].map((unit, place) => ({ ...unit, place }));
  /** Parts in the order of their costs, the cheapest first. */
  const parts = Array.from({ length: Math.min(count, units.size) }, () => ({ cost: 0, units: [] as typeof inOrder }));
  for (const unit of [...inOrder].sort((a, b) => b.cost - a.cost)) {
    const part = parts.shift() as (typeof parts)[number];
    part.units.push(unit);
    part.cost += unit.cost;
    let [low, high] = [0, parts.length]; // how many parts cost no more
    while (low < high) {
      const middle = (low + high) >> 1;
      if (parts[middle].cost <= part.cost) low = middle + 1;
      else high = middle;
    }
    parts.splice(low, 0, part);
  }
  return parts
    .map(({ units }) => units.sort((a, b) => a.place - b.place))
    .sort((a, b) => a[0].place - b[0].place)
    .map((part) => part.map(({ place, ...unit }) => unit));
}

/** The jobs of a part, in the order of the grid. */
export function jobsOf(jobs: Job[], part: Part = []): Job[] {
  const keys = new Set(part.map(({ key }) => key));
  return jobs.filter((job) => keys.has(unitKey(job)));
}

/** The jobs in the order in which process `k` (from 1) of `count` takes them: its own part, then what others have left. */
export function ownFirst(jobs: Job[], k: number, count: number): Job[] {
  if (count === 1) return jobs;
  const own = new Set(jobsOf(jobs, planParts(jobs, count)[k - 1]));
  return [...own, ...jobs.filter((job) => !own.has(job))];
}

/** Which part of how many: `3/64`, counted from 1. */
export type Shard = { k: number; count: number };

/** @throws UsageError */
export function parseShard(text: string): Shard {
  const [k, count] = /^(\d+)\/(\d+)$/.exec(text)?.slice(1).map(Number) ?? [];
  if (!(k >= 1 && k <= count)) throw new UsageError(`--shard ${text}: expected a part and how many, such as 3/64`);
  return { k, count };
}
