/**
 * What an ablation is: a question, and variants of a method that answer it. Its runs are those of the base-to-novel
 * benchmark; a variant with the same identity as another run reuses that run, and variants that differ only in the
 * ensemble of epochs share a training.
 */
import type { Clip } from "../clip/model";
import type { Dataset } from "../datasets/split";
import { byShots, type Grid, type Row } from "../experiments/benchmark";
import type { Job } from "../experiments/job";
import type { Method, Settings } from "../methods/method";
import { differencesTable, type Pair } from "../results/differences";
import { type Paper, paperTriple, type Triple } from "../results/paper";
import { comparable } from "../results/statistics";
import { baseNovelTable, type Table } from "../results/table";
import { baseToNovelJobs, scoresOfRows } from "./baseToNovel";

export type Variant = {
  name: string;
  title: string;
  method: Method;
  change?(config: Settings): Settings;
  /** Whether the variant differs from the others on this model (by default it does). */
  fits?(clip: Clip): boolean;
  /** The variant's row in the paper's table. */
  paper?: string;
};

export type Ablation = {
  name: string;
  title: string;
  /** The question that the ablation answers. */
  question: string;
  variants: Variant[];
  /** The datasets it runs on if none are named; undefined means all. */
  datasets?: string[];
  /** What the paper concludes, if it prints no numbers (its figures are of ImageNet). */
  said?: string;
  /** The variant that the others are compared with; the first by default. */
  reference?: string;
  /** The pairs of variants to compare: the second is subtracted from the first. The default is every pair. */
  pairs?: Pair[];
  /** The paper's table of this ablation. */
  paper?: keyof Pick<Paper, "components" | "consistencyLoss" | "ensembling" | "textualDiversity" | "baseToNovel">;
};

/** The variants of an ablation that differ from one another on this model (a depth beyond its blocks does not). */
export const variantsOf = ({ variants }: Ablation, clip: Clip): Variant[] =>
  variants.filter(({ fits }) => !fits || fits(clip));

/**
 * Those of some datasets that an ablation runs on: its own ones where they are among them, else all that can be
 * trained on.
 */
export function ablationDatasets({ datasets }: Ablation, all: Dataset[]): Dataset[] {
  const own = all.filter(({ name }) => datasets?.includes(name));
  return own.length > 0 ? own : all.filter(({ train }) => train.length > 0);
}

/**
 * One job for each dataset, variant and seed. A variant's change is applied last, so that `--set` changes the settings
 * that all variants share.
 */
export const ablationJobs = (
  variants: Variant[],
  { change = (config) => config, ...grid }: Omit<Grid, "methods">,
): Job[] =>
  grid.datasets.flatMap((dataset) =>
    variants.flatMap((row) =>
      baseToNovelJobs({
        ...grid,
        datasets: [dataset],
        methods: [row.method],
        row,
        change: (config, method) => (row.change ?? ((own) => own))(change(config, method)),
      }),
    ),
  );

/** The paper's numbers of a variant by its name, where it prints them. */
export const paperOf =
  ({ paper: table, variants }: Ablation, paper: Paper) =>
  ({ name }: { name: string }): Triple | undefined => {
    const row = variants.find((variant) => variant.name === name)?.paper;
    return table && row ? paperTriple(paper[table], row) : undefined;
  };

/**
 * Base, novel and HM of the variants on the datasets and seeds that all have, the paper's beside; differences on those
 * that a pair has.
 */
export function ablationTables(ablation: Ablation, all: Row[], paper: Paper): Table[] {
  const { rows, named } = byShots(all, ablation.variants);
  const scores = scoresOfRows(rows);
  const beside = ablation.paper && paperOf(ablation, paper);
  return [
    baseNovelTable(`${ablation.title}: accuracy (%)`, comparable(scores), named, beside),
    differencesTable(scores, named, ablation.pairs),
  ];
}
