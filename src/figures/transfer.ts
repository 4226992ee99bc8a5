/** What training on one dataset does to others: accuracy on each target less that of a reference, a dot per method. */
import type { Data, Layout } from "plotly.js-dist-min";
import type { AccuracyScore } from "../results/accuracy";
import { type PaperTable, paperTitle } from "../results/paper";
import { average, overSeeds, type Spread } from "../results/statistics";
import { type Labelled, signed } from "../results/table";
import { choiceFigure } from "./choice";
import { axis, baseConfig, baseLayout, colourOf, type Figure, faintInk, panelTitle } from "./style";
import { exact } from "./views";

/** Accuracy, and how much more than the reference's it is. */
type Cell = { accuracy: Spread; more: Spread };
type TransferPanel = {
  heading: string;
  source: string;
  columns: string[];
  rows: { method: Labelled; cells: (Cell | undefined)[] }[];
};

/** The column of the mean over the targets. */
const averaged = "average";

/**
 * Ours or, by the menu, the paper's: the dataset that was trained on, each target, the targets' average. Zero at the height of the first method
 * that there is, zero-shot CLIP where it was run. Bars are standard deviations over seeds.
 * @param scores of all datasets, `column` their names
 * @throws when there is no score
 */
export function transferFigure(
  title: string,
  scores: AccuracyScore[],
  source: string,
  methods: Labelled[],
  paper: PaperTable,
): Figure {
  const shown = methods.filter((method) => scores.some((s) => s.method === method.name));
  if (shown.length === 0) throw new Error(`no run of ${methods.map((m) => m.name).join(", ")} to draw`);
  const heading = (whose: string, of: Labelled, more: string) =>
    `<b>${whose}</b>: points more than ${of.title}; ${more}`;
  const mine = ourPanel(heading("Ours", shown[0], overSeeds(scores)), scores, source, shown);
  const printed = methods.filter((method) => paper.rows[method.title]);
  const views = [{ label: "our numbers", figure: dotsFigure(title, mine) }];
  if (printed.length > 1) {
    const theirs = paperPanel(heading("Paper", printed[0], `ViT-B/16 (${paperTitle.split(",")[0]})`), printed, paper);
    views.push({ label: "the paper's numbers", figure: dotsFigure(title, theirs) });
  }
  return choiceFigure(views);
}

function ourPanel(heading: string, scores: AccuracyScore[], source: string, methods: Labelled[]): TransferPanel {
  const targets = [...new Set(scores.map((s) => s.dataset))].filter((name) => name !== source).sort();
  const has = scores.some((s) => s.dataset === source);
  const columns = [...(has ? [source] : []), ...targets, ...(targets.length > 1 ? [averaged] : [])];
  const of = (method: Labelled, column: string) =>
    scores.filter(
      (s) => s.method === method.name && (column === averaged ? s.dataset !== source : s.dataset === column),
    );
  const [reference] = methods;
  const rows = methods.map((method) => ({
    method,
    cells: columns.map((column): Cell | undefined => {
      const own = of(method, column);
      const paired = own.flatMap((s) => {
        const other = of(reference, column).find((r) => r.dataset === s.dataset && r.seed === s.seed);
        return other ? [{ ...s, accuracy: s.accuracy - other.accuracy }] : [];
      });
      if (paired.length === 0 || (column === averaged && new Set(paired.map((s) => s.dataset)).size < targets.length))
        return undefined;
      return { accuracy: average(own), more: average(paired) };
    }),
  }));
  return { heading, source, columns, rows };
}

function paperPanel(heading: string, methods: Labelled[], { columns, rows }: PaperTable): TransferPanel {
  const single = (mean: number): Spread => ({ mean, n: 1 });
  const reference = rows[methods[0].title];
  const cells = (values: number[]) =>
    values.map((value, k): Cell => ({ accuracy: single(value), more: single(value - reference[k]) }));
  return {
    heading,
    source: columns[0],
    columns,
    rows: methods.map((method) => ({ method, cells: cells(rows[method.title]) })),
  };
}

function dotsFigure(title: string, { heading, source, columns, rows }: TransferPanel): Figure {
  const names = rows.map(({ method }) => method.name);
  const step = 0.72 / rows.length;
  const data = rows.map(({ method, cells }, k) => {
    const offset = (k - (rows.length - 1) / 2) * step;
    return {
      type: "scatter",
      mode: "markers",
      name: method.title,
      x: columns.map((_, c) => c + offset),
      y: cells.map((cell) => cell?.more.mean ?? null),
      error_y: {
        type: "data",
        array: cells.map((cell) => cell?.more.sd ?? 0),
        color: colourOf(method.name, names),
        thickness: 1.3,
        width: 0,
      },
      marker: { color: colourOf(method.name, names), size: 9 },
      customdata: cells.map(
        (cell, c) => cell && `${columns[c]}: ${exact(cell.accuracy)} % (${signed(cell.more.mean, 2)})`,
      ),
      hovertemplate: `<b>${method.title}</b><br>%{customdata}<extra></extra>`,
    } as unknown as Data;
  });
  const apart = columns.flatMap((column, c) => (column === source || column === averaged ? [c] : []));
  const layout = {
    ...baseLayout(
      title,
      460,
      rows.map(({ method }) => method.title),
    ),
    xaxis: {
      ...axis,
      showgrid: false,
      range: [-0.55, columns.length - 0.45],
      tickvals: columns.map((_, c) => c),
      ticktext: columns.map((column, c) =>
        c === 0 ? `<b>${column}</b><br>trained on` : column === averaged ? `<b>${column}</b>` : column,
      ),
      ticks: "",
    },
    yaxis: { ...axis, zeroline: true, zerolinecolor: "#8a8f98", zerolinewidth: 1.4 },
    shapes: apart.map((c) => ({
      type: "rect",
      layer: "below",
      xref: "x",
      yref: "paper",
      x0: c - 0.5,
      x1: c + 0.5,
      y0: 0,
      y1: 1,
      fillcolor: "#f3f4f6",
      line: { width: 0 },
    })),
    annotations: [{ ...panelTitle(heading, [0, 1]), font: { size: 13, color: faintInk } }],
  } as unknown as Partial<Layout>;
  const said = rows.map(
    ({ method, cells }) => `${method.title} ${cells[cells.length - 1]?.accuracy.mean.toFixed(1) ?? "-"}`,
  );
  return {
    data,
    layout,
    config: baseConfig("transfer"),
    alt: `${title}, ${columns[columns.length - 1]} (%): ${said.join("; ")}`,
  };
}
