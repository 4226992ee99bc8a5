/** The shipped runs of the embedded model and datasets, to stand beside those of a model and data of one's own. */
import { resolve } from "node:path";
import { loadClip } from "../clip/load";
import type { Clip } from "../clip/model";
import { type Dataset, datasetNames, loadDataset } from "../datasets/split";
import type { Row } from "../experiments/benchmark";
import { type Job, rowsOf, storedRuns } from "../experiments/runner";

const embedded = { model: "weights/mini-clip", root: "data", split: "renders" };

/**
 * The stored rows of an experiment on the embedded model and datasets; none if `own` names exactly these, because then
 * they are the notebook's own rows.
 * @param own the model and the data root of the notebook
 * @param jobs makes the experiment's jobs from a model and its datasets
 */
export async function embeddedRows(
  own: { model: string; root: string },
  jobs: (clip: Clip, datasets: Dataset[]) => Job[],
): Promise<Row[]> {
  if (resolve(own.model) === resolve(embedded.model) && resolve(own.root) === resolve(embedded.root)) return [];
  const datasets = datasetNames(embedded.root, embedded.split).map((name) =>
    loadDataset(`${embedded.root}/${name}`, embedded.split),
  );
  const all = jobs(await loadClip(embedded.model), datasets);
  return rowsOf(all, storedRuns(all));
}
