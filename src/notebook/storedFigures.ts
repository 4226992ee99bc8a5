/** The figures that executed notebooks store in their outputs. */
import type { Figure } from "../figures/style";
import { readJson } from "../io/readJson";
import { UsageError } from "../util/errors";

/** The content of an output by MIME type. */
type Data = Record<string, unknown>;
export type Notebook = { cells: { outputs?: { data?: Data }[] }[] };
export const plotlyMime = "application/vnd.plotly.v1+json";

/** The outputs that hold a figure, in their order. */
export const figureOutputs = ({ cells }: Notebook): Data[] =>
  cells.flatMap(({ outputs }) => [outputs ?? []].flat().flatMap(({ data }) => (data?.[plotlyMime] ? [data] : [])));

/** The figures of a notebook, with their alternative texts. */
export function storedFigures(file: string): Figure[] {
  const notebook = readJson(file);
  const isRecord = (value: unknown): value is Record<string, any> => typeof value === "object" && value !== null;
  const isCell = (cell: unknown) => isRecord(cell) && [cell.outputs ?? []].flat().every(isRecord);
  if (!Array.isArray(notebook?.cells) || !notebook.cells.every(isCell))
    throw new UsageError(`${file} is no notebook: its cells or their outputs are not what Jupyter writes`);
  return figureOutputs(notebook).map((data) => ({
    ...(data[plotlyMime] as Figure),
    alt: [data["text/plain"] ?? ""].flat().join(""),
  }));
}
