/** The bench's file: one flat record per phase, so that a table or a figure is a filter and a join. */
import type { KernelProfile } from "../src/engine/profiler";
import type { BenchJob, BenchRecord, Measured, ModelJob, Phase } from "../src/results/benchFile";
import { median } from "../src/results/statistics";

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
    return {
      ...turns[0],
      busy: Math.max(...turns.map(({ busy }) => busy)),
      outcome: { ...turns[0].outcome, phases, peakBytes },
    };
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
      ? {
          flopsNeeded: flops.needed,
          flopsDone: flops.done,
          flopsOfficial: flops.official,
          flopsPerSecond: flops.perSecond,
        }
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
export function lossDifferences(all: Measured[]): { job: BenchJob; difference: number }[] {
  return all.flatMap(({ where, job, outcome: { losses: ours } }) => {
    if (where !== "ours" || !ours) return [];
    const peer = all.find((other) => other.where === "pytorch" && JSON.stringify(other.job) === JSON.stringify(job))
      ?.outcome.losses;
    if (!peer) return [];
    const size = (name: string) => Math.max(Math.abs(peer[name]), Math.abs(peer.total) / 100);
    const differences = Object.keys(ours).map((name) => Math.abs(ours[name] - peer[name]) / size(name));
    return [{ job, difference: Number(Math.max(...differences).toPrecision(2)) }];
  });
}

/** The operations of each step, the small ones left out. */
export const profilesOf = (all: Measured[]): { job: BenchJob; operations: KernelProfile[] }[] =>
  all.flatMap(({ job, outcome: { operations } }) =>
    operations ? [{ job, operations: operations.slice(0, 12).map(rounded) }] : [],
  );
