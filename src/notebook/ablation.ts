/**
 * An ablation in a cell: variants of a method on some datasets and seeds, their runs, table, figures and differences.
 * What was run before is found again, so that a change of a seed, a dataset or a variant computes only what is new.
 */
import { type Ablation, ablationJobs, ablationTables, paperOf, type Variant, variantsOf } from "../benchmarks/ablation";
import { scoresOfRows, testPictures } from "../benchmarks/baseToNovel";
import type { Clip } from "../clip/model";
import type { Config } from "../configs/config";
import type { Dataset } from "../datasets/split";
import { startEngine } from "../engine/tf";
import type { Row } from "../experiments/benchmark";
import { rowsOf, storedRuns } from "../experiments/job";
import { clock } from "../experiments/progress";
import { differencesFigure } from "../figures/against";
import { lossesFigure } from "../figures/losses";
import type { Figure } from "../figures/style";
import { variantsFigure } from "../figures/variants";
import type { Method } from "../methods/method";
import { methods } from "../methods/registry";
import { loadPaper } from "../results/paper";
import { comparable, type Metric } from "../results/statistics";
import { statisticsTable, uncertaintyTable } from "../results/statisticsTables";
import { resultsFolder } from "../results/store";
import { lastBlock, type MethodScore, type Table } from "../results/table";
import { UsageError } from "../util/errors";
import { runInCell } from "./run";

/** What a variant changes: the settings of PromptSRC (`(config) => ({ ...config, lr: 0.01 })`), or the method. */
export type Choice = Method | ((config: Config) => Config);

type AblationOptions = {
  title: string;
  clip: Clip;
  datasets: Dataset[];
  seeds: number[];
  /** By title; or records as those of the shipped ablations (`...ablations.components`). */
  variants: Record<string, Choice> | Variant[];
  /** Training pictures per class, 16 by default. */
  shots?: number;
  /** The variant that the others are compared with: the first by default. */
  reference?: string;
  /** Folder in which runs are stored and found again. */
  results?: string;
} & Pick<Partial<Ablation>, "pairs" | "paper">;

/** An ablation with what can be done with it. Tables and figures show the runs that there are. */
export type AblationStudy = {
  /** One sentence: how many runs are stored, how many are missing, and how long these will take. */
  status(): string;
  /**
   * Runs what is missing, with progress; the stop button ends it, and the next call goes on. `shipped: false` also runs
   * what came with the kit. What goes on for `figureAfter` seconds (30) shows the figure of the runs so far.
   */
  run(options?: { shipped?: boolean; figureAfter?: number }): Promise<void>;
  /** Base and novel accuracies of the runs on the datasets and seeds that all variants have; none before any run. */
  scores(): MethodScore[];
  /** Base, novel and HM by dataset, and their average. */
  table(): Table;
  /** The average alone. */
  average(): Table;
  /** Base, novel and HM of the variants. */
  figure(): Figure;
  /** Every variant against the reference, in points with 95 % intervals; the star is after Holm's correction. */
  differences(): Table;
  /** The same as a figure, in which another reference can be chosen. */
  differencesFigure(): Figure;
  /** Tests of every variant against the reference, and how many seeds and datasets would find 1 point; see `statisticsTable`. */
  statistics(metric?: Metric): Table;
  /** The standard errors of the accuracies, from seeds and from the test pictures; see `uncertaintyTable`. */
  uncertainty(): Table;
  /** The terms of the loss over the epochs. */
  losses(): Figure;
};

/**
 * Prepares an ablation; nothing is computed before `run`.
 * @throws UsageError where there are no variants, datasets or seeds, or the reference is none of the variants
 */
export function ablation(options: AblationOptions): AblationStudy {
  const { title, clip, datasets, seeds, shots, results = resultsFolder } = options;
  const list = Array.isArray(options.variants) ? options.variants : Object.entries(options.variants).map(variantOf);
  const record: Ablation = { ...options, name: title, question: title, datasets: undefined, variants: list };
  const variants = variantsOf(record, clip);
  const names = variants.map(({ name }) => name);
  if (names.length === 0 || datasets.length === 0 || seeds.length === 0)
    throw new UsageError("an ablation needs at least one variant, one dataset and one seed");
  const reference = options.reference ?? names[0];
  if (!names.includes(reference))
    throw new UsageError(`the reference "${reference}" is none of the variants ${names.join(", ")}`);
  const others = names.filter((name) => name !== reference);
  const study = {
    ...record,
    variants,
    pairs: options.pairs ?? others.map((name): [string, string] => [name, reference]),
  };
  const jobs = ablationJobs(variants, { clip, datasets, seeds, ...(shots === undefined ? {} : { shots: [shots] }) });

  /** Runs of methods that are not stored, because they have no version, live as long as the study. */
  let computed: Row[] = [];
  const rows = (): Row[] => (computed.length > 0 ? computed : rowsOf(jobs, storedRuns(jobs, results)));
  const someRows = (): Row[] => {
    const all = rows();
    if (all.length === 0) throw new UsageError(`${title}: no run is stored yet; call run() first`);
    return all;
  };
  const paper = loadPaper();
  const scores = () => comparable(scoresOfRows(someRows()));
  const tables = () => ablationTables(study, someRows(), paper);
  return {
    status() {
      const stored = rowsOf(jobs, storedRuns(jobs, results));
      const missing = jobs.filter((job) => storedRuns([job], results).length === 0);
      const what = `${title}: ${jobs.length - missing.length} of ${jobs.length} runs are stored`;
      if (missing.length === 0) return what;
      const seconds = missing.map(({ row }) => meanSeconds(stored, row));
      const known = seconds.filter((value): value is number => value !== undefined);
      const time =
        known.length === 0
          ? "how long they take is known after the first"
          : `about ${clock((known.reduce((a, b) => a + b, 0) / known.length) * missing.length)}`;
      return `${what}, ${missing.length} are missing: ${time}`;
    },
    async run({ shipped = true, figureAfter } = {}) {
      if (storedRuns(jobs, results).length < jobs.length) console.log(this.status());
      const shown = { shipped, figureAfter, named: variants };
      computed = rowsOf(jobs, await runInCell(jobs, await startEngine(), results, shown));
    },
    table: () => tables()[0],
    average: () => lastBlock(tables()[0]),
    scores: () => (rows().length > 0 ? scores() : []),
    figure: () => variantsFigure(title, scores(), variants, paperOf(study, paper)),
    differences: () => tables()[1],
    differencesFigure: () => differencesFigure(title, scores(), variants, reference),
    statistics: (metric) => statisticsTable(scores(), variants, { reference, metric }),
    uncertainty: () => uncertaintyTable(scores(), variants, testPictures(datasets)),
    losses() {
      const all = someRows();
      const runsOf = (name: string) => all.filter(({ row }) => row === name).map(({ run }) => run);
      return lossesFigure(
        `${title}: the loss`,
        variants.map((variant) => ({ ...variant, runs: runsOf(variant.name) })),
      );
    },
  };
}

/** A variant from its title and its choice; a choice of settings is one of PromptSRC. */
const variantOf = ([title, choice]: [string, Choice]): Variant =>
  typeof choice === "function"
    ? { name: title, title, method: methods.promptsrc, change: (config) => choice(config as Config) }
    : { name: title, title, method: choice };

/** Mean seconds of the stored runs of a row, or of all rows where it has none. */
function meanSeconds(stored: Row[], row: string): number | undefined {
  const own = stored.filter((one) => one.row === row);
  const from = own.length > 0 ? own : stored;
  return from.length > 0 ? from.reduce((sum, { run }) => sum + run.seconds, 0) / from.length : undefined;
}
