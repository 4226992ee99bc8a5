/**
 * Reliability diagrams (Guo et al. 2017, arXiv 1706.04599, figure 1): accuracy over confidence in bins of the
 * confidence, beside the diagonal of perfect calibration, and below the share of the pictures in each bin.
 */
import type { Data, Layout } from "plotly.js-dist-min";
import type { Calibration, ReliabilityBin } from "../analysis/calibration";
import type { Labelled } from "../results/table";
import { axis, baseConfig, baseLayout, colourOf, type Figure, faintInk, panelTitle } from "./style";

/** Lower and upper end of the panels, as shares of the height. */
const panels: Record<"accuracy" | "share", [number, number]> = { accuracy: [0.4, 1], share: [0, 0.24] };

/** A classifier under its name. */
type Measured = { method: Labelled; calibration: Calibration };

const legendTitle = ({ method, calibration }: Measured) => `${method.title}, ECE ${calibration.ece.toFixed(1)} %`;

/** Points of one method, at the mean confidence of each bin, and bars of its bins' sizes. */
function traces(measured: Measured, names: string[]): Data[] {
  const { method, calibration } = measured;
  const { bins, count } = calibration;
  const filled = bins.filter((bin) => bin.count > 0);
  const range = ({ low, high }: ReliabilityBin) => `confidence ${low.toFixed(0)} to ${high.toFixed(0)} %`;
  const pictures = (bin: ReliabilityBin) => `n = ${bin.count} of ${count} pictures`;
  const common = { name: legendTitle(measured), legendgroup: method.name, xaxis: "x" };
  const colour = colourOf(method.name, names);
  const points = {
    ...common,
    type: "scatter",
    mode: "lines+markers",
    yaxis: "y",
    x: filled.map(({ confidence }) => confidence),
    y: filled.map(({ accuracy }) => accuracy),
    line: { color: colour, width: 2.2 },
    marker: { color: colour, size: 8 },
    cliponaxis: false,
    customdata: filled.map((bin) => [range(bin), pictures(bin)]),
    hovertemplate:
      `<b>${method.title}</b>, %{customdata[0]}<br>mean confidence %{x:.1f} %, accuracy %{y:.1f} %<br>` +
      "%{customdata[1]}<extra></extra>",
  };
  const bars = {
    ...common,
    type: "bar",
    yaxis: "y2",
    showlegend: false,
    x: bins.map(({ low, high }) => (low + high) / 2),
    y: bins.map((bin) => (100 * bin.count) / count),
    marker: { color: colour },
    customdata: bins.map((bin) => [range(bin), pictures(bin)]),
    hovertemplate: `<b>${method.title}</b>, %{customdata[0]}<br>%{y:.1f} %: %{customdata[1]}<extra></extra>`,
  };
  return [points, bars] as unknown as Data[];
}

/**
 * The calibration of one or more classifiers of the same pictures. A point below the diagonal is a bin in which the
 * classifier is overconfident; bins without pictures have none. The legend gives the expected calibration error.
 * @throws if there is nothing to draw
 */
export function calibrationFigure(title: string, measured: Measured[]): Figure {
  if (measured.length === 0) throw new Error("there is no calibration to draw");
  const names = measured.map(({ method }) => method.name);
  const diagonal = {
    type: "scatter",
    mode: "lines",
    name: "perfect calibration",
    x: [0, 100],
    y: [0, 100],
    line: { color: faintInk, width: 1.2, dash: "dot" },
    hoverinfo: "skip",
    xaxis: "x",
    yaxis: "y",
  } as const;
  const base = baseLayout(title, 560, [...measured.map(legendTitle), diagonal.name]);
  const percent = { ...axis, ticksuffix: " %" };
  const layout = {
    ...base,
    barmode: "group",
    bargap: 0.15,
    hovermode: "closest",
    xaxis: {
      ...percent,
      range: [0, 100],
      anchor: "y2",
      ticklabeloverflow: "allow",
      title: { text: "confidence: probability of the predicted class", font: { size: 13 }, standoff: 6 },
    },
    yaxis: { ...percent, range: [0, 100], domain: panels.accuracy },
    yaxis2: { ...percent, rangemode: "tozero", domain: panels.share, nticks: 4 },
    annotations: [
      { ...panelTitle("<b>Accuracy</b> of the pictures in each bin of confidence", [0, 1]), y: panels.accuracy[1] },
      { ...panelTitle("<b>Share of the pictures</b> in each bin", [0, 1]), y: panels.share[1] },
    ],
  } as unknown as Partial<Layout>;
  const summaries = measured.map(
    ({ method, calibration: { ece, accuracy, confidence, count } }) =>
      `${method.title} ${ece.toFixed(1)} (accuracy ${accuracy.toFixed(1)}, mean confidence ` +
      `${confidence.toFixed(1)}, ${count} pictures)`,
  );
  return {
    data: [...measured.flatMap((one) => traces(one, names)), diagonal as unknown as Data],
    layout,
    config: baseConfig("calibration"),
    alt: `${title}; expected calibration error (%): ${summaries.join("; ")}`,
  };
}
