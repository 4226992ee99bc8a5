/** The bench's file: one flat record per phase, so that a table or a figure is a filter and a join. */
import type { Operation } from "../src/engine/profiler";
import { median } from "../src/results/statistics";
import type { Job, Measured, ModelJob, Phase, Where } from "./jobs";

/**
 * `seconds` is the median of the phase over `repeats`, of several processes the median of theirs. `peakBytes` is the largest resident memory
 * of the job's own process, the same for all its phases. `nameTokens` is the mean number of tokens of a class name.
 */
export type BenchRecord = {
  where: Where;
  what: Job["what"];
  phase: string;
  model?: string;
  classes?: number;
  batch?: number;
  depth?: number;
  nameTokens?: number;
  seconds: number;
  fastest: number;
  slowest: number;
  repeats: number;
  peakBytes: number;
  /** Floating-point operations of the matrix products: needed by our way, done, and those of the official way. */
  flopsNeeded?: number;
  flopsDone?: number;
  flopsOfficial?: number;
  flopsPerSecond?: number;
  /** Share of the processors that others used just before. */
  busy: number;
};

export type BenchFile = {
  made: { date: string; cpu: string; cores: number; threads: number; memoryBytes: number; versions: Record<Where, Record<string, string>> };
  records: BenchRecord[];
  /** Largest relative difference between the losses of both sides' first steps. */
  losses: { job: Job; difference: number }[];
  /** Where the seconds of one of our steps go, by operation. */
  profiles: { job: Job; operations: Operation[] }[];
};

/** Those of one job on one side become one: the medians of its phases' medians. */
export function acrossTurns(all: Measured[]): Measured[] {
  const keyOf = ({ where, job }: Measured) => JSON.stringify([where, job]);
  return [...new Set(all.map(keyOf))].map((key) => {
    const turns = all.filter((measured) => keyOf(measured) === key);
    const phases = turns[0].outcome.phases.map(({ phase }, k): Phase => {
      const same = turns.map(({ outcome }) => outcome.phases[k]);
      return {
        phase,
        seconds: median(same.map(({ seconds }) => seconds)),
        fastest: Math.min(...same.map(({ fastest }) => fastest)),
        slowest: Math.max(...same.map(({ slowest }) => slowest)),
        repeats: same.reduce((sum, { repeats }) => sum + repeats, 0),
      };
    });
    const peakBytes = Math.max(...turns.map(({ outcome }) => outcome.peakBytes));
    return { ...turns[0], busy: Math.max(...turns.map(({ busy }) => busy)), outcome: { ...turns[0].outcome, phases, peakBytes } };
  });
}

/** The phase that the counts of operations belong to. */
const whole = new Set(["step", "batch", "product"]);

export function recordsOf({ where, job, outcome, busy }: Measured): BenchRecord[] {
  const { what, ...shape } = job as ModelJob;
  const { model, classes, batch, depth } = shape;
  const { phases, peakBytes, flops = {} } = outcome;
  return phases.map((phase) => ({
    where,
    what,
    model,
    classes,
    batch,
    depth,
    nameTokens: shape.nameTokens === "mixed" ? 2.5 : shape.nameTokens,
    ...rounded(phase),
    peakBytes,
    ...(whole.has(phase.phase)
      ? { flopsNeeded: flops.needed, flopsDone: flops.done, flopsOfficial: flops.official, flopsPerSecond: flops.perSecond }
      : {}),
    busy,
  }));
}

/** Microseconds are as far as a clock can be trusted. */
const rounded = <T extends object>(record: T): T =>
  Object.fromEntries(
    Object.entries(record).map(([key, value]) => [key, typeof value === "number" ? Number(value.toFixed(6)) : value]),
  ) as T;

/** Losses of the same job on both sides, compared: each term's relative difference, one below a hundredth of the total by that hundredth. */
export function lossDifferences(all: Measured[]): { job: Job; difference: number }[] {
  return all.flatMap(({ where, job, outcome: { losses: ours } }) => {
    if (where !== "ours" || !ours) return [];
    const peer = all.find((other) => other.where === "pytorch" && JSON.stringify(other.job) === JSON.stringify(job))?.outcome.losses;
    if (!peer) return [];
    const size = (name: string) => Math.max(Math.abs(peer[name]), Math.abs(peer.total) / 100);
    const differences = Object.keys(ours).map((name) => Math.abs(ours[name] - peer[name]) / size(name));
    return [{ job, difference: Number(Math.max(...differences).toPrecision(2)) }];
  });
}

/** The operations of each step, the small ones left out. */
export const profilesOf = (all: Measured[]): { job: Job; operations: Operation[] }[] =>
  all.flatMap(({ job, outcome: { operations } }) => (operations ? [{ job, operations: operations.slice(0, 12).map(rounded) }] : []));
