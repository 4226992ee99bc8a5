/** The figures that executed notebooks store in their outputs. */
import type { Figure } from "../figures/style";
import { readJson } from "../io/readJson";

/** The content of an output by MIME type. */
type Data = Record<string, unknown>;
export type Notebook = { cells: { outputs?: { data?: Data }[] }[] };
export const plotlyMime = "application/vnd.plotly.v1+json";

/** The outputs that hold a figure, in their order. */
export const figureOutputs = ({ cells }: Notebook): Data[] =>
  cells.flatMap(({ outputs = [] }) => outputs.flatMap(({ data }) => (data?.[plotlyMime] ? [data] : [])));

/** The figures of a notebook, with their alternative texts. */
export const storedFigures = (file: string): Figure[] =>
  figureOutputs(readJson(file)).map((data) => ({
    ...(data[plotlyMime] as Figure),
    alt: [data["text/plain"] ?? ""].flat().join(""),
  }));
