/** What a benchmark is: which runs it takes, and how their results are shown. A new one is one file that makes such a record. */
import type { Clip } from "../clip/model";
import type { BenchmarkSettings, PresetName } from "../configs/presets";
import type { Dataset } from "../datasets/split";
import { changed, configFor, type Method, type Settings } from "../methods/method";
import type { Paper } from "../results/paper";
import type { Run } from "../results/store";
import type { Labelled, Table } from "../results/table";
import type { Job } from "./runner";

/** What is run. A benchmark's own protocol is the default of all that is optional. */
export type Grid = {
  clip: Clip;
  /** Tested, and trained on where there is no `source`. */
  datasets: Dataset[];
  /** Trained on, by benchmarks that test elsewhere. */
  source?: Dataset;
  methods: Method[];
  seeds: number[];
  /** Training pictures per class; one run for each. */
  shots?: number[];
  /** Settings by name, see configs/presets.ts; the model's own unless given. */
  preset?: PresetName;
  /** A change of the settings; one that a method does not have is an error. */
  change?: (config: Settings, method: Method) => Settings;
  /** The pictures that are tested: "val" for choosing numbers, "test" for reporting them. */
  subset?: "test" | "val";
  /** Also test every third picture after every epoch. */
  perEpoch?: boolean;
  /** The row of the tables that the runs belong to; each method's own unless given. */
  row?: Labelled;
};

/** A finished run and the row of the tables it belongs to: its method, or the variant of an ablation. */
export type Row = { row: string; run: Run };

export type Benchmark = {
  name: string;
  title: string;
  /** One line for lists. */
  about: string;
  /** Which datasets are tested unless they are named. */
  takes(dataset: Dataset): boolean;
  /** Whether it trains on one dataset and tests on others. */
  transfers: boolean;
  /** Whether it tests on the classes that were trained on, and on no others. */
  sameClasses: boolean;
  jobs(grid: Grid): Job[];
  /** The results, with the paper's beside them, and the differences between rows. */
  tables(rows: Row[], named: Labelled[], paper: Paper): Table[];
};

/** Settings of a method for a benchmark, with the grid's change. @throws UsageError where a setting is unknown or out of its range */
export function configOf(
  { clip, preset = clip.preset, change }: Grid,
  method: Method,
  benchmark: BenchmarkSettings,
  dataset: Dataset,
): Settings {
  const config = configFor(method, preset, benchmark, dataset.template);
  return change ? changed(method, config, (before) => change(before, method)) : config;
}

/** What is not trained is the same with any number of shots: one run stands for all of them. */
export const shotsFor = ({ trainable, fit }: Method, shots: number[]): number[] =>
  trainable || fit ? shots : shots.slice(0, 1);

/** Where a row has runs with several numbers of shots, a row for each of them: they are not the same experiment. */
export function byShots(rows: Row[], named: Labelled[]): { rows: Row[]; named: Labelled[] } {
  const shotsOf = (name: string) =>
    [...new Set(rows.filter(({ row }) => row === name).map(({ run }) => run.shots))].sort((a, b) => a - b);
  const several = new Set(named.filter(({ name }) => shotsOf(name).length > 1).map(({ name }) => name));
  const nameOf = (name: string, shots: number) =>
    several.has(name) ? `${name}, ${shots} ${shots === 1 ? "shot" : "shots"}` : name;
  return {
    rows: rows.map(({ row, run }) => ({ row: nameOf(row, run.shots), run })),
    named: named.flatMap(({ name, title }) =>
      several.has(name)
        ? shotsOf(name).map((shots) => ({
            name: nameOf(name, shots),
            title: nameOf(name, shots).replace(name, () => title),
          }))
        : { name, title },
    ),
  };
}
