/** The style common to all figures (colours of the methods, fonts, grid, margins), and the type of a figure. */
import type { Config, Data, Layout } from "plotly.js-dist-min";

/**
 * A Plotly figure as plain data, for a notebook, a file or a snapshot. `alt` describes its content in words. A saved
 * file is `scale` times as large as the layout (1 by default), with text and lines alike; `sized` sets it.
 */
export type Figure = { data: Data[]; layout: Partial<Layout>; config?: Partial<Config>; alt: string; scale?: number };

/**
 * The colour and the marker of each method, the same in all figures. The colours are after Okabe and Ito; where two come
 * close for a colour-blind reader or in grey, the markers differ. Zero-shot CLIP is grey and open, and a host with
 * PromptSRC's regularisers has the open marker of the host.
 */
const marks: Record<string, { colour: string; symbol: string }> = {
  clip: { colour: "#8a8f98", symbol: "circle-open" },
  clip60: { colour: "#a9adb5", symbol: "hexagon-open" },
  clip80: { colour: "#6c7179", symbol: "diamond-open" },
  probe: { colour: "#5c4b3c", symbol: "cross" },
  coop: { colour: "#c75146", symbol: "square" },
  cocoop: { colour: "#cc79a7", symbol: "diamond" },
  kgcoop: { colour: "#b8962e", symbol: "triangle-up" },
  prograd: { colour: "#7b5ea7", symbol: "triangle-down" },
  proda: { colour: "#5a7d2a", symbol: "pentagon" },
  vision: { colour: "#4aa8c0", symbol: "triangle-left" },
  language: { colour: "#a05a2c", symbol: "triangle-right" },
  ivlp: { colour: "#e08e0b", symbol: "hexagon" },
  maple: { colour: "#009e73", symbol: "x" },
  promptsrc: { colour: "#1f5fa8", symbol: "circle" },
  "coop-src": { colour: "#8f2d3f", symbol: "square-open" },
  "maple-src": { colour: "#00604a", symbol: "x-open" },
  "tip-adapter": { colour: "#b5651d", symbol: "octagon-open" },
  "tip-adapter-f": { colour: "#d4762c", symbol: "octagon" },
  tcp: { colour: "#6a9a3b", symbol: "diamond-tall" },
  mma: { colour: "#3a9a94", symbol: "diamond-wide" },
  "dept-coop": { colour: "#d2568a", symbol: "square-dot" },
  "dept-promptsrc": { colour: "#4f86d9", symbol: "circle-dot" },
  mmrl: { colour: "#8f6fd6", symbol: "star-triangle-up" },
  "clip-lora": { colour: "#d9534f", symbol: "star-diamond" },
  "tcp-src": { colour: "#8a9a2e", symbol: "diamond-tall-open" },
  "mmrl-src": { colour: "#a07be0", symbol: "star-triangle-up-open" },
  "mmrl-gpa": { colour: "#7577e0", symbol: "star-triangle-down" },
  "mma-gpa": { colour: "#46a7b0", symbol: "diamond-wide-open" },
  "clip-lora-gpa": { colour: "#e0766f", symbol: "star-diamond-open" },
};
const otherMarks = [
  { colour: "#3b4a9b", symbol: "star" },
  { colour: "#a83279", symbol: "bowtie" },
  { colour: "#2f7f7f", symbol: "hexagram" },
  { colour: "#8c6d1f", symbol: "hourglass" },
  { colour: "#666a73", symbol: "star-square" },
];

/** The mark of a method by its registry name. Any other name gets one by its position among the others in `all`. */
const markOf = (name: string, all: string[]) =>
  marks[name] ?? otherMarks[Math.max(0, all.filter((n) => !(n in marks)).indexOf(name)) % otherMarks.length];

/** The colour of a method by its registry name; any other name gets a colour by its position in `all`. */
export const colourOf = (name: string, all: string[] = [name]): string => markOf(name, all).colour;

/** The marker of a method (a symbol of Plotly) by its registry name; any other name gets one as in `colourOf`. */
export const symbolOf = (name: string, all: string[] = [name]): string => markOf(name, all).symbol;

