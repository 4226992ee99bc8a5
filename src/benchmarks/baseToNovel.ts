/**
 * Base-to-novel generalisation: train on the first half of the classes (base), then test on both halves, each with
 * its own class names only (CoOp's subsample_classes; PromptSRC, section 4.1). Both halves are tested alike; only the
 * prompts depend on the half that was trained on.
 */
import { baseNovel } from "../datasets/baseNovel";
import type { Dataset } from "../datasets/split";
import { type Benchmark, byShots, configOf, type Grid, type Row, shotsFor } from "../experiments/benchmark";
import type { Job } from "../experiments/job";
import { trainTestJob } from "../experiments/trainAndEvaluate";
import { differencesTable } from "../results/differences";
import { harmonicMean } from "../results/statistics";
import type { TestPictures } from "../results/statisticsTables";
import { type Run, settingOf } from "../results/store";
import { baseToNovelTable, type MethodScore } from "../results/table";

/** One job for each dataset, method, number of shots and seed, nested in this order. */
export const baseToNovelJobs = (grid: Grid): Job[] =>
  grid.datasets.flatMap((dataset) => {
    const tests = baseNovel(dataset);
    return grid.methods.flatMap((method) =>
      shotsFor(method, grid.shots ?? baseToNovel.shots).flatMap((shots) =>
        grid.seeds.map((seed) =>
          trainTestJob(grid, {
            benchmark: "base-to-novel",
            method,
            seed,
            config: configOf(grid, method, baseToNovel.settings(dataset.name), dataset),
            source: { dataset, classes: "base", shots },
            target: dataset,
            tests,
            metrics: ({ base, novel }) => ({ base, novel, hm: harmonicMean(base, novel) }),
          }),
        ),
      ),
    );
  });

/** The base and novel accuracies of stored runs, for statistics, tables and figures. */
export const scoresOf = (runs: Run[]): MethodScore[] =>
  runs.map((run) => {
    const { dataset, method, seed, metrics } = run;
    return { dataset, method, seed, base: metrics.base, novel: metrics.novel, setting: settingOf(run) };
  });

/** The scores of runs, with the name of the table row in place of the method. */
export const scoresOfRows = (rows: Row[]): MethodScore[] =>
  rows.map(({ row, run }) => ({ ...scoresOf([run])[0], method: row }));

/** How many test pictures of base and of novel classes each dataset has. */
export const testPictures = (datasets: Dataset[]): TestPictures =>
  Object.fromEntries(
    datasets.map((dataset) => {
      const { base, novel } = baseNovel(dataset);
      return [dataset.name, { base: base.test.length, novel: novel.test.length }];
    }),
  );

/** The base-to-novel benchmark: train on half of the classes, test on both halves (paper, section 4.1). */
export const baseToNovel: Benchmark = {
  name: "base-to-novel",
  title: "Base-to-novel",
  about: "train on half of the classes, test on both halves",
  takes: (dataset) => dataset.train.length > 0,
  transfers: false,
  sameClasses: false,
  shots: [16],
  settings: () => "baseToNovel",
  jobs: baseToNovelJobs,
  tables(all, methods, paper) {
    const { rows, named } = byShots(all, methods);
    const scores = scoresOfRows(rows);
    return [baseToNovelTable(scores, named, paper), differencesTable(scores, named)];
  },
};
