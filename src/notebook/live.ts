/** The figure of a grid that is not finished: one output under the progress, which fills up while runs go on. */
import { scoresOfRows } from "../benchmarks/baseToNovel";
import { type Job, rowsOf } from "../experiments/job";
import type { Figure } from "../figures/style";
import { type VariantRow, variantsFigure } from "../figures/variants";
import { methods } from "../methods/registry";
import { comparable } from "../results/statistics";
import type { Run } from "../results/store";
import { overwritten } from "./show";

/** Seconds between two drawings. One takes about 0.1 s of the browser, and 10 ms of the kernel. */
const pause = 5;

/**
 * Base, novel and HM of the runs so far, on the datasets and seeds that all rows with runs have. `named` gives the rows
 * their titles; others are methods, or have the name of the row. @returns undefined before there is such a run
 */
export function figureSoFar(jobs: Job[], runs: Run[], named: VariantRow[] = []): Figure | undefined {
  const rows = rowsOf(jobs, runs).filter(({ run }) => "base" in run.metrics && "novel" in run.metrics);
  const scores = comparable(scoresOfRows(rows));
  if (scores.length === 0) return undefined;
  const known: Record<string, { title: string } | undefined> = methods;
  const titleOf = (name: string): VariantRow =>
    named.find((row) => row.name === name) ?? { name, title: known[name]?.title ?? name };
  const names = [...new Set(jobs.map(({ row }) => row))];
  return variantsFigure(`${runs.length} of ${jobs.length} runs`, scores, names.map(titleOf));
}

/**
 * Shows what `draw` returns in one output of the cell, which later calls overwrite. The first call that shows something
 * is `after` seconds from now at the earliest, so that a short grid shows no figure; then one each 5 seconds does.
 * @returns `last` draws once more, whatever the time, if there is a figure already
 */
export function filling(draw: (runs: Run[]) => Figure | undefined, after: number) {
  const output = overwritten();
  let next = Date.now() + 1000 * after;
  let isShown = false;
  const show = (runs: Run[]) => {
    const figure = draw(runs);
    if (figure) output(figure);
    isShown ||= figure !== undefined;
    next = Date.now() + 1000 * pause;
  };
  return {
    add: (runs: Run[]) => (Date.now() >= next ? show(runs) : undefined),
    last: (runs: Run[]) => (isShown ? show(runs) : undefined),
  };
}
