/** The profiles of a notebook, which decide what its run cell computes and what it reads from stored runs. */

import type { Engine } from "../engine/tf";
import type { Row } from "../experiments/benchmark";
import { type Job, rowsOf, storedRuns } from "../experiments/job";
import { shippedFolder } from "../results/store";
import { oneOf } from "../util/errors";
import type { AblationStudy } from "./ablation";
import { runInCell } from "./run";

const profiles = ["stored", "full", "small"];

/**
 * `grid` holds the jobs of the paper's experiment, `small` a part of it that takes seconds. A stored run is looked up
 * first in `results`, then among the runs shipped with the kit.
 */
type NotebookRuns = { profile: string; grid: Job[]; small: Job[]; engine: Engine; results: string };

/**
 * `fresh` are the rows of the small jobs, which every profile runs unless `results` already holds them. `rows` are the
 * rows that tables and figures show. They depend on the profile:
 * - "stored": those runs of the grid that are stored; if there are none (with another model, for example), the small
 *   jobs
 * - "full": all runs of the grid; missing ones are computed and stored in `results`
 * - "small": the small jobs
 * @throws UsageError for an unknown profile; and if the run is interrupted, as in `runInCell`
 */
export async function runNotebookGrid({
  profile,
  grid,
  small,
  engine,
  results,
}: NotebookRuns): Promise<{ rows: Row[]; fresh: Row[] }> {
  oneOf("profile", profile, profiles);
  const fresh = rowsOf(small, await runInCell(small, engine, results));
  if (profile === "small") return { rows: fresh, fresh };
  const runs = profile === "full" ? await runInCell(grid, engine, results) : storedRuns(grid, results);
  const rows = rowsOf(grid, runs);
  const missing = rows.length < grid.length ? '; profile = "full" computes all' : "";
  console.log(
    `${rows.length} of ${grid.length} runs of the grid are stored in ${results} or ${shippedFolder}${missing}`,
  );
  return { rows: rows.length > 0 ? rows : fresh, fresh };
}

/**
 * Runs an ablation in one of the three profiles (see `runNotebookGrid`): the small one is always run, the whole one if
 * the profile is "full", and what is stored of it is said.
 * @returns the ablation whose tables and figures are shown: the whole one if any of its runs are stored, else the small
 * @throws UsageError for an unknown profile; and if a run is interrupted, as in `runInCell`
 */
export async function runProfile(profile: string, whole: AblationStudy, small: AblationStudy): Promise<AblationStudy> {
  oneOf("profile", profile, profiles);
  await small.run({ shipped: false });
  if (profile === "small") return small;
  if (profile === "full") await whole.run({ shipped: false });
  console.log(whole.status());
  return whole.scores().length > 0 ? whole : small;
}
