/** Base and novel accuracy after every epoch, which shows when a method begins to forget. */

import type { Data, Layout } from "plotly.js-dist-min";
import { mean } from "simple-statistics";
import { checkOnlySeedsDiffer, spread } from "../results/statistics";
import { type Run, settingOf } from "../results/store";
import type { Labelled } from "../results/table";
import {
  axis,
  baseConfig,
  baseLayout,
  colourOf,
  equalSpans,
  type Figure,
  faintInk,
  panelTitle,
  symbolOf,
  translucent,
} from "./style";
import { exact } from "./views";

const panels: { key: "base" | "novel"; title: string; domain: [number, number] }[] = [
  { key: "base", title: "<b>Base</b>: the classes that were trained", domain: [0, 0.475] },
  { key: "novel", title: "<b>Novel</b>: classes never seen in training", domain: [0.545, 1] },
];

/**
 * One panel for base and one for novel classes. Each method in `methods` is a line over its epochs: the mean over its
 * runs, with a band of one standard deviation if there are several runs. A diamond marks the accuracy of the final
 * prompts, which for PromptSRC are the average over the epochs by GPA. `zeroShot` is drawn as a dashed line.
 * @throws if the runs of a method contain no accuracy per epoch
 */
export function forgettingFigure(runs: Run[], methods: Labelled[], zeroShot: Labelled): Figure {
  const last = Math.max(...runs.flatMap((r) => r.epochs.map((e) => e.epoch)));
  const data = panels.flatMap((panel, k) => {
    const axes = { xaxis: k === 0 ? "x" : "x2", yaxis: k === 0 ? "y" : "y2" };
    const lines = methods.flatMap((method) => lineOf(runs, method, panel.key, k === 0, axes));
    const frozen = runs.filter((r) => r.method === zeroShot.name);
    return frozen.length > 0 ? [zeroShotLine(frozen, zeroShot, panel.key, last, k === 0, axes), ...lines] : lines;
  });
  data.push(finalMark);
  const ranges = equalSpans(
    ["y", "y2"].map((axisName) =>
      data.filter((t) => (t as PanelAxes).yaxis === axisName).flatMap((t) => (t as { y: number[] }).y),
    ),
  );
  const datasets = [...new Set(runs.map((r) => r.dataset))];
  const seeds = new Set(runs.map((r) => r.seed)).size;
  const epochs = {
    ...axis,
    showgrid: false,
    title: { text: "epoch", font: { size: 13 }, standoff: 6 },
    range: [0.4, last + 0.6],
  };
  const layout = {
    ...baseLayout(`Accuracy after every epoch, ${datasets.join(", ")}${seeds > 1 ? `, ${seeds} seeds` : ""}`, 400),
    hovermode: "x",
    xaxis: { ...epochs, domain: panels[0].domain },
    xaxis2: { ...epochs, domain: panels[1].domain, anchor: "y2" },
    yaxis: { ...axis, ticksuffix: " %", range: ranges[0] },
    yaxis2: { ...axis, ticksuffix: " %", range: ranges[1], anchor: "x2" },
    annotations: panels.map((p) => panelTitle(p.title, p.domain)),
  } as unknown as Partial<Layout>;
  return { data, layout, config: baseConfig("forgetting"), alt: altText(runs, methods) };
}

/** A trace without data, which gives the diamonds an entry in the legend. */
const finalMark = {
  type: "scatter",
  mode: "markers",
  name: "final prompts",
  x: [null],
  y: [null],
  marker: { color: "#ffffff", size: 11, symbol: "diamond", line: { color: faintInk, width: 2.2 } },
  hoverinfo: "skip",
} as unknown as Data;

type PanelAxes = { xaxis: string; yaxis: string };

function lineOf(runs: Run[], method: Labelled, key: "base" | "novel", legend: boolean, axes: PanelAxes): Data[] {
  const methodRuns = runs.filter((r) => r.method === method.name);
  checkOnlySeedsDiffer(methodRuns.map((run) => ({ ...run, setting: settingOf(run) })));
  const epochs = (methodRuns[0]?.epochs ?? []).filter((e) => e.metrics).map((e) => e.epoch);
  if (epochs.length === 0)
    throw new Error(`the runs of ${method.title} hold no accuracy per epoch; run them with perEpoch: true`);
  const colour = colourOf(method.name);
  const points = epochs.map((epoch) =>
    spread(methodRuns.flatMap((r) => r.epochs.find((e) => e.epoch === epoch)?.metrics?.[key] ?? [])),
  );
  const means = points.map((p) => p.mean);
  const band = points.some((p) => p.sd !== undefined)
    ? [
        {
          type: "scatter",
          mode: "lines",
          x: [...epochs, ...epochs.slice().reverse()],
          y: [...points.map((p) => p.mean + (p.sd ?? 0)), ...points.map((p) => p.mean - (p.sd ?? 0)).reverse()],
          fill: "toself",
          fillcolor: translucent(colour, 0.15),
          line: { width: 0 },
          hoverinfo: "skip",
          showlegend: false,
          legendgroup: method.name,
          ...axes,
        },
      ]
    : [];
  const line = {
    type: "scatter",
    mode: "lines+markers",
    name: method.title,
    legendgroup: method.name,
    showlegend: legend,
    x: epochs,
    y: means,
    line: { color: colour, width: 2.4 },
    marker: { color: colour, symbol: symbolOf(method.name), size: 6 },
    customdata: points.map(exact),
    hovertemplate: `${method.title}: %{customdata} %<extra></extra>`,
    ...axes,
  };
  const final = {
    type: "scatter",
    mode: "markers",
    name: `${method.title}, final prompts`,
    legendgroup: method.name,
    showlegend: false,
    x: [epochs[epochs.length - 1]],
    y: [mean(methodRuns.map((r) => r.metrics[key]))],
    marker: { color: "#ffffff", size: 11, symbol: "diamond", line: { color: colour, width: 2.2 } },
    hovertemplate: `${method.title}, final prompts: %{y:.2f} %<extra></extra>`,
    cliponaxis: false,
    ...axes,
  };
  return [...band, line, final] as Data[];
}

function zeroShotLine(
  runs: Run[],
  method: Labelled,
  key: "base" | "novel",
  epochs: number,
  legend: boolean,
  axes: PanelAxes,
): Data {
  const value = mean(runs.map((r) => r.metrics[key]));
  return {
    type: "scatter",
    mode: "lines",
    name: `${method.title}, zero-shot`,
    legendgroup: method.name,
    showlegend: legend,
    x: [1, epochs],
    y: [value, value],
    line: { color: colourOf(method.name), width: 2, dash: "dash" },
    hovertemplate: `${method.title}: ${value.toFixed(2)} %<extra></extra>`,
    ...axes,
  } as Data;
}

function altText(runs: Run[], methods: Labelled[]): string {
  const parts = methods.map((m) => {
    const methodRuns = runs.filter((r) => r.method === m.name);
    const first = methodRuns[0].epochs.find((e) => e.metrics)?.metrics;
    const final = mean(methodRuns.map((r) => r.metrics.novel));
    return `${m.title} novel ${first?.novel.toFixed(1)} after the first epoch, ${final.toFixed(1)} at the end`;
  });
  return `Base and novel accuracy (%) after every epoch: ${parts.join("; ")}`;
}
