/** Accuracy against a setting: base, novel and harmonic mean over the values of one number, a line per series. */
import type { Data, Layout } from "plotly.js-dist-min";
import type { Triple } from "../results/paper";
import type { Labelled, MethodScore } from "../results/table";
import { axis, baseConfig, baseLayout, equalSpans, type Figure, faintInk, panelTitle } from "./style";
import { axisName, ends, exact, inWords, menu, metricPanels, oursAndPaper, underTitle, type View } from "./views";

/** Points of one line: the value of the setting, and the row of the results that was run with it. */
export type Series = { title: string; points: { at: number; row: string }[] };

/** One series in PromptSRC's blue, further ones in colours and marks that are told apart without colour too. */
const looks = [
  { colour: "#1f5fa8", symbol: "circle" },
  { colour: "#e08e0b", symbol: "diamond" },
  { colour: "#009e73", symbol: "square" },
  { colour: "#a83279", symbol: "triangle-up" },
];

const plotHeight = 250; // pixels

/** Panels with room for the numbers of their own axes. */
const domains: [number, number][] = [
  [0, 0.285],
  [0.3575, 0.6425],
  [0.715, 1],
];

export type Setting = { title: string; axis: string; series: Series[]; chosen?: { at: number; label: string } };

/**
 * Three panels over the same values, evenly spaced, with axes of the same length. Points are means, bars
 * standard deviations over seeds; a dotted line stands at `chosen`. The menu is that of `variantsFigure`.
 * @throws when there is no run of any row
 */
export function settingFigure(
  { title, axis: name, series, chosen }: Setting,
  scores: MethodScore[],
  paper: (row: Labelled) => Triple | undefined = () => undefined,
): Figure {
  const has = (row: string) => scores.some((s) => s.method === row);
  const drawn = series
    .map((s) => ({ ...s, points: s.points.filter(({ row }) => has(row)) }))
    .filter(({ points }) => points.length > 0);
  const rows = drawn.flatMap(({ title, points }) =>
    points.map(({ at, row }) => ({ name: row, title: `${title} ${at}` })),
  );
  if (rows.length === 0)
    throw new Error(`no run of ${series.flatMap((s) => s.points.map(({ row }) => row)).join(", ")} to draw`);
  const all = oursAndPaper(
    scores.filter((s) => rows.some((row) => row.name === s.method)),
    rows,
    paper,
  );
  const numbers = [...new Set(drawn.flatMap(({ points }) => points.map(({ at }) => at)))].sort((a, b) => a - b);
  const traces = metricPanels.flatMap(({ key }, k) => drawn.map((line, i) => ({ key, k, line, i })));
  const place = (view: View) => {
    const found = traces.map(({ key, line }) => line.points.map(({ row }) => view.of(row)?.[key]));
    const reach = metricPanels.map((_, k) => found.flatMap((list, t) => (traces[t].k === k ? list.flatMap(ends) : [])));
    return {
      y: found.map((list) => list.map((v) => v?.mean ?? null)),
      customdata: found.map((list) => list.map(exact)),
      deviations: found.map((list) => list.map((v) => v?.sd ?? 0)),
      ranges: equalSpans(reach),
    };
  };
  const placed = all.map(place);
  const data = traces.map(({ k, line, i }, t) => {
    const { colour, symbol } = looks[i % looks.length];
    return {
      type: "scatter",
      mode: line.points.length > 1 ? "lines+markers" : "markers",
      name: line.title,
      legendgroup: line.title,
      showlegend: k === 0 && drawn.length > 1,
      xaxis: axisName("x", k),
      yaxis: axisName("y", k),
      x: line.points.map(({ at }) => numbers.indexOf(at)),
      text: line.points.map(({ at }) => `${at}`),
      y: placed[0].y[t],
      customdata: placed[0].customdata[t],
      error_y: { type: "data", array: placed[0].deviations[t], color: colour, thickness: 1.2, width: 3 },
      line: { color: colour, width: 2.2 },
      marker: { color: colour, symbol, size: 9 },
      connectgaps: false,
      cliponaxis: false,
      hovertemplate: `<b>${drawn.length > 1 ? `${line.title}, ` : ""}${name} %{text}</b><br>%{customdata} %<extra></extra>`,
    } as unknown as Data;
  });
  const buttons = placed.map(({ y, customdata, deviations, ranges }, v) => ({
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
  const at = chosen ? numbers.indexOf(chosen.at) : -1;
  const legend = drawn.length > 1 ? 24 : 0;
  const base = baseLayout(title, 150 + plotHeight);
  // Places are numbers and not categories: the menu's updates would make Plotly guess the axis's type anew.
  const x = {
    ...axis,
    tickvals: numbers.map((_, i) => i),
    ticktext: numbers.map(String),
    showgrid: false,
    range: [-0.4, numbers.length - 0.6],
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
        [axisName("yaxis", k), { ...axis, range: placed[0].ranges[k], anchor: axisName("x", k), nticks: 7 }],
      ]),
    ),
    shapes: at < 0 ? [] : domains.map((_, k) => standing(at, k)),
    annotations: [
      ...metricPanels.map((panel, k) => panelTitle(panel.title, domains[k])),
      ...(at < 0 ? [] : domains.map((_, k) => label(chosen?.label ?? "", at, k, at >= numbers.length / 2))),
    ],
    ...menu(buttons, 1 + (88 + legend) / plotHeight),
  } as unknown as Partial<Layout>;
  return { data, layout, config: baseConfig("setting"), alt: inWords(title, all[0], rows) };
}

const standing = (x: number, k: number) => ({
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
