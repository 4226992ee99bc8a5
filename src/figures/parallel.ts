/** Parallel coordinates for sweeps: a line a variant through its settings and its accuracies. */
import type { Data, Layout } from "plotly.js-dist-min";
import type { Labelled, MethodScore } from "../results/table";
import { axis, baseConfig, baseLayout, colourOf, equalSpans, type Figure, ink, translucent } from "./style";
import { exact, inWords, menu, metricPanels, underTitle, views } from "./views";

/** A variant and the values of its settings, the same settings for all. */
type SweepRow = Labelled & { at: Record<string, number | string> };

const height = 420; // pixels

/** The distinct values of a setting from the smallest to the largest; words keep their order. */
const levelsOf = (rows: SweepRow[], setting: string): (number | string)[] => {
  const levels = [...new Set(rows.map(({ at }) => at[setting]))];
  return levels.every((level) => typeof level === "number") ? levels.sort((a, b) => Number(a) - Number(b)) : levels;
};

/** Round numbers within a range, four or so. */
function ticksOf([low, high]: [number, number]): number[] {
  const step = [1, 2, 5, 10, 20].find((size) => (high - low) / size <= 6) ?? 25;
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, k) => (first + k) * step);
}

/**
 * Vertical axes for each setting, evenly spaced over the values that were run, then base, novel and harmonic-mean
 * accuracy (%), whose axes span the same number of points. A line is a variant, the stronger the higher its harmonic
 * mean. The menu offers the mean over the datasets and each dataset.
 * @throws if there is no run of the named rows
 */
export function parallelFigure(title: string, scores: MethodScore[], rows: SweepRow[]): Figure {
  const shown = rows.filter((row) => scores.some((s) => s.method === row.name));
  if (shown.length === 0) throw new Error(`no run of ${rows.map((row) => row.name).join(", ")} to draw`);
  const settings = Object.keys(shown[0].at);
  const levels = settings.map((setting) => levelsOf(shown, setting));
  const all = views(scores.filter((s) => shown.some(({ name }) => name === s.method)));
  const place = (value: number, [low, high]: [number, number]) => (value - low) / (high - low);
  const settingPlace = (k: number, value: number | string) =>
    levels[k].length < 2 ? 0.5 : levels[k].indexOf(value) / (levels[k].length - 1);

  const drawn = all.map((view) => {
    const summaries = shown.map(({ name }) => view.of(name));
    const ranges = equalSpans(metricPanels.map(({ key }) => summaries.flatMap((s) => s?.[key].mean ?? [])));
    const hms = summaries.map((s) => s?.hm.mean ?? 0);
    const [least, most] = [Math.min(...hms), Math.max(...hms)];
    const blue = colourOf("promptsrc");
    return {
      heights: shown.map((row, r) => [
        ...settings.map((setting, k) => settingPlace(k, row.at[setting])),
        ...metricPanels.map(({ key }, k) => place(summaries[r]?.[key].mean ?? Number.NaN, ranges[k])),
      ]),
      colours: hms.map((hm) => translucent(blue, most > least ? 0.2 + 0.8 * ((hm - least) / (most - least)) ** 2 : 1)),
      hovers: shown.map((row, r) => {
        const lines = [
          `<b>${row.title}</b>`,
          settings.map((setting) => `${setting} ${row.at[setting]}`).join(", "),
          ...metricPanels.map(({ key }) => `${key === "hm" ? "HM" : key} ${exact(summaries[r]?.[key])} %`),
          `n = ${summaries[r]?.hm.n} seed${summaries[r]?.hm.n === 1 ? "" : "s"}`,
        ];
        return [...settings, ...metricPanels].map(() => lines.join("<br>"));
      }),
      ticks: metricPanels.flatMap((_, k) =>
        ticksOf(ranges[k]).map((value) => tick(`${value}`, settings.length + k, place(value, ranges[k]))),
      ),
    };
  });
  const [first] = drawn;
  const columns = [...settings, ...metricPanels.map(({ title }) => title.replace("Harmonic mean", "HM"))];
  const data = shown.map(
    (row, r) =>
      ({
        type: "scatter",
        mode: "lines+markers",
        name: row.title,
        showlegend: false,
        x: columns.map((_, k) => k),
        y: first.heights[r],
        text: first.hovers[r],
        line: { color: first.colours[r], width: 2.2 },
        marker: { color: first.colours[r], size: 6 },
        hovertemplate: "%{text}<extra></extra>",
        cliponaxis: false,
      }) as unknown as Data,
  );
  const settingTicks = levels.flatMap((list, k) => list.map((value) => tick(`${value}`, k, settingPlace(k, value))));
  const headings = columns.map((text, k) => ({
    ...tick(text, k, 1),
    xanchor: "center",
    yanchor: "bottom",
    xshift: 0,
    yshift: 10,
    font: { size: 13, color: ink },
  }));
  const heading = (label: string) => `Ours: ${label}; the stronger a line, the higher its harmonic mean`;
  const buttons = drawn.map((view, v) => ({
    label: all[v].label,
    method: "update",
    args: [
      {
        y: view.heights,
        text: view.hovers,
        "line.color": view.colours,
        "marker.color": view.colours,
      },
      {
        "title.subtitle.text": heading(all[v].label),
        annotations: [...headings, ...settingTicks, ...view.ticks],
      },
    ],
  }));
  const base = baseLayout(title, height);
  const hidden = { ...axis, showgrid: false, showline: false, showticklabels: false, ticks: "" };
  const layout = {
    ...base,
    title: underTitle(base, heading(all[0].label)),
    margin: { ...base.margin, l: 20, r: 30, b: 24 },
    hovermode: "closest",
    xaxis: { ...hidden, range: [-0.35, columns.length - 0.8] },
    yaxis: { ...hidden, range: [-0.04, 1.04] },
    shapes: columns.map((_, k) => ({
      type: "line",
      layer: "below",
      x0: k,
      x1: k,
      y0: 0,
      y1: 1,
      line: { color: "#b9bec6", width: 1.2 },
    })),
    annotations: [...headings, ...settingTicks, ...first.ticks],
    ...menu(buttons, 1 + 96 / (height - 128)),
  } as unknown as Partial<Layout>;
  return { data, layout, config: baseConfig("parallel"), alt: inWords(title, all[0], shown) };
}

/** A label to the left of a vertical axis. */
const tick = (text: string, axisNumber: number, at: number) => ({
  text,
  showarrow: false,
  x: axisNumber,
  y: at,
  xanchor: "right",
  yanchor: "middle",
  xshift: -6,
  font: { size: 11, color: ink },
});
