/** The records of the bench's file: one flat record per phase, so that tables and figures only filter and join them. */
import {
  type BenchFile,
  type BenchRecord,
  type Measured,
  type ModelJob,
  type Phase,
  peers,
} from "../src/results/benchFile";
import { median } from "../src/results/statistics";

/**
 * Merges the repetitions (turns) of each job, separately for the kit and for PyTorch. The seconds of a phase become the
 * median of the turns' medians.
 */
export function acrossTurns(all: Measured[]): Measured[] {
  const keyOf = ({ where, job }: Measured) => JSON.stringify([where, job]);
  return [...new Set(all.map(keyOf))].map((key) => {
    const turns = all.filter((measured) => keyOf(measured) === key);
    const phases = turns[0].outcome.phases.map(({ phase }, k): Phase => {
      const phasesOfTurns = turns.map(({ outcome }) => outcome.phases[k]);
      return {
        phase,
        seconds: median(phasesOfTurns.map(({ seconds }) => seconds)),
        fastest: Math.min(...phasesOfTurns.map(({ fastest }) => fastest)),
        slowest: Math.max(...phasesOfTurns.map(({ slowest }) => slowest)),
        repeats: phasesOfTurns.reduce((sum, { repeats }) => sum + repeats, 0),
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

/** Names of the phases that cover a complete repeat: the FLOPs of a job belong to these. */
const completePhases = new Set(["step", "batch", "product"]);

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
    ...(completePhases.has(phase.phase)
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

/** Rounds all numbers to 6 decimals: a clock is not more precise than a microsecond. */
const rounded = <T extends object>(record: T): T =>
  Object.fromEntries(
    Object.entries(record).map(([key, value]) => [key, typeof value === "number" ? Number(value.toFixed(6)) : value]),
  ) as T;

/**
 * Compares the losses of the same job in the kit and in each peer: the largest relative difference over its loss terms.
 * The difference is divided by the term in PyTorch, or by 1/100 of the total loss where that is larger.
 */
export function lossDifferences(all: Measured[]): BenchFile["losses"] {
  return all.flatMap(({ where, job, outcome: { losses: kitLosses } }) => {
    if (where !== "ours" || !kitLosses) return [];
    return peers.flatMap((peer) => {
      const torchLosses = all.find((other) => other.where === peer && JSON.stringify(other.job) === JSON.stringify(job))
        ?.outcome.losses;
      if (!torchLosses) return [];
      const scale = (name: string) => Math.max(Math.abs(torchLosses[name]), Math.abs(torchLosses.total) / 100);
      const differences = Object.keys(kitLosses).map(
        (name) => Math.abs(kitLosses[name] - torchLosses[name]) / scale(name),
      );
      return [{ job, peer, difference: Number(Math.max(...differences).toPrecision(2)) }];
    });
  });
}

/** The 12 slowest kernels of each profiled job. */
export const profilesOf = (all: Measured[]): BenchFile["profiles"] =>
  all.flatMap(({ job, outcome: { operations } }) =>
    operations ? [{ job, operations: operations.slice(0, 12).map(rounded) }] : [],
  );
