/** Accuracy against the values of one numeric setting: base, novel and harmonic mean, with one line per series. */
import type { Data, Layout } from "plotly.js-dist-min";
import type { Triple } from "../results/paper";
import type { Labelled, MethodScore } from "../results/table";
import { axis, baseConfig, baseLayout, equalSpans, type Figure, faintInk, panelTitle } from "./style";
import { axisName, ends, exact, inWords, menu, metricPanels, oursAndPaper, underTitle, type View } from "./views";

/**
 * One line of the figure. For each point, `at` is the value of the setting and `row` the row of results run with it.
 */
type Series = { title: string; points: { at: number; row: string }[] };

/** The first series has PromptSRC's blue. The marker shapes distinguish the series even without colour. */
const seriesStyles = [
  { colour: "#1f5fa8", symbol: "circle" },
  { colour: "#e08e0b", symbol: "diamond" },
  { colour: "#009e73", symbol: "square" },
  { colour: "#a83279", symbol: "triangle-up" },
];

const plotHeight = 250; // pixels

/** Panel domains that leave room for the tick labels of each panel's y axis. */
const domains: [number, number][] = [
  [0, 0.285],
  [0.3575, 0.6425],
  [0.715, 1],
];

export type Setting = { title: string; axis: string; series: Series[]; chosen?: { at: number; label: string } };

/**
 * Three panels over the same values of the setting, which are evenly spaced. Their y axes span ranges of equal length.
 * Points are means, error bars are standard deviations over seeds, and a dotted line marks `chosen`. The menu is the
 * same as that of `variantsFigure`.
 * @throws if there is no run of any row
 */
export function settingFigure(
  { title, axis: name, series, chosen }: Setting,
  scores: MethodScore[],
  paper: (row: Labelled) => Triple | undefined = () => undefined,
): Figure {
  const hasRuns = (row: string) => scores.some((s) => s.method === row);
  const drawn = series
    .map((s) => ({ ...s, points: s.points.filter(({ row }) => hasRuns(row)) }))
    .filter(({ points }) => points.length > 0);
  const rows = drawn.flatMap(({ title, points }) =>
    points.map(({ at, row }) => ({ name: row, title: `${title} ${at}` })),
  );
  if (rows.length === 0)
    throw new Error(`no run of ${series.flatMap((s) => s.points.map(({ row }) => row)).join(", ")} to draw`);
  const { all } = oursAndPaper(scores, rows, paper);
  const settingValues = [...new Set(drawn.flatMap(({ points }) => points.map(({ at }) => at)))].sort((a, b) => a - b);
  const traces = metricPanels.flatMap(({ key }, k) => drawn.map((line, i) => ({ key, k, line, i })));
  const valuesOf = (view: View) => {
    const spreads = traces.map(({ key, line }) => line.points.map(({ row }) => view.of(row)?.[key]));
    const extents = metricPanels.map((_, k) =>
      spreads.flatMap((list, t) => (traces[t].k === k ? list.flatMap(ends) : [])),
    );
    return {
      y: spreads.map((list) => list.map((v) => v?.mean ?? null)),
      customdata: spreads.map((list) => list.map(exact)),
      deviations: spreads.map((list) => list.map((v) => v?.sd ?? 0)),
      ranges: equalSpans(extents),
    };
  };
  const viewValues = all.map(valuesOf);
  const data = traces.map(({ k, line, i }, t) => {
    const { colour, symbol } = seriesStyles[i % seriesStyles.length];
    const prefix = drawn.length > 1 ? `${line.title}, ` : "";
    return {
      type: "scatter",
      mode: line.points.length > 1 ? "lines+markers" : "markers",
      name: line.title,
      legendgroup: line.title,
      showlegend: k === 0 && drawn.length > 1,
      xaxis: axisName("x", k),
      yaxis: axisName("y", k),
      x: line.points.map(({ at }) => settingValues.indexOf(at)),
      text: line.points.map(({ at }) => `${at}`),
      y: viewValues[0].y[t],
      customdata: viewValues[0].customdata[t],
      error_y: { type: "data", array: viewValues[0].deviations[t], color: colour, thickness: 1.2, width: 3 },
      line: { color: colour, width: 2.2 },
      marker: { color: colour, symbol, size: 9 },
      connectgaps: false,
      cliponaxis: false,
      hovertemplate: `<b>${prefix}${name} %{text}</b><br>%{customdata} %<extra></extra>`,
    } as unknown as Data;
  });
  const buttons = viewValues.map(({ y, customdata, deviations, ranges }, v) => ({
    label: all[v].label,
    method: "update",
    args: [
      { y, customdata, "error_y.array": deviations },
      {
        "title.subtitle.text": all[v].heading,
        ...Object.fromEntries(ranges.map((range, k) => [`${axisName("yaxis", k)}.range`, range])),
      },
    ],
  }));
  const chosenIndex = chosen ? settingValues.indexOf(chosen.at) : -1;
  const legend = drawn.length > 1 ? 24 : 0;
  const base = baseLayout(title, 150 + plotHeight);
  // Positions are numbers, not categories, because an update by the menu would make Plotly infer the axis type again.
  const x = {
    ...axis,
    tickvals: settingValues.map((_, i) => i),
    ticktext: settingValues.map(String),
    showgrid: false,
    range: [-0.4, settingValues.length - 0.6],
  };
  const layout = {
    ...base,
    height: 150 + plotHeight + legend,
    margin: { ...base.margin, t: 104 + legend },
    title: underTitle(base, all[0].heading),
    ...Object.fromEntries(
      metricPanels.flatMap((_, k) => [
        [
          axisName("xaxis", k),
          {
            ...x,
            domain: domains[k],
            anchor: axisName("y", k),
            title: { text: name, font: { size: 13 }, standoff: 6 },
          },
        ],
        [axisName("yaxis", k), { ...axis, range: viewValues[0].ranges[k], anchor: axisName("x", k), nticks: 7 }],
      ]),
    ),
    shapes: chosenIndex < 0 ? [] : domains.map((_, k) => verticalLine(chosenIndex, k)),
    annotations: [
      ...metricPanels.map((panel, k) => panelTitle(panel.title, domains[k])),
      ...(chosenIndex < 0
        ? []
        : domains.map((_, k) => label(chosen?.label ?? "", chosenIndex, k, chosenIndex >= settingValues.length / 2))),
    ],
    ...menu(buttons, 1 + (88 + legend) / plotHeight),
  } as unknown as Partial<Layout>;
  return { data, layout, config: baseConfig("setting"), alt: inWords(title, all[0], rows) };
}

const verticalLine = (x: number, k: number) => ({
  type: "line",
  layer: "below",
  xref: axisName("x", k),
  yref: `${axisName("y", k)} domain`,
  x0: x,
  x1: x,
  y0: 0,
  y1: 1,
  line: { color: faintInk, width: 1.2, dash: "dot" },
});

const label = (text: string, x: number, k: number, left: boolean) => ({
  text,
  showarrow: false,
  xref: axisName("x", k),
  yref: "paper",
  x,
  y: 0,
  xanchor: left ? "right" : "left",
  yanchor: "bottom",
  xshift: left ? -2 : 2,
  font: { size: 11, color: faintInk },
});
