/** Cost of methods on the same classes: bars for each of four measures, from our measurements or from the paper. */
import type { Data, Layout } from "plotly.js-dist-min";
import { paperTitle } from "../results/paper";
import type { Labelled, Table } from "../results/table";
import { choiceFigure } from "./choice";
import { axis, baseConfig, baseLayout, colourOf, type Figure, faintInk, ink, panelTitle } from "./style";

/** A column of the cost table, its heading, and the number of decimals. */
type Measure = { key: string; title: string; digits: number };

const measuredColumns: Measure[] = [
  { key: "parameters", title: "numbers learnt", digits: 0 },
  { key: "GFLOP a step", title: "GFLOP a step", digits: 1 },
  { key: "ms a step", title: "ms a step", digits: 0 },
  { key: "pictures a second", title: "pictures/s tested", digits: 0 },
];
const paperColumns: Measure[] = [
  { key: "paperParameters", title: "numbers learnt", digits: 0 },
  { key: "paperTrain", title: "GFLOP, training", digits: 1 },
  { key: "paperMinutes", title: "training, min", digits: 1 },
  { key: "paperRate", title: "pictures/s tested", digits: 0 },
];

/**
 * Cost of each method: trainable parameters, operations and time, as we measured them and as the paper reports them.
 * @param table of the cost benchmark, for one dataset
 * @throws if the table has no row of these methods
 */
export function costFigure(table: Table, methods: Labelled[]): Figure {
  const rows = methods.flatMap((method) =>
    table.rows.filter((row) => row.method === method.title).map((row) => ({ method, row })),
  );
  if (rows.length === 0) throw new Error(`no cost of ${methods.map((m) => m.name).join(", ")} to draw`);
  const view = (heading: string, measures: Measure[]) => {
    const shown = rows.filter(({ row }) => measures.some(({ key }) => row[key] !== undefined));
    return barsFigure(heading, measures, shown);
  };
  const choices = [
    { label: "our numbers", figure: view(`<b>Ours</b>: ${rows[0].row.dataset}, this computer`, measuredColumns) },
  ];
  if (rows.some(({ row }) => row.paperTrain !== undefined)) {
    const heading = `<b>Paper</b>: SUN397, ViT-B/16, one A100 (${paperTitle.split(",")[0]})`;
    choices.push({ label: "the paper's numbers", figure: view(heading, paperColumns) });
  }
  return choiceFigure(choices);
}

function barsFigure(
  heading: string,
  measures: Measure[],
  rows: { method: Labelled; row: Table["rows"][number] }[],
): Figure {
  const gap = 0.05;
  const width = (1 - gap * (measures.length - 1)) / measures.length;
  const domains = measures.map((_, k): [number, number] => [k * (width + gap), k * (width + gap) + width]);
  const names = rows.map(({ method }) => method.title);
  const values = measures.map(({ key }) => rows.map(({ row }) => row[key] as number | undefined));
  const text = (value: number | undefined, digits: number) =>
    value === undefined
      ? ""
      : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const data = measures.map(
    ({ title, digits }, k) =>
      ({
        type: "bar",
        orientation: "h",
        name: title,
        showlegend: false,
        x: values[k].map((value) => value ?? null),
        y: names,
        xaxis: `x${k === 0 ? "" : k + 1}`,
        marker: { color: rows.map(({ method }) => colourOf(method.name)) },
        text: values[k].map((value) => text(value, digits)),
        textposition: "outside",
        textfont: { size: 12, color: ink },
        cliponaxis: false,
        hovertemplate: `<b>%{y}</b><br>${title}: %{text}<extra></extra>`,
      }) as unknown as Data,
  );
  const xaxes = values.map((measured, k) => {
    const largest = Math.max(...measured.map((value) => value ?? 0));
    return [
      `xaxis${k === 0 ? "" : k + 1}`,
      {
        ...axis,
        domain: domains[k],
        range: [0, largest * 1.5 || 1],
        showgrid: false,
        showticklabels: false,
        ticks: "",
        showline: false,
      },
    ];
  });
  const base = baseLayout("Cost of a method", 150 + 36 * rows.length);
  const layout = {
    ...base,
    title: { ...base.title, subtitle: { text: heading, font: { size: 13, color: faintInk } } },
    margin: { ...base.margin, b: 16 },
    bargap: 0.3,
    ...Object.fromEntries(xaxes),
    yaxis: {
      ...axis,
      autorange: "reversed",
      showgrid: false,
      ticks: "",
      ticklabelstandoff: 6,
      showline: false,
      tickfont: { size: 13, color: ink },
    },
    annotations: measures.map(({ title }, k) => panelTitle(`<b>${title}</b>`, domains[k])),
  } as unknown as Partial<Layout>;
  const summaries = rows.map(
    ({ method }, i) => `${method.title} ${measures.map(({ digits }, k) => text(values[k][i], digits)).join(" / ")}`,
  );
  return {
    data,
    layout,
    config: baseConfig("cost"),
    alt: `${measures.map(({ title }) => title).join(" / ")}: ${summaries.join("; ")}`,
  };
}