/** The names of the methods that have a mark of their own. */
export const markedMethods = Object.keys(marks);

/** Adds an opacity to a colour `#rrggbb`, for bands. */
export function translucent(colour: string, opacity: number): string {
  const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${opacity})`;
}

export const ink = "#23272e";
export const faintInk = "#626872";
const grid = "#e6e8eb";
const family = '"Inter", "Helvetica Neue", Arial, "Liberation Sans", sans-serif';

/** Width in CSS pixels at which figures are saved. In a notebook they fill the available width. */
export const figureWidth = 900;
/** Height of a figure whose layout names none. */
export const defaultHeight = 420;
/** Size in pixels of most of the text. */
export const textSize = 13;

export const axis = {
  gridcolor: grid,
  zeroline: false,
  linecolor: "#b9bec6",
  showline: true,
  ticks: "outside" as const,
  ticklen: 4,
  tickcolor: "#b9bec6",
  tickfont: { size: 12, color: ink },
  automargin: true,
};

/** Margin in pixels above the panels for title, legend and headings, and below them for the axis. */
const margins = { t: 104, b: 46 };

/**
 * Estimated rows of the legend in a figure of that width: an entry takes about 48 pixels plus 7 for each letter, and
 * all are as wide as the widest where they do not fit into one row.
 */
export function legendRows(titles: string[], width = 600): number {
  const widths = titles.map((title) => 48 + 7 * title.length);
  const available = width - 70;
  if (widths.reduce((a, b) => a + b, 0) <= available) return 1;
  return Math.ceil(titles.length / Math.max(1, Math.floor(available / Math.max(...widths))));
}
export const legendRowHeight = 24;

/**
 * Layout common to all figures, in the light theme (theme.ts has the others). `legend` lists the titles in the legend.
 */
export const baseLayout = (title: string, height: number, legend: string[] = []): Partial<Layout> => {
  const margin = { l: 58, r: 18, ...margins, t: margins.t + legendRowHeight * (legendRows(legend) - 1) };
  return {
    title: {
      text: title,
      x: 0,
      xref: "paper",
      xanchor: "left",
      y: 1,
      yref: "container",
      yanchor: "top",
      pad: { t: 14 },
      font: { size: 17, color: ink },
    },
    font: { family, size: textSize, color: ink },
    paper_bgcolor: "#ffffff",
    plot_bgcolor: "#ffffff",
    autosize: true,
    height,
    margin,
    hoverlabel: { font: { family, size: 13 }, align: "left", namelength: -1 },
    legend: {
      orientation: "h",
      x: 0,
      xanchor: "left",
      y: 1 + 28 / (height - margin.t - margin.b), // above the panels' headings
      yanchor: "bottom",
      font: { size: 13 },
      itemwidth: 30,
    },
  };
};

/**
 * The mode bar: its camera button saves SVG; in JupyterLab it saves PNG, beside a button for SVG. The button that uploads
 * the figure, a default of Plotly 4, is removed.
 */
export const baseConfig = (name: string): Partial<Config> => ({
  displaylogo: false,
  showSendToCloud: false,
  responsive: true,
  toImageButtonOptions: { format: "svg", filename: name },
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
});

/** One axis range per panel, all of equal length, so that one percentage point has the same size in every panel. */
export function equalSpans(panelValues: number[][]): [number, number][] {
  const extremes = panelValues.map((v) => [Math.min(...v), Math.max(...v)]);
  const span = Math.max(...extremes.map(([low, high]) => high - low), 5) * 1.12;
  return extremes.map(([low, high]) => [(low + high - span) / 2, (low + high + span) / 2]);
}

/** A heading above one panel. `at` is the panel's domain: its left and right end as shares of the width. */
export const panelTitle = (text: string, at: [number, number]): Record<string, unknown> => ({
  text,
  showarrow: false,
  xref: "paper",
  yref: "paper",
  x: at[0],
  y: 1,
  xanchor: "left",
  yanchor: "bottom",
  yshift: 6,
  font: { size: textSize, color: faintInk },
});
