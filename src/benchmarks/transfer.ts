/**
 * Cross-dataset evaluation and domain generalisation (PromptSRC, sections 4.2 and 4.3): train on all classes of one dataset, the paper's
 * ImageNet, with 16 shots; test the same prompts on other datasets with their own class names, and on the same classes as other hands
 * show them. The two have the same settings, so one training serves both, and targets can be added without training again.
 */
import type { Dataset } from "../datasets/split";
import { type Benchmark, byShots, configOf, type Grid, type Row, shotsFor } from "../experiments/benchmark";
import type { Job } from "../experiments/runner";
import { trainTestJob } from "../experiments/trainAndEvaluate";
import { type AccuracyScore, accuracyDifferences, transferTable } from "../results/accuracy";
import type { Paper, PaperTable } from "../results/paper";
import { settingOf } from "../results/store";

function jobs(grid: Grid, benchmark: string, settings: "crossDataset" | "domainGeneralisation"): Job[] {
  const { source } = grid;
  if (!source) throw new Error(`${benchmark} needs a source: the dataset that is trained on`);
  const targets = [source, ...grid.datasets.filter((dataset) => dataset.name !== source.name)];
  const job = (target: Dataset, method: Grid["methods"][number], shots: number, seed: number) =>
    trainTestJob(grid, {
      benchmark,
      method,
      seed,
      // What is trained depends on the source alone; zero-shot CLIP has the sentence of the dataset that is tested.
      config: configOf(grid, method, settings, method.trainable ? source : target),
      source: { dataset: source, classes: "all", shots },
      target,
      tests: { accuracy: target },
      metrics: (accuracies) => accuracies,
    });
  // A training's tests follow each other, so that an interrupted grid leaves whole rows.
  return grid.methods.flatMap((method) =>
    shotsFor(method, grid.shots ?? [16]).flatMap((shots) =>
      grid.seeds.flatMap((seed) => targets.map((target) => job(target, method, shots, seed))),
    ),
  );
}

/** The accuracies of runs by the rows of a table, a column for each tested dataset. */
export const scoresByTarget = (rows: Row[]): AccuracyScore[] =>
  rows.map(({ row, run }) => ({
    ...run,
    method: row,
    accuracy: run.metrics.accuracy,
    column: run.dataset,
    setting: settingOf(run),
  }));

function benchmark(
  about: Omit<Benchmark, "transfers" | "sameClasses" | "jobs" | "tables">,
  settings: "crossDataset" | "domainGeneralisation",
  theirs: (paper: Paper) => PaperTable,
  /** Columns of the paper's table that stand beside ours. */
  beside: (table: PaperTable) => string[],
): Benchmark {
  return {
    ...about,
    transfers: true,
    sameClasses: false,
    jobs: (grid) => jobs(grid, about.name, settings),
    tables(all, methods, paper) {
      const { rows, named } = byShots(all, methods);
      const source = rows.flatMap(({ run }) => run.source?.dataset ?? [])[0] ?? rows[0].run.dataset;
      const scores = scoresByTarget(rows);
      const targets = scores
        .filter((score) => score.dataset !== source)
        .map((score) => ({ ...score, column: "targets" }));
      const table = theirs(paper);
      return [
        transferTable(about.title, scores, source, named, table, beside(table)),
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

/** Domain generalisation: train on one dataset, test on its classes as other hands show them (paper, section 4.3). */
export const domainGeneralisation = benchmark(
  {
    name: "domain-generalisation",
    title: "Domain generalisation",
    about: "train on one dataset, test on its classes as other hands show them",
    takes: (dataset) => dataset.train.length === 0,
  },
  "domainGeneralisation",
  (paper) => paper.domainGeneralisation,
  ({ columns }) => columns,
);
