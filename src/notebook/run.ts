/** Running a grid from a cell. */

import type { Engine } from "../engine/tf";
import { provenance } from "../experiments/provenance";
import { type Job, runGrid } from "../experiments/runner";
import type { Run } from "../results/store";
import { onInterrupt } from "./interrupt";
import { notebookProgress } from "./progress";

/**
 * Runs the jobs with a progress line under the cell; the stop button ends it after the present step.
 * `results` is the folder in which runs are stored and found again; those that came with the kit are not taken, since cells go on with the
 * trained prompts.
 * @throws when it is stopped, so that later cells do not run on half of the results
 */
export async function runInCell(jobs: Job[], engine: Engine, results: string): Promise<Run[]> {
  const meter = notebookProgress();
  const { runs, interrupted } = await runGrid(jobs, {
    meter,
    signal: onInterrupt(),
    provenance: provenance(engine),
    root: results,
    shipped: false,
  });
  if (interrupted) throw new Error("stopped; run the cell again and it goes on from the last finished epoch");
  return runs;
}
