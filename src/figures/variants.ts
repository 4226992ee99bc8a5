/** Dot plot of base, novel and harmonic-mean accuracy of many methods or variants, from our runs or from the paper. */
import type { Data, Layout } from "plotly.js-dist-min";
import type { Triple } from "../results/paper";
import type { Labelled, MethodScore } from "../results/table";
import {
  axis,
  baseConfig,
  baseLayout,
  colourOf,
  equalSpans,
  type Figure,
  faintInk,
  ink,
  panelTitle,
  symbolOf,
} from "./style";
import { axisName, ends, exact, inWords, menu, metricPanels, oursAndPaper, underTitle, type View } from "./views";

/** A row of the figure. A variant of a method has the colour of that `method`. */
export type VariantRow = Labelled & { method?: { name: string } };

const rowHeight = 36; // pixels

/**
 * One row per variant, and one panel each for base, novel and HM, whose axes span ranges of equal length. Dots are
 * means, error bars are standard deviations over seeds, and a dotted line marks the value of the first row. The menu
 * offers the mean over the datasets, the paper's numbers if it reports any of these rows, and each dataset.
 * @throws if there is no run of the named rows
 */
export function variantsFigure<Row extends VariantRow>(
  title: string,
  scores: MethodScore[],
  rows: Row[],
  paper: (row: Row) => Triple | undefined = () => undefined,
): Figure {
  const { shown, all } = oursAndPaper(scores, rows, paper);
  const drawn = all.map((view) => valuesOf(view, shown));
  const names = shown.map((row) => (row.method ?? row).name);
  const data = drawn[0].panels.map(
    (panel, k) =>
      ({
        type: "scatter",
        mode: "text+markers",
        name: metricPanels[k].key,
        showlegend: false,
        xaxis: axisName("x", k),
        y: shown.map((row) => row.title),
        ...panel.points,
        error_x: { type: "data", array: panel.deviations, color: "#3d434c", thickness: 1.2, width: 3 },
        marker: {
          color: names.map((name) => colourOf(name, names)),
          symbol: names.map((name) => symbolOf(name, names)),
          size: 10,
        },
        textposition: "top center",
        textfont: { size: 11, color: ink },
        hovertemplate: "<b>%{y}</b><br>%{customdata} %<extra></extra>",
        cliponaxis: false,
      }) as unknown as Data,
  );
  const buttons = drawn.map(({ panels, lines }, v) => ({
    label: all[v].label,
    method: "update",
    args: [
      {
        x: panels.map(({ points }) => points.x),
        text: panels.map(({ points }) => points.text),
        customdata: panels.map(({ points }) => points.customdata),
        "error_x.array": panels.map(({ deviations }) => deviations),
      },
      {
        "title.subtitle.text": all[v].heading,
        shapes: lines,
        ...Object.fromEntries(panels.map(({ range }, k) => [`${axisName("xaxis", k)}.range`, range])),
      },
    ],
  }));
  const base = baseLayout(title, 150 + rowHeight * shown.length);
  const layout = {
    ...base,
    title: underTitle(base, all[0].heading),
    ...Object.fromEntries(
      metricPanels.map(({ domain }, k) => [
        axisName("xaxis", k),
        { ...axis, domain, range: drawn[0].panels[k].range, nticks: 5 },
      ]),
    ),
    yaxis: {
      ...axis,
      range: [shown.length - 0.4, -0.7],
      ticks: "",
      tickfont: { size: 13, color: ink },
      showline: false,
      ticklabelstandoff: 8,
    },
    shapes: drawn[0].lines,
    annotations: metricPanels.map(({ title: panel, domain }) => panelTitle(panel, domain)),
    ...menu(buttons, 1 + 88 / (rowHeight * shown.length)),
  } as unknown as Partial<Layout>;
  return { data, layout, config: baseConfig("variants"), alt: inWords(title, all[0], shown) };
}

/** The points, deviations and axis range of each panel in a view, and the dotted lines. */
function valuesOf(view: View, rows: Labelled[]) {
  const values = metricPanels.map(({ key }) => rows.map((row) => view.of(row.name)?.[key]));
  const ranges = equalSpans(values.map((list) => list.flatMap(ends)));
  const panels = values.map((list, k) => ({
    points: {
      x: list.map((v) => v?.mean ?? null),
      text: list.map((v) => v?.mean.toFixed(1) ?? ""),
      customdata: list.map(exact),
    },
    deviations: list.map((v) => v?.sd ?? 0),
    range: ranges[k],
  }));
  const lines = values.flatMap(([first], k) =>
    first === undefined
      ? []
      : [
          {
            type: "line",
            layer: "between",
            xref: axisName("x", k),
            yref: "y",
            x0: first.mean,
            x1: first.mean,
            y0: 0,
            y1: rows.length - 0.4,
            line: { color: faintInk, width: 1.2, dash: "dot" },
          },
        ],
  );
  return { panels, lines };
}
