/** Base, novel and harmonic-mean accuracy of each method as grouped bars, beside the averages that the paper prints. */
import type { Data, Layout } from "plotly.js-dist-min";
import { type Paper, paperBaseToNovel, paperTitle } from "../paper";
import type { Summary } from "../results/statistics";
import type { MethodScore, Named } from "../results/table";
import { axis, baseConfig, baseLayout, colourOf, type Figure, panelTitle } from "./style";
import { menu, type View, views } from "./views";

const metrics = ["base", "novel", "hm"] as const;
const labels = ["base", "novel", "harmonic mean"];
const panels: { ours: [number, number]; paper: [number, number] } = { ours: [0, 0.485], paper: [0.545, 1] };

/** Bars of one method in one panel. Deviations (over seeds) become error bars, numbers stand in or above the bars while they fit. */
function bars(
  method: Named,
  names: string[],
  values: (number | undefined)[],
  sds: (number | undefined)[],
  digits: number,
  panel: "x" | "x2",
  numbered: boolean,
): Data {
  const seeded = sds.some((sd) => sd !== undefined);
  const text = values.map((v) => (v === undefined ? "" : v.toFixed(digits)));
  const exact = values.map((v, k) =>
    v === undefined ? "" : `${v.toFixed(2)}${sds[k] === undefined ? "" : ` \u00b1 ${sds[k]?.toFixed(2)}`}`,
  );
  return {
    type: "bar",
    name: method.title,
    legendgroup: method.name,
    showlegend: panel === "x",
    offsetgroup: method.name,
    xaxis: panel,
    yaxis: panel === "x" ? "y" : "y2",
    x: labels,
    y: values.map((v) => v ?? null),
    marker: { color: colourOf(method.name, names) },
    error_y: { type: "data", array: sds.map((sd) => sd ?? 0), visible: seeded, color: "#3d434c", thickness: 1.2, width: 3 },
    text: numbered ? text : undefined,
    textposition: "inside",
    insidetextanchor: "start",
    textangle: 0,
    textfont: { size: 11, color: "#ffffff" },
    cliponaxis: false,
    customdata: exact,
    hovertemplate: `<b>${method.title}</b><br>%{x}: %{customdata} %<extra></extra>`,
  } as Data;
}

const values = (summary: Summary | undefined) => metrics.map((m) => summary?.[m].mean);
const deviations = (summary: Summary | undefined) => metrics.map((m) => summary?.[m].sd || undefined);

/**
 * Left our runs (with several datasets: their mean, and a menu for each), right the paper's averages over its 11 datasets for the
 * methods it has. Both panels share one percentage axis.
 * @throws when there is no run of the named methods
 */
export function baseNovelFigure(scores: MethodScore[], methods: Named[], paper: Paper): Figure {
  const shown = methods.filter((m) => scores.some((s) => s.method === m.name));
  if (shown.length === 0) throw new Error(`no run of ${methods.map((m) => m.name).join(", ")} to draw`);
  const names = shown.map((m) => m.name);
  const all = views(scores.filter((s) => names.includes(s.method)));
  const seeds = new Set(scores.map((s) => s.seed)).size;
  const numbered = shown.length <= 4;
  const ours = shown.map((m) => bars(m, names, values(all[0].of(m.name)), deviations(all[0].of(m.name)), 1, "x", numbered));
  const theirs = shown.flatMap((m) => {
    const row = paperBaseToNovel(paper, m.title);
    return row
      ? [
          bars(
            m,
            names,
            metrics.map((k) => row[k]),
            [],
            1,
            "x2",
            numbered,
          ),
        ]
      : [];
  });
  const heading = (label: string) => `<b>Ours</b>: ${label}, ${seeds > 1 ? `${seeds} seeds, \u00b1 standard deviation` : "one seed"}`;
  const buttons = all.map((view) => {
    const rows = shown.map((m) => view.of(m.name));
    const sds = rows.map(deviations);
    const exact = rows.map((r) =>
      metrics.map((k) => (r ? `${r[k].mean.toFixed(2)}${r[k].sd ? ` \u00b1 ${r[k].sd?.toFixed(2)}` : ""}` : "")),
    );
    return {
      label: view.label,
      method: "update" as const,
      args: [
        {
          y: rows.map(values),
          "error_y.array": sds.map((list) => list.map((sd) => sd ?? 0)),
          customdata: exact,
          ...(numbered ? { text: rows.map((r) => values(r).map((v) => v?.toFixed(1) ?? "")) } : {}),
        },
        { "annotations[0].text": heading(view.label) },
        shown.map((_, k) => k),
      ],
    };
  });
  const base = baseLayout("Accuracy on base and novel classes", 420);
  const top = Math.max(...[...ours, ...theirs].flatMap((t) => (t as { y: (number | null)[] }).y.map((v) => v ?? 0)));
  const percent = { ...axis, range: [0, Math.min(100, Math.ceil((top * 1.08) / 10) * 10)], ticksuffix: " %" };
  const layout = {
    ...base,
    barmode: "group",
    bargap: 0.22,
    bargroupgap: 0.06,
    xaxis: { ...axis, showgrid: false, domain: panels.ours, ticks: "", tickfont: { size: 13 } },
    xaxis2: { ...axis, showgrid: false, domain: panels.paper, ticks: "", tickfont: { size: 13 }, anchor: "y2" },
    yaxis: percent,
    yaxis2: { ...percent, matches: "y", anchor: "x2", showticklabels: false, ticks: "" },
    annotations: [
      panelTitle(heading(all[0].label), panels.ours),
      panelTitle(`<b>Paper</b>: mean of 11 datasets, ViT-B/16 (${paperTitle.split(",")[0]})`, panels.paper),
    ],
    ...menu(buttons),
  } as unknown as Partial<Layout>;
  return { data: [...ours, ...theirs], layout, config: baseConfig("base-novel"), alt: describe(shown, all[0]) };
}

const describe = (methods: Named[], view: View): string =>
  `Base, novel and harmonic-mean accuracy (%), ${view.label}: ${methods
    .map(
      (m) =>
        `${m.title} ${values(view.of(m.name))
          .map((v) => v?.toFixed(1))
          .join(" / ")}`,
    )
    .join("; ")}`;
