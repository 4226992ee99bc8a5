/**
 * Every method against one of them, which is chosen in the figure: differences in points, and probabilities that a run
 * is better.
 */
import type { Data, Layout } from "plotly.js-dist-min";
import { type Averages, bootstrapAverages, differenceOf, type Range } from "../results/bootstrap";
import { differs, intervalText, withHolm } from "../results/differences";
import { deviationOverSeeds } from "../results/power";
import { probabilityOfImprovement } from "../results/rliable";
import { comparable, type Metric, unique } from "../results/statistics";
import { pairedDifferences } from "../results/statisticsTables";
import { type Labelled, type MethodScore, signed } from "../results/table";
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
import type { VariantRow } from "./variants";
import { axisName, menu, metricPanels, underTitle } from "./views";

/** One point: a value with its interval (none where there are too few runs), the text above it, and that on hover. */
type Point = { mean: number; range?: Range; text: string; hover: string };

/** What is drawn: `pointsOf` gives the points of `others` against a method, in their order. */
type Comparison = {
  title: string;
  name: string;
  /** Where there is no difference. */
  zero: number;
  heading(reference: Labelled): string;
  pointsOf(metric: Metric, others: VariantRow[], reference: VariantRow): Point[];
};

const rowHeight = 36; // pixels
/** Four decimals: a figure with a menu holds many numbers, and these are enough. */
const short = (value: number): number => Number(value.toFixed(4));

/** Panels of base, novel and HM over the same rows, sorted by HM, with a menu of the references. */
function againstFigure(rows: VariantRow[], reference: string, comparison: Comparison): Figure {
  const names = rows.map((row) => (row.method ?? row).name);
  const references = [
    ...rows.filter(({ name }) => name === reference),
    ...rows.filter(({ name }) => name !== reference),
  ];
  const views = references.map((against) => {
    const others = rows.filter((row) => row !== against);
    const panels = metricPanels.map(({ key }) => comparison.pointsOf(key, others, against));
    const order = others.map((_, k) => k).sort((a, b) => panels[2][b].mean - panels[2][a].mean);
    const sorted = panels.map((points) => order.map((k) => points[k]));
    const extents = sorted.map((points) => [
      comparison.zero,
      ...points.flatMap(({ mean, range }) => [mean, range?.low ?? mean, range?.high ?? mean]),
    ]);
    const spans = comparison.zero === 0 ? equalSpans(extents) : extents.map((): [number, number] => [-0.1, 1.1]);
    return { against, rows: order.map((k) => others[k]), panels: sorted, ranges: spans };
  });
  const marks = ({ rows: list }: (typeof views)[number]) => {
    const marked = list.map((row) => (row.method ?? row).name);
    return [marked.map((name) => colourOf(name, names)), marked.map((name) => symbolOf(name, names))];
  };
  const valuesOf = (points: Point[]) => ({
    x: points.map(({ mean }) => short(mean)),
    text: points.map(({ text }) => text),
    customdata: points.map(({ hover }) => hover),
    upper: points.map(({ mean, range }) => (range ? short(range.high - mean) : 0)),
    lower: points.map(({ mean, range }) => (range ? short(mean - range.low) : 0)),
  });
  const [first] = views;
  const data = first.panels.map((points, k) => {
    const { x, text, customdata, upper, lower } = valuesOf(points);
    return {
      type: "scatter",
      mode: "text+markers",
      name: metricPanels[k].key,
      showlegend: false,
      xaxis: axisName("x", k),
      y: first.rows.map((row) => row.title),
      x,
      text,
      customdata,
      error_x: { type: "data", array: upper, arrayminus: lower, color: "#3d434c", thickness: 1.2, width: 3 },
      marker: { color: marks(first)[0], symbol: marks(first)[1], size: 10 },
      textposition: "top center",
      textfont: { size: 11, color: ink },
      hovertemplate: "%{customdata}<extra></extra>",
      cliponaxis: false,
    } as unknown as Data;
  });
  const buttons = views.map((view) => {
    const values = view.panels.map(valuesOf);
    return {
      label: `against ${view.against.title}`,
      method: "update",
      args: [
        {
          x: values.map(({ x }) => x),
          y: values.map(() => view.rows.map((row) => row.title)),
          text: values.map(({ text }) => text),
          customdata: values.map(({ customdata }) => customdata),
          "error_x.array": values.map(({ upper }) => upper),
          "error_x.arrayminus": values.map(({ lower }) => lower),
          "marker.color": values.map(() => marks(view)[0]),
          "marker.symbol": values.map(() => marks(view)[1]),
        },
        {
          "title.subtitle.text": comparison.heading(view.against),
          "yaxis.categoryarray": view.rows.map((row) => row.title),
          ...Object.fromEntries(view.ranges.map((range, k) => [`${axisName("xaxis", k)}.range`, range])),
        },
      ],
    };
  });
  const count = rows.length - 1;
  const base = baseLayout(comparison.title, 150 + rowHeight * count);
  const layout = {
    ...base,
    title: underTitle(base, comparison.heading(first.against)),
    ...Object.fromEntries(
      metricPanels.map(({ domain }, k) => [
        axisName("xaxis", k),
        {
          ...axis,
          domain,
          range: first.ranges[k],
          ...(comparison.zero === 0 ? { nticks: 4 } : { tickvals: [0, 0.5, 1] }),
          tickangle: 0,
        },
      ]),
    ),
    yaxis: {
      ...axis,
      type: "category",
      categoryorder: "array",
      categoryarray: first.rows.map((row) => row.title),
      range: [count - 0.4, -0.7],
      ticks: "",
      tickfont: { size: 13, color: ink },
      showline: false,
      ticklabelstandoff: 8,
    },
    shapes: metricPanels.map((_, k) => ({
      type: "line",
      layer: "below",
      xref: axisName("x", k),
      yref: "paper",
      x0: comparison.zero,
      x1: comparison.zero,
      y0: 0,
      y1: 1,
      line: { color: faintInk, width: 1.2, dash: "dot" },
    })),
    annotations: metricPanels.map(({ title, domain }) => panelTitle(title.replace(" (%)", ""), domain)),
    ...menu(buttons, 1 + 88 / (rowHeight * count)),
  } as unknown as Partial<Layout>;
  const inWords = first.rows.map(
    (row, k) => `${row.title} ${first.panels.map((points) => points[k].text).join(" / ")}`,
  );
  const alt = `${comparison.title}: base / novel / harmonic mean against ${first.against.title}: ${inWords.join("; ")}`;
  return { data, layout, config: baseConfig(comparison.name), alt };
}

