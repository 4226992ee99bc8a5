/** Lines in panels side by side: whatever is measured at a few points, such as after every epoch or with every number of shots. */
import type { Data, Layout } from "plotly.js-dist-min";
import { axis, baseConfig, baseLayout, colourOf, type Figure, panelTitle, translucent } from "./style";

/**
 * `name` gives the colour, `title` stands in the legend, once for all panels. Deviations, where there are any, become error bars; `band` is
 * the low and the high end of an interval at each point.
 */
export type Line = {
  name: string;
  title: string;
  x: number[];
  y: number[];
  sd?: (number | undefined)[];
  band?: [number, number][];
  dash?: "solid" | "dash" | "dot";
  /** Without marks at its points. */
  plain?: boolean;
  colour?: string;
};

/** `scale` of both axes or of one; `ticks` are where x is labelled; `unit` follows the numbers, such as " %". */
export type Panel = {
  title: string;
  x: string;
  lines: Line[];
  unit?: string;
  digits?: number;
  ticks?: number[];
  log?: "x" | "y" | "xy";
  fromZero?: boolean;
};

export type LinesLayout = { height?: number; columns?: number; alt: string };

/** Share of the width, or of the height, between neighbouring panels. */
const gaps = { x: 0.075, y: 0.2 };

/** Panels in rows of `columns` (all in one row unless said otherwise). `name` is the file's name when the figure is saved by hand. */
export function linesFigure(
  title: string,
  name: string,
  panels: Panel[],
  { height = 400, columns = panels.length, alt }: LinesLayout,
): Figure {
  const rows = Math.ceil(panels.length / columns);
  const titles = new Set(panels.flatMap(({ lines }) => lines.map((line) => line.title)));
  const layout: Record<string, unknown> = { ...baseLayout(title, height, [...titles]), hovermode: "x" };
  const seen = new Set<string>();
  const data = panels.flatMap((panel, k) => {
    const at = k === 0 ? "" : `${k + 1}`;
    const across = panelDomain(k % columns, columns, gaps.x);
    const down = panelDomain(rows - 1 - Math.floor(k / columns), rows, gaps.y);
    layout[`xaxis${at}`] = {
      ...axis,
      showgrid: false,
      domain: across,
      anchor: `y${at}`,
      title: { text: panel.x, font: { size: 13 }, standoff: 6 },
      ...(panel.log?.includes("x") ? { type: "log" } : {}),
      ...(panel.ticks ? { tickvals: panel.ticks, ticktext: panel.ticks.map(String), minor: { ticks: "" } } : {}),
    };
    layout[`yaxis${at}`] = {
      ...axis,
      domain: down,
      anchor: `x${at}`,
      ticksuffix: panel.unit,
      ...(panel.log?.includes("y") ? { type: "log", dtick: 1, minor: { ticks: "" } } : {}),
      ...(panel.fromZero ? { rangemode: "tozero" } : {}),
    };
    return panel.lines.flatMap((line) => {
      const first = !seen.has(line.title);
      seen.add(line.title);
      return [...(line.band ? [band(line, line.band, at)] : []), trace(line, panel, first, at)];
    });
  });
  layout.annotations = panels.map((panel, k) => ({
    ...panelTitle(panel.title, panelDomain(k % columns, columns, gaps.x)),
    y: panelDomain(rows - 1 - Math.floor(k / columns), rows, gaps.y)[1],
  }));
  return { data, layout: layout as Partial<Layout>, config: baseConfig(name), alt };
}

/** The k-th of n equal parts of a side. */
function panelDomain(k: number, n: number, gap: number): [number, number] {
  const part = (1 - gap * (n - 1)) / n;
  return [k * (part + gap), k * (part + gap) + part];
}

function band({ name, title, x, colour = colourOf(name) }: Line, ends: [number, number][], at: string): Data {
  return {
    type: "scatter",
    mode: "lines",
    x: [...x, ...x.slice().reverse()],
    y: [...ends.map(([low]) => low), ...ends.map(([, high]) => high).reverse()],
    fill: "toself",
    fillcolor: translucent(colour, 0.15),
    line: { width: 0 },
    hoverinfo: "skip",
    showlegend: false,
    legendgroup: title,
    xaxis: `x${at}`,
    yaxis: `y${at}`,
  } as Data;
}

function trace(
  { name, title, x, y, sd, band, dash = "solid", plain, colour = colourOf(name) }: Line,
  panel: Panel,
  legend: boolean,
  at: string,
) {
  const { unit = "", digits = 2 } = panel;
  const deviates = sd?.some((value) => value !== undefined);
  return {
    type: "scatter",
    mode: plain ? "lines" : "lines+markers",
    name: title,
    legendgroup: title,
    showlegend: legend,
    x,
    y,
    line: { color: colour, width: 2.2, dash },
    marker: { color: colour, size: 6 },
    ...(deviates
      ? { error_y: { type: "data", array: sd?.map((value) => value ?? 0), color: colour, thickness: 1.2, width: 3 } }
      : {}),
    customdata: y.map((value, k) => {
      const deviation = sd?.[k] === undefined ? "" : ` \u00b1 ${sd[k]?.toFixed(digits)}`;
      const interval = band ? ` [${band[k].map((end) => end.toFixed(digits)).join(", ")}]` : "";
      return `${value.toFixed(digits)}${deviation}${interval}`;
    }),
    hovertemplate: `${title}: %{customdata}${unit}<extra></extra>`,
    xaxis: `x${at}`,
    yaxis: `y${at}`,
  } as Data;
}
