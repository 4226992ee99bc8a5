/** The shipped runs of the embedded model and datasets, to stand beside those of a model and data of one's own. */
import { resolve } from "node:path";
import { type Ablation, ablationDatasets } from "../benchmarks/ablation";
import { loadClip } from "../clip/load";
import type { Clip } from "../clip/model";
import { type Dataset, datasetNames, loadDataset } from "../datasets/split";
import type { Row } from "../experiments/benchmark";
import { type Job, rowsOf, storedRuns } from "../experiments/job";
import { type AblationStudy, ablation } from "./ablation";

const embedded = { model: "weights/mini-clip", root: "data", split: "renders" };

const isEmbedded = (own: { model: string; root: string }): boolean =>
  resolve(own.model) === resolve(embedded.model) && resolve(own.root) === resolve(embedded.root);

const embeddedDatasets = (): Dataset[] =>
  datasetNames(embedded.root, embedded.split).map((name) => loadDataset(`${embedded.root}/${name}`, embedded.split));

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
  if (isEmbedded(own)) return [];
  const all = jobs(await loadClip(embedded.model), embeddedDatasets());
  return rowsOf(all, storedRuns(all));
}

/**
 * A shipped ablation with its stored runs of the embedded model and datasets; undefined if `own` names exactly these.
 * @param own the model and the data root of the notebook
 */
export async function embeddedAblation(
  own: { model: string; root: string },
  record: Ablation,
): Promise<AblationStudy | undefined> {
  if (isEmbedded(own)) return undefined;
  return ablation({
    ...record,
    title: "The same on the embedded model and datasets",
    clip: await loadClip(embedded.model),
    datasets: ablationDatasets(record, embeddedDatasets()),
    seeds: [1, 2, 3],
  });
}
