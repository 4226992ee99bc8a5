/**
 * Base, novel and harmonic-mean accuracy of each method as grouped bars, next to the averages reported in the paper.
 */
import type { Data, Layout } from "plotly.js-dist-min";
import { type Paper, paperAuthors, paperBaseToNovel } from "../results/paper";
import { overSeeds, type Summary } from "../results/statistics";
import type { Labelled, MethodScore } from "../results/table";
import { axis, baseConfig, baseLayout, colourOf, type Figure, panelTitle } from "./style";
import { exact, inWords, menu, unspread, views } from "./views";

const metrics = ["base", "novel", "hm"] as const;
const labels = ["base", "novel", "harmonic mean"];
const panelDomains: Record<"measured" | "paper", [number, number]> = { measured: [0, 0.485], paper: [0.545, 1] };

/**
 * Bars of one method in one panel. Standard deviations over seeds are drawn as error bars; if `numbered`, the values
 * are written inside the bars.
 */
function bars(
  method: Labelled,
  names: string[],
  summary: Summary | undefined,
  panel: "x" | "x2",
  numbered: boolean,
): Data {
  const { y, text, deviations, customdata } = values(summary);
  return {
    type: "bar",
    name: method.title,
    legendgroup: method.name,
    showlegend: panel === "x",
    offsetgroup: method.name,
    xaxis: panel,
    yaxis: panel === "x" ? "y" : "y2",
    x: labels,
    y,
    marker: { color: colourOf(method.name, names) },
    error_y: {
      type: "data",
      array: deviations,
      visible: deviations.some((sd) => sd > 0),
      color: "#3d434c",
      thickness: 1.2,
      width: 3,
    },
    text: numbered ? text : undefined,
    textposition: "inside",
    insidetextanchor: "start",
    textangle: 0,
    textfont: { size: 11, color: "#ffffff" },
    cliponaxis: false,
    customdata,
    hovertemplate: `<b>${method.title}</b><br>%{x}: %{customdata} %<extra></extra>`,
  } as Data;
}

/** The values that one trace shows of a method. */
function values(summary: Summary | undefined) {
  const spreads = metrics.map((m) => summary?.[m]);
  return {
    y: spreads.map((v) => v?.mean ?? null),
    text: spreads.map((v) => v?.mean.toFixed(1) ?? ""),
    deviations: spreads.map((v) => v?.sd ?? 0),
    customdata: spreads.map(exact),
  };
}

/**
 * The left panel shows our runs: the mean over the datasets, and a menu to choose single datasets if there are several.
 * The right panel shows the paper's averages over its 11 datasets, for those methods that it reports. Both panels share
 * one percentage axis.
 * @throws if there is no run of the named methods
 */
export function baseNovelFigure(scores: MethodScore[], methods: Labelled[], paper: Paper): Figure {
  const shown = methods.filter((m) => scores.some((s) => s.method === m.name));
  if (shown.length === 0) throw new Error(`no run of ${methods.map((m) => m.name).join(", ")} to draw`);
  const names = shown.map((m) => m.name);
  const all = views(scores.filter((s) => names.includes(s.method)));
  const numbered = shown.length <= 4;
  const measuredBars = shown.map((m) => bars(m, names, all[0].of(m.name), "x", numbered));
  const paperBars = shown.flatMap((m) => {
    const row = paperBaseToNovel(paper, m.title);
    return row ? [bars(m, names, unspread(row), "x2", numbered)] : [];
  });
  const others = shown.some((m) => paperBaseToNovel(paper, m.title)?.other);
  const heading = (label: string) => `<b>Ours</b>: ${label}, ${overSeeds(scores)}`;
  const buttons = all.map((view) => {
    const rows = shown.map((m) => values(view.of(m.name)));
    return {
      label: view.label,
      method: "update" as const,
      args: [
        {
          y: rows.map(({ y }) => y),
          "error_y.array": rows.map(({ deviations }) => deviations),
          customdata: rows.map(({ customdata }) => customdata),
          ...(numbered ? { text: rows.map(({ text }) => text) } : {}),
        },
        { "annotations[0].text": heading(view.label) },
        shown.map((_, k) => k),
      ],
    };
  });
  const base = baseLayout("Accuracy on base and novel classes", 420);
  const top = Math.max(
    ...[...measuredBars, ...paperBars].flatMap((t) => (t as { y: (number | null)[] }).y.map((v) => v ?? 0)),
  );
  const percent = { ...axis, range: [0, Math.min(100, Math.ceil((top * 1.08) / 10) * 10)], ticksuffix: " %" };
  const layout = {
    ...base,
    barmode: "group",
    bargap: 0.22,
    bargroupgap: 0.06,
    xaxis: { ...axis, showgrid: false, domain: panelDomains.measured, ticks: "", tickfont: { size: 13 } },
    xaxis2: { ...axis, showgrid: false, domain: panelDomains.paper, ticks: "", tickfont: { size: 13 }, anchor: "y2" },
    yaxis: percent,
    yaxis2: { ...percent, matches: "y", anchor: "x2", showticklabels: false, ticks: "" },
    annotations: [
      panelTitle(heading(all[0].label), panelDomains.measured),
      panelTitle(`<b>Paper</b>: mean of 11 datasets, ViT-B/16 (${paperAuthors(others)})`, panelDomains.paper),
    ],
    ...menu(buttons),
  } as unknown as Partial<Layout>;
  return {
    data: [...measuredBars, ...paperBars],
    layout,
    config: baseConfig("base-novel"),
    alt: inWords("Base to novel", all[0], shown),
  };
}
