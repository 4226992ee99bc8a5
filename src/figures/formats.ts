/** Figures as text for files: an interactive page, Plotly's JSON, and the drawn numbers as CSV. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { decodeHTML } from "entities";
import { csvText } from "../util/csv";
import { escapeHtml } from "../util/escape";
import { htmlPage } from "../util/htmlPage";
import { menuViews } from "./menuViews";
import type { Figure } from "./style";

/** The source of Plotly, for a page that loads nothing. */
export const plotlySource = (): string =>
  readFileSync(createRequire(join(process.cwd(), "package.json")).resolve("plotly.js-dist-min/plotly.min.js"), "utf8");

/** JSON in which typed arrays are lists, as Plotly reads them from a file. */
const json = (value: unknown): string =>
  JSON.stringify(value, (_, item) => (ArrayBuffer.isView(item) ? Array.from(item as Float32Array) : item));

/** The figure as Plotly's JSON, which Plotly reads in every language. */
export const figureJson = ({ data, layout }: Figure): string => `${json({ data, layout })}\n`;

/** Text of a figure without the tags and entities that Plotly reads in it. */
const plainText = (text: string): string =>
  decodeHTML(text.replace(/<br\s*\/?>/gi, " ").replace(/<\/?[a-z][^>]*>/gi, ""));

/** The title of a figure as plain text; empty if it has none. */
export function titleOfFigure({ layout }: Figure): string {
  const { title } = layout as { title?: string | { text?: string } };
  return plainText((typeof title === "string" ? title : title?.text) ?? "");
}

/** A page with the interactive figure, as wide as the window. It contains Plotly and loads nothing. */
export function figureHtml({ data, layout, config, alt, ...rest }: Figure): string {
  const options = { ...config, responsive: true, displaylogo: false, showSendToCloud: false };
  const drawing = [data, { ...layout, width: undefined, autosize: true }, options];
  // A text in the figure may contain the end of a script.
  const call = drawing.map((part) => json(part).replaceAll("<", "\\u003c")).join(", ");
  return htmlPage(
    titleOfFigure({ data, layout, alt, ...rest }),
    `<div id="figure" role="figure" aria-label="${escapeHtml(alt ?? "")}"></div>\n` +
      `<script>${plotlySource()}</script>\n<script>Plotly.newPlot("figure", ${call});</script>`,
  );
}

type Cell = string | number | null | undefined;
/** The properties of traces that are written; a list may be a typed array. */
type Trace = {
  name?: string;
  legendgroup?: string;
  fill?: string;
  xaxis?: string;
  yaxis?: string;
  x?: ArrayLike<Cell>;
  y?: ArrayLike<Cell>;
  z?: ArrayLike<ArrayLike<Cell>>;
  error_x?: { array?: ArrayLike<Cell>; visible?: boolean };
  error_y?: { array?: ArrayLike<Cell>; visible?: boolean };
  text?: Cell | ArrayLike<Cell>;
  customdata?: ArrayLike<Cell | Cell[]>;
};
type Axis = { domain?: [number, number]; title?: { text?: string }; tickvals?: Cell[]; ticktext?: string[] };

const isList = (value: unknown): value is ArrayLike<Cell> => typeof value === "object" && value !== null;
const cellAt = (list: unknown, k: number): Cell => (isList(list) ? list[k] : undefined);
const plainCell = (value: Cell): Cell => (typeof value === "string" ? plainText(value) : value);

/** The layout of a trace's axis: `x2` is `xaxis2`. */
const axisOf = ({ layout }: Figure, name: string): Axis =>
  (layout as Record<string, Axis | undefined>)[`${name[0]}axis${name.slice(1)}`] ?? {};

/** The heading of the panel in which a trace is drawn: the note at its upper left corner; else the names of its axes. */
function panelOf(figure: Figure, { xaxis = "x", yaxis = "y" }: Trace): string {
  const [x = 0] = axisOf(figure, xaxis).domain ?? [];
  const [, y = 1] = axisOf(figure, yaxis).domain ?? [];
  const heading = (figure.layout.annotations ?? []).find(
    (note) => note.xref === "paper" && note.yref === "paper" && note.x === x && note.y === y && note.text,
  );
  return heading?.text ? plainText(heading.text) : `${xaxis} ${yaxis}`;
}

/** The points of a trace; those of a heat map row by row. */
function pointsOf({ x, y, z, ...trace }: Trace): Record<string, Cell>[] {
  if (z)
    return Array.from(z).flatMap((row, i) =>
      Array.from(row, (value, j) => ({ x: x ? x[j] : j, y: y ? y[i] : i, z: value })),
    );
  return Array.from({ length: Math.max(x?.length ?? 0, y?.length ?? 0) }, (_, k) => {
    const custom = trace.customdata?.[k];
    const hover = Array.isArray(custom) ? custom.map((value, c) => [`hover ${c + 1}`, value]) : [["hover", custom]];
    return {
      x: x ? x[k] : k,
      y: y ? y[k] : k,
      "error x": trace.error_x?.visible === false ? undefined : cellAt(trace.error_x?.array, k),
      "error y": trace.error_y?.visible === false ? undefined : cellAt(trace.error_y?.array, k),
      text: cellAt(trace.text, k),
      ...Object.fromEntries(hover),
    };
  });
}

/** The points of all visible traces. */
function linesOf(figure: Figure, view: string | undefined): Record<string, Cell>[] {
  return (figure.data as (Trace & { visible?: unknown })[]).flatMap((trace, t) => {
    if (trace.visible === false) return [];
    const name = trace.name ?? trace.legendgroup ?? `trace ${t + 1}`;
    const { tickvals = [], ticktext = [] } = axisOf(figure, trace.xaxis ?? "x");
    return pointsOf(trace).map(
      (point): Record<string, Cell> => ({
        view,
        trace: trace.fill === "toself" ? `${name} (outline of the band)` : name,
        panel: panelOf(figure, trace),
        ...point,
        "x label": ticktext[Array.from(tickvals).indexOf(point.x)],
      }),
    );
  });
}

/**
 * The drawn numbers as CSV: a line for each point of each trace, with the trace's name and panel, x and y, and, where a
 * trace has them, z, error bars, the label at the axis, and the texts beside the point and on hover. Of a figure with a
 * menu, all views, by their labels.
 */
export function figureCsv(figure: Figure): string {
  const lines = menuViews(figure).flatMap(({ label, figure: view }) => linesOf(view, label));
  const known = ["view", "trace", "panel", "x", "x label", "y", "z", "error x", "error y", "text"];
  const hovers = [...new Set(lines.flatMap((line) => Object.keys(line)))].filter((key) => key.startsWith("hover"));
  const isUsed = (key: string) =>
    ["trace", "panel", "x", "y"].includes(key) ||
    lines.some((line) => (line[key] ?? null) !== null && (key !== "x label" || line[key] !== String(line.x)));
  const used = [...known, ...hovers].filter(isUsed);
  return csvText([used, ...lines.map((line) => used.map((key) => plainCell(line[key])))]);
}
