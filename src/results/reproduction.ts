/**
 * Our accuracies beside those that the paper prints for the same methods on the same datasets, and whether they agree.
 * The paper prints means of 3 seeds without deviations, so the yardstick is the spread of our own seeds.
 */
import { coopDataset } from "../datasets/coop";
import { type Paper, paperTitle } from "./paper";
import { harmonicMean, type Spread, spread } from "./statistics";
import type { Run } from "./store";
import { type Labelled, signed, type Table, type Value } from "./table";

/** A number of the paper for a method, a dataset under its name in the paper, and a column. */
type PaperValue = (title: string, dataset: string, column: string) => number | undefined;

/** Which column of the paper a run belongs to, and its accuracy. */
type Measured = { method: string; dataset: string; seed: number; column: string; value: number };

/** The number that the paper prints, by benchmark. */
function paperValue(paper: Paper, benchmark: string): PaperValue {
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

function measuredOf(benchmark: string, runs: Run[]): Measured[] {
  return runs.flatMap(({ method, dataset, seed, shots, metrics }) => {
    const name = coopDataset(dataset)?.paper;
    if (name === undefined) return [];
    const of = (column: string, value: number) => ({ method, dataset: name, seed, column, value });
    if (benchmark === "base-to-novel") return [of("base", metrics.base), of("novel", metrics.novel)];
    if (benchmark === "few-shot") return [of(`${shots}`, metrics.accuracy)];
    return [of("accuracy", metrics.accuracy)];
  });
}

/** The mean over the datasets for each seed. */
function bySeed(measured: Measured[]): number[] {
  const seeds = [...new Set(measured.map(({ seed }) => seed))];
  return seeds.map((seed) => {
    const values = measured.filter((m) => m.seed === seed).map(({ value }) => value);
    return values.reduce((a, b) => a + b, 0) / values.length;
  });
}

/**
 * "as the paper" where the difference is at most twice the standard error of our seeds, and at most half a point where
 * the seeds agree by chance; "above" or "below" otherwise. One seed has no spread, and so no verdict.
 */
export function verdict({ mean, sd, n }: Spread, printed: number): string {
  if (sd === undefined) return "one seed: no verdict";
  const tolerance = Math.max(0.5, (2 * sd) / Math.sqrt(n));
  const difference = mean - printed;
  if (Math.abs(difference) <= tolerance) return "as the paper";
  return difference > 0 ? "above the paper" : "below the paper";
}

/**
 * A row for each method and column: our mean over the datasets that both have, the paper's over the same, the
 * difference, the verdict. Runs on datasets that are not the paper's are left out.
 */
export function reproductionTable(benchmark: string, runs: Run[], methods: Labelled[], paper: Paper): Table {
  const printed = paperValue(paper, benchmark);
  const all = measuredOf(benchmark, runs);
  const rows = methods.flatMap(({ name, title }) => {
    const ofMethod = all.filter((m) => m.method === name);
    const columns = [...new Set(ofMethod.map(({ column }) => column))];
    const lines = columns.flatMap((column) => {
      const both = ofMethod.filter((m) => m.column === column && printed(title, m.dataset, column) !== undefined);
      if (both.length === 0) return [];
      const datasets = [...new Set(both.map(({ dataset }) => dataset))];
      const theirs = datasets.map((dataset) => printed(title, dataset, column) as number);
      return [{ column, ours: bySeed(both), datasets, theirs: theirs.reduce((a, b) => a + b, 0) / theirs.length }];
    });
    const [base, novel] = ["base", "novel"].map((wanted) => lines.find(({ column }) => column === wanted));
    if (base && novel) {
      const ours = base.ours.map((value, seed) => harmonicMean(value, novel.ours[seed]));
      lines.push({ column: "HM", ours, datasets: base.datasets, theirs: harmonicMean(base.theirs, novel.theirs) });
    }
    return lines.map(({ column, ours, datasets, theirs }): Record<string, Value> => {
      const mean = spread(ours);
      return {
        method: title,
        column,
        datasets: `${datasets.length}`,
        ours: mean,
        paper: theirs,
        difference: signed(mean.mean - theirs, 1),
        verdict: verdict(mean, theirs),
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
