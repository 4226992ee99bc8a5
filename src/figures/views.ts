/** What the menu over a figure chooses among: the average over the datasets, one of them, or the paper's numbers. */
import type { Layout } from "plotly.js-dist-min";
import { paperTitle, type Triple } from "../results/paper";
import { overSeeds, type Score, type Spread, type Summary, summarise, summariseAverage } from "../results/statistics";
import type { Labelled, MethodScore } from "../results/table";
import { faintInk } from "./style";

/** `of` gives a method's accuracies, if it has any here. */
export type View = { label: string; of(method: string): Summary | undefined };

/** Panels of base, novel and HM side by side. */
export const metricPanels: { key: keyof Summary; title: string; domain: [number, number] }[] = [
  { key: "base", title: "<b>Base</b> (%)", domain: [0, 0.313] },
  { key: "novel", title: "<b>Novel</b> (%)", domain: [0.343, 0.657] },
  { key: "hm", title: "<b>Harmonic mean</b> (%)", domain: [0.687, 1] },
];

/** `x`, `x2`, `x3`: Plotly's name of the axis of panel k. */
export const axisName = (name: string, k: number): string => (k === 0 ? name : `${name}${k + 1}`);

/** The title of a layout at the left edge, with what is seen under it. */
export const underTitle = ({ title }: Partial<Layout>, heading: string): Partial<Layout>["title"] => ({
  ...(title as object),
  x: 0,
  xref: "container",
  pad: { t: 14, l: 18 },
  subtitle: { text: heading, font: { size: 13, color: faintInk } },
});

/** For hovering: two decimals, and the deviation if there is one. */
export const exact = (value: Spread | undefined): string =>
  value === undefined ? "" : `${value.mean.toFixed(2)}${value.sd ? ` \u00b1 ${value.sd.toFixed(2)}` : ""}`;

/** The average where there are several datasets, then each dataset. */
export function views(scores: MethodScore[]): View[] {
  const own = (list: MethodScore[], method: string, how: (s: Score[]) => Summary) => {
    const mine = list.filter((s) => s.method === method);
    return mine.length > 0 ? how(mine) : undefined;
  };
  const datasets = [...new Set(scores.map((s) => s.dataset))];
  const each = datasets.map((d) => {
    const list = scores.filter((s) => s.dataset === d);
    return { label: d, of: (method: string) => own(list, method, summarise) };
  });
  const average = {
    label: `mean of ${datasets.length} datasets`,
    of: (method: string) => own(scores, method, summariseAverage),
  };
  return datasets.length > 1 ? [average, ...each] : each;
}

/** Both ends of a value's error bar. */
export const ends = (value: Spread | undefined): number[] =>
  value ? [value.mean - (value.sd ?? 0), value.mean + (value.sd ?? 0)] : [];

/** Numbers that are printed without deviations. */
export const unspread = ({ base, novel, hm }: Triple): Summary => ({
  base: { mean: base, n: 1 },
  novel: { mean: novel, n: 1 },
  hm: { mean: hm, n: 1 },
});

/** The numbers that the paper prints; none if it prints none of these rows. */
function printed<Row extends Labelled>(rows: Row[], paper: (row: Row) => Triple | undefined): View[] {
  const found = rows.flatMap((row): [string, Triple][] => {
    const triple = paper(row);
    return triple ? [[row.name, triple]] : [];
  });
  const triples = new Map(found);
  const of = (method: string): Summary | undefined => {
    const triple = triples.get(method);
    return triple && unspread(triple);
  };
  return found.length > 0 ? [{ label: "the paper's numbers", of }] : [];
}

/** Our average, the paper's where it prints any of the rows, then each dataset; `heading` says what is seen. */
export function oursAndPaper<Row extends Labelled>(
  scores: MethodScore[],
  rows: Row[],
  paper: (row: Row) => Triple | undefined,
): (View & { heading: string })[] {
  const own = views(scores).map((view) => ({
    ...view,
    label: `ours: ${view.label}`,
    heading: `<b>Ours</b>: ${view.label}, ${overSeeds(scores)}`,
  }));
  const theirs = printed(rows, paper).map((view) => ({
    ...view,
    heading: `<b>Paper</b>: mean of 11 datasets, ViT-B/16 (${paperTitle.split(",")[0]})`,
  }));
  return [own[0], ...theirs, ...own.slice(1)];
}

/** What a figure of rows shows, for those who do not see it. */
export const inWords = (title: string, view: View, rows: Labelled[]): string =>
  `${title}; base, novel and harmonic-mean accuracy (%), ${view.label}: ${rows
    .map((row) => {
      const summary = view.of(row.name);
      return `${row.title} ${metricPanels.map(({ key }) => summary?.[key].mean.toFixed(1)).join(" / ")}`;
    })
    .join("; ")}`;

/** A drop-down list at the top right of a figure; nothing if there is nothing to choose. */
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
