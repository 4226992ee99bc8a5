/** Tables of the benchmarks whose result is a single accuracy: few-shot, cross-dataset, domain generalisation. */

import { differencesOf } from "./differences";
import { type Paper, type PaperTable, paperMeans, paperNames, paperNote, paperTitle } from "./paper";
import { average } from "./statistics";
import type { Column, Labelled, Table, Value } from "./table";

/** `column` is the table column of the score: the number of shots, or the tested dataset. */
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

/**
 * A block of rows per dataset with one row per method, and a block of averages if there are several datasets. The
 * columns are the numbers of shots; the paper's averages are next to the last block.
 */
export function fewShotTable(scores: AccuracyScore[], methods: Labelled[], paper: Paper): Table {
  const shots = accuracyColumns(scores).sort((a, b) => Number(a) - Number(b));
  const datasets = [...new Set(scores.map((s) => s.dataset))];
  const allNames = paperNames(datasets);
  const isPapers = allNames.length > 0 && allNames[0] !== "average";
  const block = (label: string, blockScores: AccuracyScore[], names: string[]) =>
    methods.flatMap((method) => {
      const ofMethod = blockScores.filter((s) => s.method === method.name);
      if (ofMethod.length === 0) return [];
      const cells = shots.flatMap((k): [string, Value][] => {
        const ofShots = ofMethod.filter((s) => s.column === k);
        const isComplete =
          new Set(ofShots.map((s) => s.dataset)).size === new Set(blockScores.map((s) => s.dataset)).size;
        return isComplete ? [[k, average(ofShots)]] : [];
      });
      const paperValues = paperMeans(paper.fewShot.rows[method.title], names);
      const paperCells =
        paperValues?.map((value, i): [string, Value] => [`paper ${paper.fewShot.columns[i]}`, value]) ?? [];
      return [{ dataset: label, method: method.title, ...Object.fromEntries([...cells, ...paperCells]) }];
    });
  const others = methods.some(({ title }) => paper.fewShot.others?.[title] !== undefined);
  const hasAverage = datasets.length > 1;
  const rows = [
    ...datasets.flatMap((dataset) =>
      block(
        dataset,
        scores.filter((s) => s.dataset === dataset),
        isPapers || !hasAverage ? paperNames([dataset]).filter(() => allNames.length > 0) : [],
      ),
    ),
    ...(hasAverage ? block("average", scores, allNames) : []),
  ];
  const shotColumns: Column[] = shots.map((k) => ({ key: k, title: k, group: "shots", best: true }));
  const paperColumns: Column[] = paper.fewShot.columns.map((k) => ({
    key: `paper ${k}`,
    title: k,
    group: "paper",
    best: true,
    digits: 2,
  }));
  return {
    title: "Few-shot accuracy (%)",
    columns: [
      { key: "dataset", title: "dataset" },
      { key: "method", title: "method" },
      ...shotColumns,
      ...(allNames.length > 0 ? paperColumns : []),
    ],
    rows,
    groupBy: "dataset",
    note: `${seedsNote(scores)}${paperNote(allNames, others)}`,
  };
}

/**
 * A row per method: the source, each target, and the average of the targets; then the columns of the paper's table
 * named in `beside`.
 */
export function transferTable(
  title: string,
  scores: AccuracyScore[],
  source: string,
  methods: Labelled[],
  paper: PaperTable,
  paperColumns: string[],
): Table {
  const targets = accuracyColumns(scores).filter((name) => name !== source);
  // The paper's numbers have nothing to do with datasets that are neither its own nor the embedded ones.
  const beside = paperNames([source, ...targets]).length > 0 ? paperColumns : [];
  const rows = methods.flatMap((method) => {
    const ofMethod = scores.filter((s) => s.method === method.name);
    if (ofMethod.length === 0) return [];
    const cell = (dataset: string): [string, Value] => {
      const ofDataset = ofMethod.filter((s) => s.dataset === dataset);
      return [dataset, ofDataset.length ? average(ofDataset) : undefined];
    };
    const onTargets = ofMethod.filter((s) => s.dataset !== source);
    const isComplete = targets.length > 0 && targets.every((dataset) => onTargets.some((s) => s.dataset === dataset));
    const paperValues = paper.rows[method.title];
    return [
      {
        method: method.title,
        ...Object.fromEntries([source, ...targets].map(cell)),
        average: isComplete ? average(onTargets) : undefined,
        ...Object.fromEntries(beside.map((name) => [`paper ${name}`, paperValues?.[paper.columns.indexOf(name)]])),
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
  const paperSource = beside.length > 0 ? ` Paper: ${paperTitle}, CLIP ViT-B/16, its own targets.` : "";
  const note = `${seedsNote(scores)} Average: of the targets.${paperSource}`;
  return { title: `${title} accuracy (%)`, columns, rows, note };
}

/** Differences between methods in each column, over the datasets and seeds of that column. */
export const accuracyDifferences = (scores: AccuracyScore[], methods: Labelled[]): Table =>
  differencesOf(
    accuracyColumns(scores)
      .filter((column) => column !== "0")
      .sort((a, b) => Number(a) - Number(b))
      .map((column) => {
        // Zero-shot accuracy is compared with every number of shots. These benchmarks have a single accuracy instead of
        // base and novel, so it is entered as both.
        const inColumn = scores.filter((s) => s.column === column || s.column === "0");
        return {
          title: column,
          metric: "base" as const,
          scores: inColumn.map((s) => ({ ...s, base: s.accuracy, novel: s.accuracy })),
        };
      }),
    methods,
  );
