/**
 * Compares our accuracies with those in the paper for the same methods on the same datasets, and says whether they
 * agree. The paper gives means of 3 seeds without standard deviations, so agreement is judged by the spread of our own
 * seeds.
 */
import { coopDataset } from "../datasets/coop";
import { type Paper, paperTitle } from "./paper";
import { harmonicMean, type Spread, spread } from "./statistics";
import type { Run } from "./store";
import { type Labelled, signed, type Table, type Value } from "./table";

/** Looks up the paper's number for a method's title, a dataset (by its name in the paper), and a column. */
type PaperValue = (title: string, dataset: string, column: string) => number | undefined;

/** An accuracy of a run in percent, with the column of the paper that it belongs to. */
type MeasuredAccuracy = { method: string; dataset: string; seed: number; column: string; value: number };

/** The lookup of the paper's numbers for a benchmark. */
function paperLookup(paper: Paper, benchmark: string): PaperValue {
  if (benchmark === "base-to-novel") {
    const { columns, rows } = paper.baseToNovel;
    return (title, dataset, column) => rows[title]?.[dataset]?.[columns.indexOf(column)];
  }
  if (benchmark === "few-shot") {
    const { columns, rows } = paper.fewShot;
    return (title, dataset, column) => rows[title]?.[dataset]?.[columns.indexOf(column)];
  }
  const { columns, rows } = benchmark === "cross-dataset" ? paper.crossDataset : paper.domainGeneralisation;
  return (title, dataset) => rows[title]?.[columns.indexOf(dataset)];
}

/** The accuracies of the runs on the paper's datasets, with each dataset under its name in the paper. */
function measuredOf(benchmark: string, runs: Run[]): MeasuredAccuracy[] {
  return runs.flatMap(({ method, dataset, seed, shots, metrics }) => {
    const name = coopDataset(dataset)?.paper;
    if (name === undefined) return [];
    const measured = (column: string, value: number) => ({ method, dataset: name, seed, column, value });
    if (benchmark === "base-to-novel") return [measured("base", metrics.base), measured("novel", metrics.novel)];
    if (benchmark === "few-shot") return [measured(`${shots}`, metrics.accuracy)];
    return [measured("accuracy", metrics.accuracy)];
  });
}

/** For each seed, the mean over the datasets. */
function bySeed(measured: MeasuredAccuracy[]): number[] {
  const seeds = [...new Set(measured.map(({ seed }) => seed))];
  return seeds.map((seed) => {
    const values = measured.filter((m) => m.seed === seed).map(({ value }) => value);
    return values.reduce((a, b) => a + b, 0) / values.length;
  });
}

/**
 * "as the paper" if the difference is at most twice the standard error of our seeds; otherwise "above" or "below the
 * paper". The tolerance is at least 0.5 points, because a few seeds may agree by chance. A single seed has no standard
 * error, so there is no verdict.
 */
export function verdict({ mean, sd, n }: Spread, printed: number): string {
  if (sd === undefined) return "one seed: no verdict";
  const tolerance = Math.max(0.5, (2 * sd) / Math.sqrt(n));
  const difference = mean - printed;
  if (Math.abs(difference) <= tolerance) return "as the paper";
  return difference > 0 ? "above the paper" : "below the paper";
}

/**
 * A row for each method and column: our mean over the datasets that both we and the paper have, the paper's mean over
 * the same datasets, the difference, and the verdict. Runs on datasets that the paper does not use are ignored.
 */
export function reproductionTable(benchmark: string, runs: Run[], methods: Labelled[], paper: Paper): Table {
  const paperValueOf = paperLookup(paper, benchmark);
  const all = measuredOf(benchmark, runs);
  const rows = methods.flatMap(({ name, title }) => {
    const ofMethod = all.filter((m) => m.method === name);
    const columns = [...new Set(ofMethod.map(({ column }) => column))];
    const comparisons = columns.flatMap((column) => {
      const both = ofMethod.filter((m) => m.column === column && paperValueOf(title, m.dataset, column) !== undefined);
      if (both.length === 0) return [];
      const datasets = [...new Set(both.map(({ dataset }) => dataset))];
      const paperValues = datasets.map((dataset) => paperValueOf(title, dataset, column) as number);
      return [
        {
          column,
          ours: bySeed(both),
          datasets,
          paperMean: paperValues.reduce((a, b) => a + b, 0) / paperValues.length,
        },
      ];
    });
    const [base, novel] = ["base", "novel"].map((name) => comparisons.find(({ column }) => column === name));
    if (base && novel) {
      const ours = base.ours.map((value, seed) => harmonicMean(value, novel.ours[seed]));
      comparisons.push({
        column: "HM",
        ours,
        datasets: base.datasets,
        paperMean: harmonicMean(base.paperMean, novel.paperMean),
      });
    }
    return comparisons.map(({ column, ours, datasets, paperMean }): Record<string, Value> => {
      const mean = spread(ours);
      return {
        method: title,
        column,
        datasets: `${datasets.length}`,
        ours: mean,
        paper: paperMean,
        difference: signed(mean.mean - paperMean, 1),
        verdict: verdict(mean, paperMean),
      };
    });
  });
  return {
    title: `Reproduction of ${benchmark} (%)`,
    columns: [
      { key: "method", title: "method" },
      { key: "column", title: benchmark === "few-shot" ? "shots" : "" },
      { key: "datasets", title: "datasets" },
      { key: "ours", title: "ours" },
      { key: "paper", title: "paper", digits: 2 },
      { key: "difference", title: "difference" },
      { key: "verdict", title: "" },
    ],
    rows,
    groupBy: "method",
    note:
      `Paper: ${paperTitle}, CLIP ViT-B/16, means of 3 seeds on the same datasets. "as the paper": within twice the ` +
      "standard error of our seeds, at least 0.5 points.",
  };
}
