/** Line plots in one or several panels, for anything measured at a few points, such as epochs or numbers of shots. */
import type { Data, Layout } from "plotly.js-dist-min";
import { axis, baseConfig, baseLayout, colourOf, type Figure, panelTitle, symbolOf, translucent } from "./style";

/**
 * `name` determines the colour. `title` appears in the legend, once for all panels. The standard deviations `sd`, if
 * given, are drawn as error bars. `band` holds the lower and the upper end of an interval at each point.
 */
export type Line = {
  name: string;
  title: string;
  x: number[];
  y: number[];
  sd?: (number | undefined)[];
  band?: [number, number][];
  dash?: "solid" | "dash" | "dot";
  /** Draws the line without markers at its points. */
  plain?: boolean;
  colour?: string;
  symbol?: string;
};

/**
 * `log` names the axes with a logarithmic scale. `ticks` are the values at which the x axis is labelled. `unit` is
 * appended to the numbers, such as " %".
 */
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

type LinesLayout = { height?: number; columns?: number; alt: string };

/** Gap between neighbouring panels, as a share of the figure's width (x) or height (y). */
const gaps = { x: 0.075, y: 0.2 };

/**
 * Arranges the panels in rows of `columns` panels; by default all are in one row. `name` is the file name proposed when
 * the figure is saved with Plotly's camera button.
 */
export function linesFigure(
  title: string,
  name: string,
  panels: Panel[],
  { height = 400, columns = panels.length, alt }: LinesLayout,
): Figure {
  const rows = Math.ceil(panels.length / columns);
  const titles = new Set(panels.flatMap(({ lines }) => lines.map((line) => line.title)));
  const layout: Record<string, unknown> = { ...baseLayout(title, height, [...titles]), hovermode: "x" };
  const titlesInLegend = new Set<string>();
  const data = panels.flatMap((panel, k) => {
    const suffix = k === 0 ? "" : `${k + 1}`;
    const xDomain = panelDomain(k % columns, columns, gaps.x);
    const yDomain = panelDomain(rows - 1 - Math.floor(k / columns), rows, gaps.y);
    layout[`xaxis${suffix}`] = {
      ...axis,
      showgrid: false,
      domain: xDomain,
      anchor: `y${suffix}`,
      title: { text: panel.x, font: { size: 13 }, standoff: 6 },
      ...(panel.log?.includes("x") ? { type: "log" } : {}),
      ...(panel.ticks ? { tickvals: panel.ticks, ticktext: panel.ticks.map(String), minor: { ticks: "" } } : {}),
    };
    layout[`yaxis${suffix}`] = {
      ...axis,
      domain: yDomain,
      anchor: `x${suffix}`,
      ticksuffix: panel.unit,
      ...(panel.log?.includes("y") ? { type: "log", dtick: 1, minor: { ticks: "" } } : {}),
      ...(panel.fromZero ? { rangemode: "tozero" } : {}),
    };
    return panel.lines.flatMap((line) => {
      const showInLegend = !titlesInLegend.has(line.title);
      titlesInLegend.add(line.title);
      return [...(line.band ? [band(line, line.band, suffix)] : []), trace(line, panel, showInLegend, suffix)];
    });
  });
  layout.annotations = panels.map((panel, k) => ({
    ...panelTitle(panel.title, panelDomain(k % columns, columns, gaps.x)),
    y: panelDomain(rows - 1 - Math.floor(k / columns), rows, gaps.y)[1],
  }));
  return { data, layout: layout as Partial<Layout>, config: baseConfig(name), alt };
}

/** Start and end of the k-th of n equal panels along one side, as shares of that side. */
function panelDomain(k: number, n: number, gap: number): [number, number] {
  const size = (1 - gap * (n - 1)) / n;
  return [k * (size + gap), k * (size + gap) + size];
}

function band({ name, title, x, colour = colourOf(name) }: Line, interval: [number, number][], suffix: string): Data {
  return {
    type: "scatter",
    mode: "lines",
    x: [...x, ...x.slice().reverse()],
    y: [...interval.map(([low]) => low), ...interval.map(([, high]) => high).reverse()],
    fill: "toself",
    fillcolor: translucent(colour, 0.15),
    line: { width: 0 },
    hoverinfo: "skip",
    showlegend: false,
    legendgroup: title,
    xaxis: `x${suffix}`,
    yaxis: `y${suffix}`,
  } as Data;
}

function trace(
  { name, title, x, y, sd, band, dash = "solid", plain, colour = colourOf(name), symbol = symbolOf(name) }: Line,
  panel: Panel,
  legend: boolean,
  suffix: string,
) {
  const { unit = "", digits = 2 } = panel;
  const hasDeviations = sd?.some((value) => value !== undefined);
  return {
    type: "scatter",
    mode: plain ? "lines" : "lines+markers",
    name: title,
    legendgroup: title,
    showlegend: legend,
    x,
    y,
    line: { color: colour, width: 2.2, dash },
    marker: { color: colour, symbol, size: 7 },
    ...(hasDeviations
      ? { error_y: { type: "data", array: sd?.map((value) => value ?? 0), color: colour, thickness: 1.2, width: 3 } }
      : {}),
    customdata: y.map((value, k) => {
      const deviation = sd?.[k] === undefined ? "" : ` \u00b1 ${sd[k]?.toFixed(digits)}`;
      const interval = band ? ` [${band[k].map((end) => end.toFixed(digits)).join(", ")}]` : "";
      return `${value.toFixed(digits)}${deviation}${interval}`;
    }),
    hovertemplate: `${title}: %{customdata}${unit}<extra></extra>`,
    xaxis: `x${suffix}`,
    yaxis: `y${suffix}`,
  } as Data;
}
