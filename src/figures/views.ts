/** What the menu over a figure chooses among: the average over the datasets, one of them, or the paper's numbers. */
import type { Triple } from "../paper";
import { type Score, type Summary, summarise, summariseAverage } from "../results/statistics";
import type { MethodScore, Named } from "../results/table";
import { faintInk } from "./style";

/** `of` gives a method's accuracies, if it has any here. */
export type View = { label: string; of(method: string): Summary | undefined };

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
  const average = { label: `mean of ${datasets.length} datasets`, of: (method: string) => own(scores, method, summariseAverage) };
  return datasets.length > 1 ? [average, ...each] : each;
}

/** The numbers that the paper prints; none if it prints none of these rows. */
export function paperView<Row extends Named>(rows: Row[], paper: (row: Row) => Triple | undefined): View[] {
  const printed = new Map(rows.flatMap((row) => [[row.name, paper(row)] as const]).filter(([, triple]) => triple));
  const of = (method: string): Summary | undefined => {
    const triple = printed.get(method);
    return triple && { base: { mean: triple.base, n: 1 }, novel: { mean: triple.novel, n: 1 }, hm: { mean: triple.hm, n: 1 } };
  };
  return printed.size > 0 ? [{ label: "the paper: mean of 11 datasets, ViT-B/16", of }] : [];
}

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
            showactive: true,
            bgcolor: "#ffffff",
            bordercolor: "#b9bec6",
            font: { color: faintInk },
          },
        ],
      };
