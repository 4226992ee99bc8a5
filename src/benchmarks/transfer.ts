/**
 * Cross-dataset evaluation and domain generalisation (PromptSRC, sections 4.2 and 4.3). Both train on all classes of
 * one source dataset (ImageNet in the paper) with 16 shots. Cross-dataset evaluation tests the same prompts on other
 * datasets with their own class names. Domain generalisation tests them on the same classes under domain shift. Both
 * have the same settings, so they share one training, and targets can be added without training again.
 */
import type { Dataset } from "../datasets/split";
import { type Benchmark, byShots, configOf, type Grid, type Row, shotsFor } from "../experiments/benchmark";
import type { Job } from "../experiments/job";
import { trainTestJob } from "../experiments/trainAndEvaluate";
import { type AccuracyScore, accuracyDifferences, transferTable } from "../results/accuracy";
import type { Paper, PaperTable } from "../results/paper";
import { settingOf } from "../results/store";

/** ImageNet, or another source, is trained on with 16 images per class (paper, section 4.2). */
const defaultShots = [16];

function jobs(grid: Grid, benchmark: string, settings: "crossDataset" | "domainGeneralisation"): Job[] {
  const { source } = grid;
  if (!source) throw new Error(`${benchmark} needs a source dataset to train on`);
  const targets = [source, ...grid.datasets.filter((dataset) => dataset.name !== source.name)];
  const job = (target: Dataset, method: Grid["methods"][number], shots: number, seed: number) =>
    trainTestJob(grid, {
      benchmark,
      method,
      seed,
      // A training depends on the source only; zero-shot CLIP uses the template of the tested dataset.
      config: configOf(grid, method, settings, method.trainable ? source : target),
      source: { dataset: source, classes: "all", shots },
      target,
      tests: { accuracy: target },
      metrics: (accuracies) => accuracies,
    });
  // The tests of one training follow each other, so that an interrupted grid leaves complete table rows.
  return grid.methods.flatMap((method) =>
    shotsFor(method, grid.shots ?? defaultShots).flatMap((shots) =>
      grid.seeds.flatMap((seed) => targets.map((target) => job(target, method, shots, seed))),
    ),
  );
}

/** The accuracies of runs for a table with a column for each tested dataset. */
export const scoresByTarget = (rows: Row[]): AccuracyScore[] =>
  rows.map(({ row, run }) => ({
    ...run,
    method: row,
    accuracy: run.metrics.accuracy,
    column: run.dataset,
    setting: settingOf(run),
  }));

function benchmark(
  about: Omit<Benchmark, "transfers" | "sameClasses" | "shots" | "settings" | "jobs" | "tables">,
  settings: "crossDataset" | "domainGeneralisation",
  paperTableOf: (paper: Paper) => PaperTable,
  /** Names of the columns of the paper's table to show next to our results. */
  paperColumnsOf: (table: PaperTable) => string[],
): Benchmark {
  return {
    ...about,
    transfers: true,
    sameClasses: false,
    shots: defaultShots,
    settings: () => settings,
    jobs: (grid) => jobs(grid, about.name, settings),
    tables(all, methods, paper) {
      const { rows, named } = byShots(all, methods);
      const source = rows.flatMap(({ run }) => run.source?.dataset ?? [])[0] ?? rows[0].run.dataset;
      const scores = scoresByTarget(rows);
      const targets = scores
        .filter((score) => score.dataset !== source)
        .map((score) => ({ ...score, column: "targets" }));
      const table = paperTableOf(paper);
      return [
        transferTable(about.title, scores, source, named, table, paperColumnsOf(table)),
        accuracyDifferences(targets, named),
      ];
    },
  };
}

/** The cross-dataset benchmark: train on one dataset, test the same prompts on others (paper, section 4.2). */
export const crossDataset = benchmark(
  {
    name: "cross-dataset",
    title: "Cross-dataset",
    about: "train on one dataset, test on all others",
    takes: (dataset) => dataset.train.length > 0,
  },
  "crossDataset",
  (paper) => paper.crossDataset,
  () => ["ImageNet", "average"],
);

/** Domain generalisation: train on one dataset, test on the same classes under domain shift (paper, section 4.3). */
export const domainGeneralisation = benchmark(
  {
    name: "domain-generalisation",
    title: "Domain generalisation",
    about: "train on one dataset, test on the same classes under domain shift",
    takes: (dataset) => dataset.train.length === 0,
  },
  "domainGeneralisation",
  (paper) => paper.domainGeneralisation,
  ({ columns }) => columns,
);
