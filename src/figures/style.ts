/** The style common to all figures (colours of the methods, fonts, grid, margins), and the type of a figure. */
import type { Config, Data, Layout } from "plotly.js-dist-min";

/**
 * A Plotly figure as plain data, for a notebook, a file or a snapshot. `alt` describes its content in words. A saved
 * file is `scale` times as large as the layout (1 by default), with text and lines alike; `sized` sets it.
 */
export type Figure = { data: Data[]; layout: Partial<Layout>; config?: Partial<Config>; alt: string; scale?: number };

/** Distinguishable for colour-blind readers (after Okabe and Ito), and by lightness when printed in grey. */
const colours: Record<string, string> = {
  clip: "#8a8f98",
  clip60: "#a9adb5",
  clip80: "#6c7179",
  probe: "#5c4b3c",
  coop: "#c75146",
  cocoop: "#cc79a7",
  kgcoop: "#b8962e",
  prograd: "#7b5ea7",
  proda: "#5a7d2a",
  vision: "#4aa8c0",
  language: "#a05a2c",
  ivlp: "#e08e0b",
  maple: "#009e73",
  promptsrc: "#1f5fa8",
  "coop-src": "#8f2d3f",
  "maple-src": "#00604a",
};
const fallbackColours = ["#3b4a9b", "#a83279", "#2f7f7f", "#8c6d1f", "#666a73"];

/** The colour of a method by its registry name. Any other name gets a fallback colour by its position in `all`. */
export const colourOf = (name: string, all: string[] = [name]): string =>
  colours[name] ??
  fallbackColours[Math.max(0, all.filter((n) => !(n in colours)).indexOf(name)) % fallbackColours.length];

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

/** Estimated rows of the legend in a figure of that width: an entry takes about 48 pixels plus 7 for each letter. */
export const legendRows = (titles: string[], width = 600): number =>
  Math.max(1, Math.ceil(titles.reduce((sum, title) => sum + 48 + 7 * title.length, 0) / (width - 70)));
export const legendRowHeight = 24;

/**
 * Layout common to all figures. The background is white so that a figure looks the same in dark themes and on paper.
 * `legend` lists the titles in the legend.
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

/** The mode bar: its camera button saves SVG. The button that uploads the figure, a default of Plotly 4, is removed. */
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
