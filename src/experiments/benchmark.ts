/**
 * The type of a benchmark: the runs that it consists of, and the tables that show their results. A new benchmark is
 * one file that defines such a record.
 */
import type { Clip } from "../clip/model";
import type { BenchmarkSettings, PresetName } from "../configs/presets";
import type { Dataset } from "../datasets/split";
import { changed, configFor, type Method, type Settings } from "../methods/method";
import type { Paper } from "../results/paper";
import type { Run } from "../results/store";
import type { Labelled, Table } from "../results/table";
import type { Job } from "./job";

/** What to run. The optional fields default to the benchmark's own protocol. */
export type Grid = {
  clip: Clip;
  /** The datasets to test on. Without a `source`, they are also the training datasets. */
  datasets: Dataset[];
  /** The training dataset of benchmarks that test on other datasets. */
  source?: Dataset;
  methods: Method[];
  seeds: number[];
  /** Numbers of training images per class; each number is a separate run. */
  shots?: number[];
  /** Name of the preset of settings (configs/presets.ts); the default is the model's own preset. */
  preset?: PresetName;
  /** Changes the settings. Changing a setting that the method does not have is an error. */
  change?: (config: Settings, method: Method) => Settings;
  /** The images to evaluate on: "val" for choosing hyperparameters, "test" for reporting results. */
  subset?: "test" | "val";
  /** Also evaluate after every epoch, on every third image. */
  perEpoch?: boolean;
  /**
   * Compute again the runs whose predictions of the test pictures are not stored (results/predictions.ts), such as
   * those that came with the kit. A training that is stored is used again.
   */
  predictions?: boolean;
  /** The table row that the runs belong to; the default is a row for each method. */
  row?: Labelled;
};

/** A finished run and the name of its table row: its method, or its variant in an ablation. */
export type Row = { row: string; run: Run };

export type Benchmark = {
  name: string;
  title: string;
  /** A one-line description for lists. */
  about: string;
  /** Whether a dataset is tested by default, that is, when no datasets are named. */
  takes(dataset: Dataset): boolean;
  /** Whether it trains on one dataset and tests on others. */
  transfers: boolean;
  /** Whether it tests on exactly the classes that were trained on. */
  sameClasses: boolean;
  /** The numbers of training images per class of its protocol. */
  shots: number[];
  /** Which settings of a preset apply to a dataset, by its name. */
  settings(dataset: string): BenchmarkSettings;
  jobs(grid: Grid): Job[];
  /** Tables of the results next to the paper's, and of the differences between rows. */
  tables(rows: Row[], named: Labelled[], paper: Paper): Table[];
};

/**
 * The settings of a method for a benchmark, with the grid's change applied.
 * @throws UsageError if a setting is unknown or out of its range
 */
export function configOf(
  { clip, preset = clip.preset, change }: Grid,
  method: Method,
  benchmark: BenchmarkSettings,
  dataset: Dataset,
): Settings {
  const config = configFor(method, preset, benchmark, dataset.template);
  return change ? changed(method, config, (before) => change(before, method)) : config;
}

/**
 * The numbers of shots to run. A method that is not trained does not depend on them, so one run represents all of them.
 */
export const shotsFor = ({ trainable, fit }: Method, shots: number[]): number[] =>
  trainable || fit ? shots : shots.slice(0, 1);

/** Splits each row with several numbers of shots into one row per number, because these are different experiments. */
export function byShots(rows: Row[], named: Labelled[]): { rows: Row[]; named: Labelled[] } {
  const shotsOf = (name: string) =>
    [...new Set(rows.filter(({ row }) => row === name).map(({ run }) => run.shots))].sort((a, b) => a - b);
  const withSeveralShots = new Set(named.filter(({ name }) => shotsOf(name).length > 1).map(({ name }) => name));
  const nameOf = (name: string, shots: number) =>
    withSeveralShots.has(name) ? `${name}, ${shots} ${shots === 1 ? "shot" : "shots"}` : name;
  return {
    rows: rows.map(({ row, run }) => ({ row: nameOf(row, run.shots), run })),
    named: named.flatMap(({ name, title }) =>
      withSeveralShots.has(name)
        ? shotsOf(name).map((shots) => ({
            name: nameOf(name, shots),
            title: nameOf(name, shots).replace(name, () => title),
          }))
        : { name, title },
    ),
  };
}
