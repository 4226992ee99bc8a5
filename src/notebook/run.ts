/** Runs a grid from a notebook cell. */

import type { Engine } from "../engine/tf";
import { failureText } from "../experiments/failures";
import { provenance } from "../experiments/provenance";
import { type Job, runGrid } from "../experiments/runner";
import type { Run } from "../results/store";
import { onInterrupt } from "./interrupt";
import { notebookProgress } from "./progress";

/**
 * Runs the jobs with a progress line under the cell. The stop button ends the run after the current step. `results` is
 * the folder in which runs are stored and looked up. Runs shipped with the kit are used only if asked for (`shipped`),
 * because later cells often need the trained prompts, which these do not have.
 * @throws if the run is interrupted, or some runs failed, so that later cells do not use incomplete results; what was
 *   computed is stored
 */
export async function runInCell(
  jobs: Job[],
  engine: Engine,
  results: string,
  { shipped = false } = {},
): Promise<Run[]> {
  const meter = notebookProgress();
  const { runs, failed, interrupted } = await runGrid(jobs, {
    meter,
    signal: onInterrupt(),
    provenance: provenance(engine),
    root: results,
    shipped,
  });
  if (failed.length > 0) throw new Error(failureText(failed, jobs.length).replace("the same command", "the same cell"));
  if (interrupted) throw new Error("the run was stopped; run the cell again to continue after the last finished epoch");
  return runs;
}
