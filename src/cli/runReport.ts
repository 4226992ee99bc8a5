/** What `run --json` writes: accuracies, seeds, versions and seconds of the runs. */
import { benchmarks } from "../benchmarks/registry";
import { type Job, rowsOf } from "../experiments/job";
import type { GridResult } from "../experiments/runner";
import type { Provenance } from "../results/store";

export function runReport(
  name: string,
  jobs: Job[],
  { runs, reused, failed, seconds, interrupted }: GridResult,
  made: Provenance,
): Record<string, unknown> {
  const rows = rowsOf(jobs, runs).map(({ row, run }) => {
    const { key, method, dataset, source, split, subset, shots, seed, metrics, seconds: own, epochs } = run;
    const variant = row === method ? {} : { variant: row };
    const from = source ? { source: source.dataset } : {};
    const curve = epochs.some((e) => e.metrics)
      ? { epochs: epochs.map((e) => ({ epoch: e.epoch, ...e.metrics })) }
      : {};
    return {
      method,
      ...variant,
      dataset,
      ...from,
      split,
      subset,
      shots,
      seed,
      ...metrics,
      seconds: own,
      reused: reused.includes(key),
      key,
      ...curve,
    };
  });
  const kind = name in benchmarks ? { benchmark: name } : { ablation: name };
  const failures = failed.length > 0 ? { failed } : {};
  return { ...kind, ...made, seconds, complete: !interrupted && failed.length === 0, runs: rows, ...failures };
}
