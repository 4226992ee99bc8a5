/** Accuracy against its price: harmonic means over the numbers that a method learns, and over the operations of a step. */
import type { Data, Layout } from "plotly.js-dist-min";
import { overSeeds, summariseAverage } from "../results/statistics";
import type { Labelled, MethodScore, Table } from "../results/table";
import { axis, baseConfig, baseLayout, colourOf, type Figure, faintInk, panelTitle, symbolOf } from "./style";
import { ends, exact } from "./views";

const measures = [
  { key: "parameters", title: "numbers learnt", unit: "numbers" },
  { key: "GFLOP a step", title: "10<sup>9</sup> operations of a training step", unit: "GFLOP a step" },
];
const domains: [number, number][] = [
  [0, 0.475],
  [0.525, 1],
];

/**
 * A point for each method with scores and counted operations: its harmonic mean over the datasets, with the standard
 * deviation over seeds, against the numbers (on a logarithmic scale) and the operations. Whoever learns nothing is a dotted line.
 * @param costs a table of the cost benchmark, or `operationsTable`
 * @throws if no method has both
 */
export function priceFigure(title: string, scores: MethodScore[], costs: Table, methods: Labelled[]): Figure {
  const names = methods.map(({ name }) => name);
  const points = methods.flatMap((method) => {
    const own = scores.filter((score) => score.method === method.name);
    const cost = costs.rows.find((row) => row.method === method.title);
    return own.length > 0 && cost ? [{ method, hm: summariseAverage(own).hm, cost }] : [];
  });
  const learnt = points.filter(({ cost }) => Number(cost["GFLOP a step"]) > 0);
  if (learnt.length === 0)
    throw new Error(`no method of ${names.join(", ")} has both an accuracy and counted operations`);
  const data = learnt.flatMap(({ method, hm, cost }) =>
    measures.map(({ key, unit }, k) => {
      const colour = colourOf(method.name, names);
      const value = Number(cost[key]);
      return {
        type: "scatter",
        mode: "markers",
        name: method.title,
        legendgroup: method.name,
        showlegend: k === 0,
        x: [value],
        y: [hm.mean],
        xaxis: `x${k === 0 ? "" : k + 1}`,
        error_y: { type: "data", array: [hm.sd ?? 0], color: colour, thickness: 1.2, width: 3 },
        marker: { color: colour, symbol: symbolOf(method.name, names), size: 11 },
        hovertemplate: `<b>${method.title}</b><br>HM ${exact(hm)} %<br>${value.toLocaleString("en", { maximumFractionDigits: 1 })} ${unit}<extra></extra>`,
      } as unknown as Data;
    }),
  );
  const means = points.flatMap(({ hm }) => ends(hm));
  const [low, high] = [Math.min(...means), Math.max(...means)];
  const room = 0.08 * Math.max(high - low, 1);
  const free = points.filter((point) => !learnt.includes(point));
  const base = baseLayout(
    title,
    430,
    learnt.map(({ method }) => method.title),
  );
  const layout = {
    ...base,
    hovermode: "closest",
    ...Object.fromEntries(
      domains.map((domain, k) => [
        `xaxis${k === 0 ? "" : k + 1}`,
        { ...axis, domain, showgrid: false, ...(k === 0 ? { type: "log", dtick: 1 } : { rangemode: "tozero" }) },
      ]),
    ),
    yaxis: {
      ...axis,
      range: [low - room, high + room],
      title: { text: `harmonic mean (%), ${overSeeds(scores)}`, font: { size: 13 }, standoff: 8 },
    },
    shapes: free.flatMap(({ hm }) => [
      {
        type: "line",
        xref: "paper",
        x0: 0,
        x1: 1,
        y0: hm.mean,
        y1: hm.mean,
        layer: "below",
        line: { color: "#8a8f98", width: 1.4, dash: "dot" },
      },
    ]),
    annotations: [
      ...measures.map(({ title: text }, k) => panelTitle(`<b>${text}</b>`, domains[k])),
      ...free.map(({ method, hm }) => ({
        text: method.title,
        xref: "paper",
        x: 1,
        xanchor: "right",
        y: hm.mean,
        yanchor: "bottom",
        showarrow: false,
        font: { size: 12, color: faintInk },
      })),
    ],
  } as unknown as Partial<Layout>;
  const inWords = points.map(
    ({ method, hm, cost }) =>
      `${method.title} ${hm.mean.toFixed(1)} (${measures.map(({ key }) => Number(cost[key] ?? 0).toFixed(0)).join(" / ")})`,
  );
  return {
    data,
    layout,
    config: baseConfig("price"),
    alt: `${title}; harmonic mean (%), and numbers learnt / GFLOP of a step: ${inWords.join("; ")}`,
  };
}
