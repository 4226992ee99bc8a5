/** The figures and tables that executed notebooks store in their outputs. */
import type { Figure } from "../figures/style";
import { readJson } from "../io/readJson";
import type { Table } from "../results/table";
import { UsageError } from "../util/errors";

/** The content of an output by MIME type. */
type Data = Record<string, unknown>;
export type Notebook = { cells: { outputs?: { data?: Data }[] }[] };
export const plotlyMime = "application/vnd.plotly.v1+json";
/** A table with all digits, which viewers leave out and `npm run promptsrc -- export` reads. */
export const tableMime = "application/vnd.promptsrc.table.v1+json";

/** The outputs that hold a figure, in their order. */
export const figureOutputs = ({ cells }: Notebook): Data[] =>
  cells.flatMap(({ outputs }) => [outputs ?? []].flat().flatMap(({ data }) => (data?.[plotlyMime] ? [data] : [])));

const isRecord = (value: unknown): value is Record<string, any> => typeof value === "object" && value !== null;
const isCell = (cell: unknown) => isRecord(cell) && [cell.outputs ?? []].flat().every(isRecord);

/** The figures of a notebook with their alternative texts, and its tables, each in their order. */
export function storedOutputs(file: string): { figures: Figure[]; tables: Table[] } {
  const notebook = readJson(file) as Notebook;
  if (!Array.isArray(notebook?.cells) || !notebook.cells.every(isCell))
    throw new UsageError(`${file} is no notebook: its cells or their outputs are not what Jupyter writes`);
  const figures = figureOutputs(notebook).map((data) => ({
    ...(data[plotlyMime] as Figure),
    alt: [data["text/plain"] ?? ""].flat().join(""),
  }));
  const outputs = notebook.cells.flatMap((cell) => [cell.outputs ?? []].flat());
  return { figures, tables: outputs.flatMap(({ data }) => (data?.[tableMime] as Table | undefined) ?? []) };
}
