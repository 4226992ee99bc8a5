/** Runs a grid from a notebook cell. */

import type { Engine } from "../engine/tf";
import { failureText } from "../experiments/failures";
import type { Job } from "../experiments/job";
import { provenance } from "../experiments/provenance";
import { runGrid } from "../experiments/runner";
import type { VariantRow } from "../figures/variants";
import type { Run } from "../results/store";
import { onInterrupt } from "./interrupt";
import { figureSoFar, filling } from "./live";
import { notebookProgress } from "./progress";

/**
 * Runs the jobs with a progress line under the cell. The stop button ends the run after the current step. `results` is
 * the folder in which runs are stored and looked up. Runs shipped with the kit are used only if asked for (`shipped`),
 * because later cells often need the trained prompts, which these do not have.
 * A grid that goes on for `figureAfter` seconds (30) shows base, novel and HM of its runs so far, and fills up;
 * `named` gives its rows their titles.
 * @throws if the run is interrupted, or some runs failed, so that later cells do not use incomplete results; what was
 *   computed is stored
 */
export async function runInCell(
  jobs: Job[],
  engine: Engine,
  results: string,
  { shipped = false, figureAfter = 30, named }: { shipped?: boolean; figureAfter?: number; named?: VariantRow[] } = {},
): Promise<Run[]> {
  const meter = notebookProgress();
  const figure = filling((runs) => figureSoFar(jobs, runs, named), figureAfter);
  const { runs, failed, interrupted } = await runGrid(jobs, {
    meter,
    signal: onInterrupt(),
    provenance: provenance(engine),
    root: results,
    shipped,
    finished: figure.add,
  });
  figure.last(runs);
  if (failed.length > 0) throw new Error(failureText(failed, jobs.length).replace("the same command", "the same cell"));
  if (interrupted) throw new Error("the run was stopped; run the cell again to continue after the last finished epoch");
  return runs;
}
