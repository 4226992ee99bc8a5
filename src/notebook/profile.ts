/** The sizes that a notebook runs in: what its run cell computes, and what it takes from stored runs. */

import type { Engine } from "../engine/tf";
import type { Row } from "../experiments/benchmark";
import { type Job, rowsOf, storedRuns } from "../experiments/runner";
import { shippedFolder } from "../results/store";
import { oneOf } from "../util/errors";
import { runInCell } from "./run";

const profiles = ["stored", "full", "small"];

/** `grid` is what the paper runs, `small` something of it that takes seconds; a run is looked for in `results`, then among those that came with the kit. */
export type Parts = { profile: string; grid: Job[]; small: Job[]; engine: Engine; results: string };

/**
 * `fresh` are the rows of the small jobs, which every profile runs, or finds in `results`. `rows` are what tables and figures show:
 * "stored": the grid's runs as far as they are stored; "full": all of them, computed into `results`; "small": the small jobs'. Where
 * nothing is stored (another model, say) they are the small jobs' too.
 * @throws UsageError for another profile; when it is stopped, as `runInCell`
 */
export async function runProfile({
  profile,
  grid,
  small,
  engine,
  results,
}: Parts): Promise<{ rows: Row[]; fresh: Row[] }> {
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
