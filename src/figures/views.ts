/** The choices of the menu above a figure: the average over the datasets, a single dataset, or the paper's numbers. */
import type { Layout } from "plotly.js-dist-min";
import { paperAuthors, type Triple } from "../results/paper";
import { overSeeds, type Score, type Spread, type Summary, summarise, summariseAverage } from "../results/statistics";
import type { Labelled, MethodScore } from "../results/table";
import { faintInk } from "./style";

/** `of` returns a method's accuracies in this view, or undefined if it has none. */
export type View = { label: string; of(method: string): Summary | undefined };

/** Panels of base, novel and HM side by side. */
export const metricPanels: { key: keyof Summary; title: string; domain: [number, number] }[] = [
  { key: "base", title: "<b>Base</b> (%)", domain: [0, 0.313] },
  { key: "novel", title: "<b>Novel</b> (%)", domain: [0.343, 0.657] },
  { key: "hm", title: "<b>Harmonic mean</b> (%)", domain: [0.687, 1] },
];

/** Plotly's name of an axis of panel k, counted from 0: `x`, `x2`, `x3`. */
export const axisName = (name: string, k: number): string => (k === 0 ? name : `${name}${k + 1}`);

/** The title of a layout, aligned with the figure's left edge, with `heading` as its subtitle. */
export const underTitle = ({ title }: Partial<Layout>, heading: string): Partial<Layout>["title"] => ({
  ...(title as object),
  x: 0,
  xref: "container",
  pad: { t: 14, l: 18 },
  subtitle: { text: heading, font: { size: 13, color: faintInk } },
});

/** Text shown on hover: two decimals, and the standard deviation if there is one. */
export const exact = (value: Spread | undefined): string =>
  value === undefined ? "" : `${value.mean.toFixed(2)}${value.sd ? ` \u00b1 ${value.sd.toFixed(2)}` : ""}`;

/** The average over the datasets if there are several, then each dataset. */
export function views(scores: MethodScore[]): View[] {
  const summaryOf = (list: MethodScore[], method: string, aggregate: (s: Score[]) => Summary) => {
    const ofMethod = list.filter((s) => s.method === method);
    return ofMethod.length > 0 ? aggregate(ofMethod) : undefined;
  };
  const datasets = [...new Set(scores.map((s) => s.dataset))];
  const datasetViews = datasets.map((d) => {
    const list = scores.filter((s) => s.dataset === d);
    return { label: d, of: (method: string) => summaryOf(list, method, summarise) };
  });
  const average = {
    label: `mean of ${datasets.length} datasets`,
    of: (method: string) => summaryOf(scores, method, summariseAverage),
  };
  return datasets.length > 1 ? [average, ...datasetViews] : datasetViews;
}

/** Lower and upper end of a value's error bar. */
export const ends = (value: Spread | undefined): number[] =>
  value ? [value.mean - (value.sd ?? 0), value.mean + (value.sd ?? 0)] : [];

/** Converts numbers that are reported without standard deviations. */
export const unspread = ({ base, novel, hm }: Triple): Summary => ({
  base: { mean: base, n: 1 },
  novel: { mean: novel, n: 1 },
  hm: { mean: hm, n: 1 },
});

/** The view of the numbers that the paper reports; an empty list if it reports none of these rows. */
function paperView<Row extends Labelled>(
  rows: Row[],
  paper: (row: Row) => Triple | undefined,
): (View & { heading: string })[] {
  const reported = rows.flatMap((row): [string, Triple][] => {
    const triple = paper(row);
    return triple ? [[row.name, triple]] : [];
  });
  const triples = new Map(reported);
  const of = (method: string): Summary | undefined => {
    const triple = triples.get(method);
    return triple && unspread(triple);
  };
  const others = reported.some(([, { other }]) => other);
  const heading = `<b>Paper</b>: mean of 11 datasets, ViT-B/16 (${paperAuthors(others)})`;
  return reported.length > 0 ? [{ label: "the paper's numbers", heading, of }] : [];
}

/**
 * The rows that have runs, and their views: our average, that of the paper if it reports any of them, then each
 * dataset. `heading` is the subtitle that describes the view.
 * @throws if there is no run of the named rows
 */
export function oursAndPaper<Row extends Labelled>(
  scores: MethodScore[],
  rows: Row[],
  paper: (row: Row) => Triple | undefined,
): { shown: Row[]; all: (View & { heading: string })[] } {
  const shown = rows.filter((row) => scores.some((s) => s.method === row.name));
  if (shown.length === 0) throw new Error(`no run of ${rows.map((row) => row.name).join(", ")} to draw`);
  const shownScores = scores.filter((s) => shown.some((row) => row.name === s.method));
  const measured = views(shownScores).map((view) => ({
    ...view,
    label: `ours: ${view.label}`,
    heading: `<b>Ours</b>: ${view.label}, ${overSeeds(shownScores)}`,
  }));
  return { shown, all: [measured[0], ...paperView(shown, paper), ...measured.slice(1)] };
}

/** The numbers of a figure in words, as alternative text for readers who cannot see it. */
export const inWords = (title: string, view: View, rows: Labelled[]): string =>
  `${title}; base, novel and harmonic-mean accuracy (%), ${view.label}: ${rows
    .map((row) => {
      const summary = view.of(row.name);
      return `${row.title} ${metricPanels.map(({ key }) => summary?.[key].mean.toFixed(1)).join(" / ")}`;
    })
    .join("; ")}`;

/** A drop-down list at the top right of a figure. With fewer than two buttons the figure gets no list. */
export const menu = (buttons: Record<string, unknown>[], y = 1.3): Record<string, unknown> =>
  buttons.length < 2
    ? {}
    : {
        updatemenus: [
          {
            buttons,
            x: 1,
            xanchor: "right",
            y,
            yanchor: "top",
            pad: { t: 16 }, // below the mode bar
            showactive: true,
            bgcolor: "#ffffff",
            bordercolor: "#b9bec6",
            font: { color: faintInk },
          },
        ],
      };
