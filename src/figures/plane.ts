/** Base against novel accuracy, one point a method, over lines of equal harmonic mean. */
import type { Data, Layout } from "plotly.js-dist-min";
import type { Triple } from "../results/paper";
import { harmonicMean, type Summary } from "../results/statistics";
import type { Labelled, MethodScore } from "../results/table";
import {
  axis,
  baseConfig,
  baseLayout,
  colourOf,
  type Figure,
  faintInk,
  legendRowHeight,
  legendRows,
  symbolOf,
} from "./style";
import { ends, exact, inWords, menu, oursAndPaper, underTitle } from "./views";

const plotHeight = 330; // pixels

/** The range of an axis around its values, with room for the markers; at least 3 points long. */
function rangeOf(values: number[]): [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = Math.max(0.12 * (high - low), (3 - (high - low)) / 2);
  return [low - room, high + room];
}

/** The lines of equal HM that cross a window, at round numbers, and their labels at the lower right ends. */
function contours([left, right]: [number, number], [bottom, top]: [number, number]) {
  const [lowest, highest] = [harmonicMean(left, bottom), harmonicMean(right, top)];
  const step = [0.5, 1, 2, 5, 10, 20].find((size) => (highest - lowest) / size <= 8) ?? 20;
  const count = Math.max(0, Math.floor(highest / step) - Math.ceil(lowest / step) + 1);
  const levels = Array.from({ length: count }, (_, k) => (Math.ceil(lowest / step) + k) * step).filter((h) => h > 0);
  // HM = h where novel = h base / (2 base - h), and the other way round.
  const other = (h: number, value: number) => (h * value) / (2 * value - h);
  return levels.map((h) => {
    const start = Math.max(left, 2 * top > h ? other(h, top) : left);
    const end = 2 * bottom > h ? Math.min(right, other(h, bottom)) : right;
    const points = Array.from({ length: 13 }, (_, k) => start + ((end - start) * k) / 12);
    const path = points
      .map((base, k) => `${k === 0 ? "M" : "L"}${base.toFixed(2)},${other(h, base).toFixed(2)}`)
      .join(" ");
    return {
      line: { type: "path", layer: "below", path, line: { color: "#b9bec6", width: 1.2, dash: "dot" } },
      label: {
        text: `${h}`,
        showarrow: false,
        x: end,
        y: other(h, end),
        xanchor: end === right ? "left" : "center",
        yanchor: end === right ? "middle" : "bottom",
        font: { size: 11, color: faintInk },
      },
    };
  });
}

/**
 * A point for each method at its base and novel accuracy, with standard deviations over seeds as bars. Dotted lines
 * join what has the same harmonic mean. The menu offers the mean over the datasets, the paper's numbers if it reports
 * any of these rows, and each dataset.
 * @throws if there is no run of the named rows
 */
export function planeFigure<Row extends Labelled>(
  title: string,
  scores: MethodScore[],
  rows: Row[],
  paper: (row: Row) => Triple | undefined = () => undefined,
): Figure {
  const { shown, all } = oursAndPaper(scores, rows, paper);
  const names = shown.map(({ name }) => name);
  const drawn = all.map((view) => {
    const summaries = names.map((name) => view.of(name));
    const [x, y] = (["base", "novel"] as const).map((key) => rangeOf(summaries.flatMap((s) => ends(s?.[key]))));
    return { summaries, x, y, contours: contours(x, y) };
  });
  const hover = (summary: Summary | undefined) =>
    summary &&
    `base ${exact(summary.base)} %<br>novel ${exact(summary.novel)} %<br>HM ${exact(summary.hm)} %` +
      `<br>n = ${summary.hm.n} seed${summary.hm.n === 1 ? "" : "s"}`;
  const bar = (array: number[], colour: string) => ({ type: "data", array, color: colour, thickness: 1.2, width: 3 });
  const data = shown.map((row, k) => {
    const summary = drawn[0].summaries[k];
    const colour = colourOf(row.name, names);
    return {
      type: "scatter",
      mode: "markers",
      name: row.title,
      x: [summary?.base.mean ?? null],
      y: [summary?.novel.mean ?? null],
      customdata: [hover(summary)],
      error_x: bar([summary?.base.sd ?? 0], colour),
      error_y: bar([summary?.novel.sd ?? 0], colour),
      marker: { color: colour, symbol: symbolOf(row.name, names), size: 11 },
      hovertemplate: `<b>${row.title}</b><br>%{customdata}<extra></extra>`,
    } as unknown as Data;
  });
  const buttons = drawn.map((view, v) => ({
    label: all[v].label,
    method: "update",
    args: [
      {
        x: view.summaries.map((summary) => [summary?.base.mean ?? null]),
        y: view.summaries.map((summary) => [summary?.novel.mean ?? null]),
        customdata: view.summaries.map((summary) => [hover(summary)]),
        "error_x.array": view.summaries.map((summary) => [summary?.base.sd ?? 0]),
        "error_y.array": view.summaries.map((summary) => [summary?.novel.sd ?? 0]),
      },
      {
        "title.subtitle.text": all[v].heading,
        "xaxis.range": view.x,
        "yaxis.range": view.y,
        shapes: view.contours.map(({ line }) => line),
        annotations: view.contours.map(({ label }) => label),
      },
    ],
  }));
  const base = baseLayout(title, plotHeight);
  const legend = legendRows(
    shown.map((row) => row.title),
    700,
  );
  const top = 88 + legendRowHeight * legend; // title, subtitle and legend
  const [{ x, y, contours: lines }] = drawn;
  const layout = {
    ...base,
    height: plotHeight + top + 56,
    title: underTitle(base, all[0].heading),
    margin: { ...base.margin, t: top, b: 56, r: 34 },
    legend: { ...base.legend, y: 1 + 8 / plotHeight },
    hovermode: "closest",
    xaxis: {
      ...axis,
      showgrid: false,
      range: x,
      title: { text: "base accuracy (%)", font: { size: 13 }, standoff: 8 },
    },
    yaxis: {
      ...axis,
      showgrid: false,
      range: y,
      title: { text: "novel accuracy (%)", font: { size: 13 }, standoff: 8 },
    },
    shapes: lines.map(({ line }) => line),
    annotations: lines.map(({ label }) => label),
    ...menu(buttons, 1 + (top - 12) / plotHeight),
  } as unknown as Partial<Layout>;
  return { data, layout, config: baseConfig("plane"), alt: inWords(title, all[0], shown) };
}