/** The rows that have runs, and their runs on the datasets and seeds that all have. @throws if there are fewer than 2 */
function comparedRows<Row extends Labelled>(scores: MethodScore[], rows: Row[]) {
  const shared = comparable(scores.filter((s) => rows.some((row) => row.name === s.method)));
  const shown = rows.filter((row) => shared.some((s) => s.method === row.name));
  if (shown.length < 2)
    throw new Error(
      `a comparison needs runs of 2 of ${rows.map((row) => row.name).join(", ")}; ${shown.length} has any`,
    );
  const runs = new Map(shown.map(({ name }) => [name, shared.filter((s) => s.method === name)]));
  const number = (key: "dataset" | "seed", noun: string) => {
    const count = unique(shared.map((s) => s[key])).length;
    return `${count} ${noun}${count === 1 ? "" : "s"}`;
  };
  return {
    shown,
    runsOf: ({ name }: Labelled): MethodScore[] => runs.get(name) ?? [],
    size: `${number("dataset", "dataset")}, ${number("seed", "seed")}`,
  };
}

/**
 * Base, novel and HM of every method less those of a reference, in points, sorted by HM. Bars are 95 % intervals of the
 * paired bootstrap over datasets and seeds; a star marks what differs from zero at 5 % after Holm's correction for the
 * number of methods. The menu chooses the reference. Only datasets and seeds that all methods have are used.
 * @param reference the first one shown, by name: the first of `rows` by default
 * @throws if fewer than two of the rows have runs
 */
export function differencesFigure(
  title: string,
  scores: MethodScore[],
  rows: VariantRow[],
  reference = rows[0]?.name,
): Figure {
  const { shown, runsOf, size } = comparedRows(scores, rows);
  const draws = Object.fromEntries(
    metricPanels.map(({ key }) => [
      key,
      new Map(bootstrapAverages(shown.map(runsOf), key).map((a, k) => [shown[k], a])),
    ]),
  );
  const certain = shown.length > 2 ? `, after Holm's correction for ${shown.length - 1} comparisons` : "";
  return againstFigure(shown, reference, {
    title,
    name: "differences",
    zero: 0,
    heading: (against) => `Points above <b>${against.title}</b>: ${size}; 95 % intervals<br>* differs at 5 %${certain}`,
    pointsOf(metric, others, against) {
      const averagesOf = (row: VariantRow) => draws[metric].get(row) as Averages;
      const intervals = withHolm(others.map((row) => differenceOf(averagesOf(row), averagesOf(against), metric)));
      return intervals.flatMap((interval, k) => {
        if (interval === undefined) return [];
        const sd = deviationOverSeeds(pairedDifferences(runsOf(others[k]), runsOf(against), metric));
        const tested = interval.corrected !== undefined;
        const lines = [
          `<b>${others[k].title} \u2212 ${against.title}</b>`,
          `${intervalText(interval, false)} points`,
          ...(sd === undefined ? [] : [`standard deviation over seeds ${sd.toFixed(2)}`]),
          `n = ${interval.pairs} pairs of runs`,
          ...(tested ? [`p = ${interval.corrected?.toFixed(4)} after Holm's correction`] : []),
        ];
        const text = `${signed(interval.mean, 1)}${differs(interval) ? " *" : ""}`;
        return [{ mean: interval.mean, range: tested ? interval : undefined, text, hover: lines.join("<br>") }];
      });
    },
  });
}

/**
 * How likely a run of each method is better than one of a reference on the same dataset, in base, novel and HM, with
 * 95 % intervals over seeds (stratified bootstrap; Agarwal et al., NeurIPS 2021). The menu chooses the reference.
 * @throws if fewer than two of the rows have runs
 */
export function improvementFigure(
  title: string,
  scores: MethodScore[],
  rows: VariantRow[],
  reference = rows[0]?.name,
): Figure {
  const { shown, runsOf, size } = comparedRows(scores, rows);
  return againstFigure(shown, reference, {
    title,
    name: "improvement",
    zero: 0.5,
    heading: (against) =>
      `Probability that a run is better than one of <b>${against.title}</b><br>${size}; 95 % intervals over seeds`,
    pointsOf: (metric, others, against) =>
      others.map((row) => {
        const range = probabilityOfImprovement(runsOf(row), runsOf(against), metric);
        const [mean, low, high] = [range.mean, range.low, range.high].map((value) => value.toFixed(2));
        const hover = `<b>${row.title} better than ${against.title}</b><br>${mean} [${low}, ${high}]<br>n = ${runsOf(row).length} runs each`;
        return { mean: range.mean, range, text: mean, hover };
      }),
  });
}
