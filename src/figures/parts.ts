/**
 * Where the learnt parts of methods lie: a row for each method, the blocks of both encoders and their features from left
 * to right.
 */
import type { Data, Layout } from "plotly.js-dist-min";
import type { LearntParts } from "../analysis/parts";
import { axis, baseConfig, baseLayout, type Figure, faintInk, ink } from "./style";
import { underTitle } from "./views";

type Kind = LearntParts["parts"][number]["kind"];
const kinds: Record<Kind, { colour: string; symbol: string; title: string }> = {
  prompts: { colour: "#1f5fa8", symbol: "circle", title: "tokens" },
  adapter: { colour: "#009e73", symbol: "square", title: "adapter beside the block" },
  "low-rank maps": { colour: "#c75146", symbol: "diamond", title: "low-rank maps in the attention" },
  classifier: { colour: "#e08e0b", symbol: "star", title: "classifier" },
  cache: { colour: "#5c4b3c", symbol: "hexagon", title: "cache" },
};
const rowHeight = 34; // pixels

/**
 * A marker for each part, its form and colour by kind; a block without a part is a dot. On the right, the numbers that
 * are learnt.
 * @param blocks the number of blocks of each encoder
 */
export function partsFigure(title: string, rows: LearntParts[], blocks: { text: number; image: number }): Figure {
  const titles = rows.map((row) => row.title);
  const starts = { text: 0, image: blocks.text + 1, features: blocks.text + blocks.image + 2 };
  const lines = [
    { place: "text", from: starts.text, to: starts.text + blocks.text - 1 },
    { place: "image", from: starts.image, to: starts.image + blocks.image - 1 },
    { place: "features", from: starts.features, to: starts.features },
  ] as const;
  const positions = lines.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, k) => from + k));
  const dots = {
    type: "scatter",
    mode: "markers",
    showlegend: false,
    hoverinfo: "skip",
    x: titles.flatMap(() => positions),
    y: titles.flatMap((name) => positions.map(() => name)),
    marker: { color: "#b9bec6", size: 5 },
  } as Data;
  const traces = (Object.keys(kinds) as Kind[]).flatMap((kind) => {
    const found = rows.flatMap((row) =>
      row.parts.filter((part) => part.kind === kind).map((part) => ({ row: row.title, part })),
    );
    if (found.length === 0) return [];
    const { colour, symbol, title: name } = kinds[kind];
    return {
      type: "scatter",
      mode: "markers",
      name,
      x: found.map(({ part }) => starts[part.place] + ("block" in part ? part.block : 0)),
      y: found.map(({ row }) => row),
      customdata: found.map(({ part }) =>
        "block" in part ? `${part.place} encoder, block ${part.block + 1}` : "on the features",
      ),
      marker: { color: colour, symbol, size: 13 },
      hovertemplate: `<b>%{y}</b><br>${name}, %{customdata}<extra></extra>`,
    } as unknown as Data;
  });
  const plotHeight = rowHeight * (rows.length + 0.3);
  const [top, bottom] = [130, 40]; // title, subtitle, legend and headings; the blocks' numbers
  const height = top + plotHeight + bottom;
  const base = baseLayout(
    title,
    height,
    (traces as { name?: string }[]).map(({ name }) => name ?? ""),
  );
  const last = starts.features;
  const heading = (text: string, x: number, align: "center" | "left" = "center") => ({
    text,
    x,
    y: 1,
    yref: "paper",
    yanchor: "bottom",
    yshift: 4,
    xanchor: align,
    showarrow: false,
    font: { size: 13, color: faintInk },
  });
  const layout = {
    ...base,
    title: underTitle(base, "Blocks are counted from the input; a dot is a block that stays as it is"),
    margin: { ...base.margin, t: top, b: bottom },
    legend: { ...base.legend, y: 1 + 26 / plotHeight },
    hovermode: "closest",
    shapes: titles.flatMap((name) =>
      lines.map(({ from, to }) => ({
        type: "line",
        layer: "below",
        x0: from,
        x1: to,
        y0: name,
        y1: name,
        line: { color: "#e6e8eb", width: 3 },
      })),
    ),
    xaxis: {
      ...axis,
      showgrid: false,
      showline: false,
      ticks: "",
      range: [-0.6, last + 3.2],
      tickvals: positions.filter((x) => x < last),
      ticktext: lines
        .slice(0, 2)
        .flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, k) => `${k + 1}`)),
    },
    yaxis: {
      ...axis,
      showgrid: false,
      showline: false,
      ticks: "",
      categoryorder: "array",
      categoryarray: [...titles].reverse(),
      range: [-0.6, titles.length - 0.4],
      tickfont: { size: 13, color: ink },
    },
    annotations: [
      heading("<b>text encoder</b>", (blocks.text - 1) / 2),
      heading("<b>image encoder</b>", starts.image + (blocks.image - 1) / 2),
      heading("<b>features</b>", last),
      heading("<b>numbers learnt</b>", last + 1.1, "left"),
      ...rows.map(({ title: y, numbers }) => ({
        text: numbers?.toLocaleString("en") ?? "not trained",
        x: last + 1.1,
        y,
        xanchor: "left",
        showarrow: false,
        font: { size: 13, color: ink },
      })),
    ],
  } as unknown as Partial<Layout>;
  const inWords = rows.map(({ title: name, parts, numbers }) => {
    const places = parts.map((part) => ("block" in part ? `${part.place} ${part.block + 1}` : part.place));
    return `${name} ${[...new Set(parts.map(({ kind }) => kind))].join(", ") || "nothing"} (${places.join(", ")}; ${numbers ?? "not trained"})`;
  });
  return { data: [dots, ...traces], layout, config: baseConfig("parts"), alt: `${title}; ${inWords.join("; ")}` };
}
