/** Critical-difference diagram: average ranks over datasets, and which of them cannot be told apart (Demsar 2006). */
import type { Data, Layout } from "plotly.js-dist-min";
import { byDataset } from "../results/rliable";
import { criticalDifference, friedman, indistinct } from "../results/significance";
import { comparable, type Metric, unique } from "../results/statistics";
import type { MethodScore } from "../results/table";
import { axis, baseConfig, baseLayout, colourOf, type Figure, faintInk, ink, symbolOf } from "./style";
import type { VariantRow } from "./variants";
import { menu, underTitle } from "./views";

const titles: Record<Metric, string> = { hm: "harmonic mean", base: "base accuracy", novel: "novel accuracy" };
const rowHeight = 26; // pixels

/**
 * Each method at its average rank over the datasets (1 is the best; means over seeds are ranked). Bars at the top join
 * methods that Nemenyi's test cannot tell apart at 5 %. The subtitle has Friedman's test that all rank alike. The menu
 * chooses harmonic mean, base or novel accuracy.
 * @throws if there are fewer than two datasets or methods with runs, or more than 30 methods
 */
export function criticalDifferenceFigure(title: string, scores: MethodScore[], rows: VariantRow[]): Figure {
  const shared = comparable(scores.filter((s) => rows.some(({ name }) => name === s.method)));
  const shown = rows.filter(({ name }) => shared.some((s) => s.method === name));
  const datasets = unique(shared.map((s) => s.dataset));
  if (shown.length < 2 || datasets.length < 2)
    throw new Error(
      `ranks need 2 methods and 2 datasets that all have runs on, not ${shown.length} and ${datasets.length}`,
    );
  const names = shown.map((row) => (row.method ?? row).name);
  const distance = criticalDifference(shown.length, datasets.length);
  const views = (["hm", "base", "novel"] as const).map((metric) => {
    const byMethod = shown.map(({ name }) =>
      byDataset(
        shared.filter((s) => s.method === name),
        metric,
        datasets,
      ).map((values) => values.reduce((a, b) => a + b, 0) / values.length),
    );
    const { averageRanks, p } = friedman(datasets.map((_, d) => byMethod.map((values) => values[d])));
    const order = shown.map((_, m) => m).sort((a, b) => averageRanks[a] - averageRanks[b]);
    const probability = p < 0.001 ? "p &lt; 0.001" : `p = ${p.toFixed(3)}`;
    return {
      label: titles[metric],
      heading:
        `Average rank in <b>${titles[metric]}</b>, ${datasets.length} datasets; all alike: ${probability} (Friedman)<br>` +
        `under one bar: closer than the critical difference ${distance.toFixed(2)} (Nemenyi, 5 %)`,
      order,
      ranks: order.map((m) => averageRanks[m]),
      groups: indistinct(averageRanks, distance),
    };
  });
  const strip = Math.max(...views.map(({ groups }) => groups.length)) * 0.6 + 0.3;
  const line = (x0: number, y0: number, x1: number, y1: number, style: Record<string, unknown>) => ({
    type: "line",
    layer: "below",
    x0,
    y0,
    x1,
    y1,
    line: style,
  });
  /** The methods' lines from the axis of ranks down to their rows, and the bars of the groups. */
  const shapesOf = ({ ranks, groups }: (typeof views)[number]) => [
    ...ranks.map((rank, row) => line(rank, -strip, rank, row, { color: "#b9bec6", width: 1 })),
    ...groups.map(([best, worst], k) =>
      line(best - 0.06, 0.6 * k - strip + 0.5, worst + 0.06, 0.6 * k - strip + 0.5, { color: ink, width: 4 }),
    ),
  ];
  const marksOf = ({ order }: (typeof views)[number]) => ({
    titles: order.map((m) => shown[m].title),
    colours: order.map((m) => colourOf(names[m], names)),
    symbols: order.map((m) => symbolOf(names[m], names)),
  });
  const hoverOf = ({ ranks, label }: (typeof views)[number], list: string[]) =>
    ranks.map(
      (rank, k) =>
        `<b>${list[k]}</b><br>average rank ${rank.toFixed(2)} in ${label}<br>n = ${datasets.length} datasets`,
    );
  const [first] = views;
  const marks = marksOf(first);
  const data = [
    {
      type: "scatter",
      mode: "text+markers",
      showlegend: false,
      x: first.ranks,
      y: first.ranks.map((_, row) => row),
      text: first.ranks.map((rank) => rank.toFixed(2)),
      textposition: "middle right",
      textfont: { size: 11, color: ink },
      customdata: hoverOf(first, marks.titles),
      marker: { color: marks.colours, symbol: marks.symbols, size: 10 },
      hovertemplate: "%{customdata}<extra></extra>",
      cliponaxis: false,
    } as unknown as Data,
  ];
  const buttons = views.map((view) => {
    const { titles: list, colours, symbols } = marksOf(view);
    return {
      label: view.label,
      method: "update",
      args: [
        {
          x: [view.ranks],
          text: [view.ranks.map((rank) => rank.toFixed(2))],
          customdata: [hoverOf(view, list)],
          "marker.color": [colours],
          "marker.symbol": [symbols],
        },
        { "title.subtitle.text": view.heading, "yaxis.ticktext": list, shapes: shapesOf(view) },
      ],
    };
  });
  const plotHeight = rowHeight * (shown.length + strip + 1);
  const base = baseLayout(title, 150 + plotHeight);
  const layout = {
    ...base,
    margin: { ...base.margin, t: 126, b: 24 },
    title: underTitle(base, first.heading),
    xaxis: {
      ...axis,
      side: "top",
      range: [0.7, shown.length + 0.6],
      tick0: 1,
      dtick: shown.length > 15 ? 2 : 1,
      title: { text: "average rank", font: { size: 12, color: faintInk }, standoff: 4 },
      showgrid: false,
    },
    yaxis: {
      ...axis,
      range: [shown.length - 0.4, -strip],
      tickvals: first.ranks.map((_, row) => row),
      ticktext: marks.titles,
      tickfont: { size: 13, color: ink },
      ticks: "",
      showline: false,
      ticklabelstandoff: 8,
    },
    shapes: shapesOf(first),
    ...menu(buttons, 1 + 110 / plotHeight),
  } as unknown as Partial<Layout>;
  const alt = `${title}; average ranks in ${first.label}, critical difference ${distance.toFixed(2)}: ${marks.titles
    .map((name, k) => `${name} ${first.ranks[k].toFixed(2)}`)
    .join(", ")}`;
  return { data, layout, config: baseConfig("critical-difference"), alt };
}
