/**
 * The paper's numbers, read from `data/paper.json`: accuracies of CLIP ViT-B/16 in percent. Each table names the file
 * that it was copied from. They are shown next to our results and never enter their computation.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { coopDataset } from "../datasets/coop";
import { harmonicMean } from "./statistics";

/** `other`: it is not from PromptSRC's paper, but from where `PaperTable.others` says. */
export type Triple = { base: number; novel: number; hm: number; other?: boolean };
/**
 * `rows` maps a row's name to its values in the order of `columns`, or to a record of such values by dataset. `others`
 * names the sources of the rows that PromptSRC's paper does not have, such as those of later methods.
 */
export type PaperTable<Row = number[]> = {
  source: string;
  note?: string;
  columns: string[];
  rows: Record<string, Row>;
  others?: Record<string, string>;
};
export type Paper = {
  about: string;
  baseToNovel: PaperTable<Record<string, number[]>>;
  components: PaperTable<Record<string, number[]>>;
  independentPrompting: PaperTable;
  consistencyLoss: PaperTable;
  ensembling: PaperTable;
  textualDiversity: PaperTable;
  fewShot: PaperTable<Record<string, number[]>>;
  crossDataset: PaperTable;
  domainGeneralisation: PaperTable;
  cost: PaperTable;
  parameters: PaperTable;
};

/** The datasets that come with the kit. */
const embeddedDatasets = [
  ...["animals", "faces", "flags", "food", "generic", "kinds", "objects", "people", "places", "sports", "vehicles"],
  ...["generic-hard", "generic-rendition", "generic-sketch", "generic-v2"],
];

/**
 * Under which names the paper has results that may stand beside ours on these datasets: those of the same datasets
 * where all are the paper's; its average where all are the embedded ones, whose pattern is to be compared; none beside
 * other datasets, with which the paper's numbers have nothing to do.
 */
export function paperNames(datasets: string[]): string[] {
  const names = datasets.flatMap((dataset) => coopDataset(dataset)?.paper ?? []);
  if (names.length === datasets.length) return names;
  return datasets.every((dataset) => embeddedDatasets.includes(dataset)) ? ["average"] : [];
}

/** The means of the paper's accuracies over some of its datasets, column by column; undefined where one is missing. */
export function paperMeans(row: Record<string, number[]> | undefined, names: string[]): number[] | undefined {
  const values = names.map((name) => row?.[name]);
  if (values.length === 0 || values.some((value) => value === undefined)) return undefined;
  const complete = values as number[][];
  return complete[0].map((_, k) => complete.reduce((sum, value) => sum + value[k], 0) / complete.length);
}

/** What the paper's columns are, for the note of a table. @param others whether some rows have other sources */
export function paperNote(names: string[], others = false): string {
  if (names.length === 0) return "";
  const over = names[0] === "average" ? "mean of its 11 datasets" : "the same datasets";
  return ` Paper: ${paperTitle}${others ? ", and others (data/paper.json)" : ""}, CLIP ViT-B/16, ${over}.`;
}

export const paperTitle = "Khattak et al., ICCV 2023";
/** The paper's authors, for a figure. @param others whether some of its numbers have other sources */
export const paperAuthors = (others = false): string => `${paperTitle.split(",")[0]}${others ? " and others" : ""}`;

/** Reads `data/paper.json`: the tables of the paper that are shown next to our results. */
export const loadPaper = (): Paper =>
  JSON.parse(readFileSync(join(process.cwd(), "data", "paper.json"), "utf8")) as Paper;

/**
 * The paper's base-to-novel accuracies of a method (named by its title, such as "PromptSRC") over some of its datasets,
 * or the average of its 11; undefined where the paper has no such row. HM is that of the means, as in its tables.
 */
export function paperBaseToNovel(paper: Paper, title: string, names = ["average"]): Triple | undefined {
  const means = paperMeans(paper.baseToNovel.rows[title], names);
  if (!means) return undefined;
  const [base, novel, hm] = means;
  const other = paper.baseToNovel.others?.[title] !== undefined;
  return { base, novel, hm: names.length === 1 ? hm : harmonicMean(base, novel), ...(other ? { other } : {}) };
}

/** One row of a table of base, novel and HM. If the table has values by dataset, their average. */
export function paperTriple(table: PaperTable<number[] | Record<string, number[]>>, row: string): Triple | undefined {
  const entry = table.rows[row];
  const values = Array.isArray(entry) ? entry : entry?.average;
  return values && { base: values[0], novel: values[1], hm: values[2] };
}
