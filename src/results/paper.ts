/**
 * The paper's numbers, read from `data/paper.json`: accuracies of CLIP ViT-B/16 in percent. Each table names the file
 * that it was copied from. They are shown next to our results and never enter their computation.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export type Triple = { base: number; novel: number; hm: number };
/** `rows` maps a row's name to its values in the order of `columns`, or to a record of such values by dataset. */
export type PaperTable<Row = number[]> = {
  source: string;
  note?: string;
  columns: string[];
  rows: Record<string, Row>;
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

export const paperTitle = "Khattak et al., ICCV 2023";

/** Reads `data/paper.json`: the tables of the paper that are shown next to our results. */
export const loadPaper = (): Paper =>
  JSON.parse(readFileSync(join(process.cwd(), "data", "paper.json"), "utf8")) as Paper;

/**
 * The paper's base-to-novel accuracies of a method (named by its title, such as "PromptSRC") on one dataset of the
 * paper or on the average of its 11; undefined where the paper has no such row.
 */
export function paperBaseToNovel(paper: Paper, title: string, dataset = "average"): Triple | undefined {
  const row = paper.baseToNovel.rows[title];
  const values = row?.[dataset];
  return values && { base: values[0], novel: values[1], hm: values[2] };
}

/** One row of a table of base, novel and HM. If the table has values by dataset, their average. */
export function paperTriple(table: PaperTable<number[] | Record<string, number[]>>, row: string): Triple | undefined {
  const entry = table.rows[row];
  const values = Array.isArray(entry) ? entry : entry?.average;
  return values && { base: values[0], novel: values[1], hm: values[2] };
}
