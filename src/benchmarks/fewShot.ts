/**
 * Few-shot learning: train on all classes with 1, 2, 4, 8 or 16 images per class, and test on all classes (CoOp;
 * PromptSRC, section 4.4). GPA has two settings, see `fewShotSettings`. Zero-shot CLIP is the run with 0 shots.
 */
import { fewShotSettings } from "../configs/presets";
import { type Benchmark, configOf, type Row } from "../experiments/benchmark";
import { trainTestJob } from "../experiments/trainAndEvaluate";
import { type AccuracyScore, accuracyDifferences, fewShotTable } from "../results/accuracy";
import { settingOf } from "../results/store";
import { UsageError } from "../util/errors";

/** The accuracies of runs for a table with a column for each number of shots. */
export const scoresByShots = (rows: Row[]): AccuracyScore[] =>
  rows.map(({ row, run }) => ({
    ...run,
    method: row,
    accuracy: run.metrics.accuracy,
    column: `${run.shots}`,
    setting: settingOf(run),
  }));

/**
 * The few-shot benchmark: train and test on all classes, with 1 to 16 training images per class (paper, section 4.4).
 */
export const fewShot: Benchmark = {
  name: "few-shot",
  title: "Few-shot",
  about: "train and test on all classes, with 1, 2, 4, 8, 16 shots",
  takes: (dataset) => dataset.train.length > 0,
  transfers: false,
  sameClasses: true,
  shots: [1, 2, 4, 8, 16],
  settings: fewShotSettings,
  jobs: (grid) =>
    grid.datasets.flatMap((dataset) => {
      if (dataset.classNames.length < 2) {
        throw new UsageError(
          `${dataset.name} has one class, "${dataset.classNames[0]}": every prediction would be right; add a second class`,
        );
      }
      return grid.methods.flatMap((method) =>
        (method.trainable || method.fit ? (grid.shots ?? fewShot.shots) : [0]).flatMap((shots) =>
          grid.seeds.map((seed) =>
            trainTestJob(grid, {
              benchmark: "few-shot",
              method,
              seed,
              config: configOf(grid, method, fewShot.settings(dataset.name), dataset),
              source: { dataset, classes: "all", shots },
              target: dataset,
              tests: { accuracy: dataset },
              metrics: (accuracies) => accuracies,
            }),
          ),
        ),
      );
    }),
  tables(rows, named, paper) {
    const scores = scoresByShots(rows);
    return [fewShotTable(scores, named, paper), accuracyDifferences(scores, named)];
  },
};
