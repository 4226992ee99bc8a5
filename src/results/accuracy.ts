/** Tables of benchmarks whose result is one accuracy: few-shot, cross-dataset, domain generalisation. */

import { differencesOf } from "./differences";
import { type Paper, type PaperTable, paperTitle } from "./paper";
import { average } from "./statistics";
import type { Column, Labelled, Table, Value } from "./table";

/** `column` is where the score stands: the number of shots, the tested dataset. */
export type AccuracyScore = {
  dataset: string;
  method: string;
  seed: number;
  accuracy: number;
  column: string;
  setting?: string;
};

const accuracyColumns = (scores: AccuracyScore[]): string[] => [...new Set(scores.map((s) => s.column))];
const seedsNote = (scores: AccuracyScore[]): string => {
  const seeds = new Set(scores.map((s) => s.seed)).size;
  return seeds > 1 ? `Mean \u00b1 standard deviation over ${seeds} seeds.` : "One seed.";
};

/** A block of methods per dataset, and the average where there are several; a column per number of shots; the paper's average beside. */
export function fewShotTable(scores: AccuracyScore[], methods: Labelled[], paper: Paper): Table {
  const shots = accuracyColumns(scores).sort((a, b) => Number(a) - Number(b));
  const datasets = [...new Set(scores.map((s) => s.dataset))];
  const block = (label: string, of: AccuracyScore[], beside: boolean) =>
    methods.flatMap((method) => {
      const own = of.filter((s) => s.method === method.name);
      if (own.length === 0) return [];
      const cells = shots.flatMap((k): [string, Value][] => {
        const at = own.filter((s) => s.column === k);
        const whole = new Set(at.map((s) => s.dataset)).size === new Set(of.map((s) => s.dataset)).size;
        return whole ? [[k, average(at)]] : [];
      });
      const printed = beside ? paper.fewShot.rows[method.title]?.average : undefined;
      const theirs = printed?.map((value, i): [string, Value] => [`paper ${paper.fewShot.columns[i]}`, value]) ?? [];
      return [{ dataset: label, method: method.title, ...Object.fromEntries([...cells, ...theirs]) }];
    });
  const several = datasets.length > 1;
  const rows = [
    ...datasets.flatMap((dataset) =>
      block(
        dataset,
        scores.filter((s) => s.dataset === dataset),
        !several,
      ),
    ),
    ...(several ? block("average", scores, true) : []),
  ];
  const ours: Column[] = shots.map((k) => ({ key: k, title: k, group: "shots", best: true }));
  const theirs: Column[] = paper.fewShot.columns.map((k) => ({
    key: `paper ${k}`,
    title: k,
    group: "paper",
    best: true,
    digits: 2,
  }));
  return {
    title: "Few-shot accuracy (%)",
    columns: [{ key: "dataset", title: "dataset" }, { key: "method", title: "method" }, ...ours, ...theirs],
    rows,
    groupBy: "dataset",
    note: `${seedsNote(scores)} Paper: ${paperTitle}, CLIP ViT-B/16, mean of its 11 datasets.`,
  };
}

/** A row per method: the source, each target, the average of the targets; then columns of the paper's table, by name. */
export function transferTable(
  title: string,
  scores: AccuracyScore[],
  source: string,
  methods: Labelled[],
  paper: PaperTable,
  beside: string[],
): Table {
  const targets = accuracyColumns(scores).filter((name) => name !== source);
  const rows = methods.flatMap((method) => {
    const own = scores.filter((s) => s.method === method.name);
    if (own.length === 0) return [];
    const cell = (dataset: string): [string, Value] => {
      const at = own.filter((s) => s.dataset === dataset);
      return [dataset, at.length ? average(at) : undefined];
    };
    const elsewhere = own.filter((s) => s.dataset !== source);
    const whole = targets.length > 0 && targets.every((dataset) => elsewhere.some((s) => s.dataset === dataset));
    const printed = paper.rows[method.title];
    return [
      {
        method: method.title,
        ...Object.fromEntries([source, ...targets].map(cell)),
        average: whole ? average(elsewhere) : undefined,
        ...Object.fromEntries(beside.map((name) => [`paper ${name}`, printed?.[paper.columns.indexOf(name)]])),
      },
    ];
  });
  const columns: Column[] = [
    { key: "method", title: "method" },
    { key: source, title: source, group: "trained on", best: true },
    ...targets.map((name): Column => ({ key: name, title: name, group: "tested on", best: true })),
    { key: "average", title: "average", group: "tested on", best: true },
    ...beside.map((name): Column => ({ key: `paper ${name}`, title: name, group: "paper", best: true, digits: 2 })),
  ];
  const note = `${seedsNote(scores)} Average: of the targets. Paper: ${paperTitle}, CLIP ViT-B/16, its own targets.`;
  return { title: `${title} accuracy (%)`, columns, rows, note };
}

/** Differences between methods in each column, over its datasets and seeds. */
export const accuracyDifferences = (scores: AccuracyScore[], methods: Labelled[]): Table =>
  differencesOf(
    accuracyColumns(scores)
      .filter((column) => column !== "0")
      .sort((a, b) => Number(a) - Number(b))
      .map((column) => {
        const at = scores.filter((s) => s.column === column || s.column === "0");
        // Zero-shot accuracy stands beside any number of shots. An accuracy without halves is base and novel at once.
        return {
          title: column,
          metric: "base" as const,
          scores: at.map((s) => ({ ...s, base: s.accuracy, novel: s.accuracy })),
        };
      }),
    methods,
  );
