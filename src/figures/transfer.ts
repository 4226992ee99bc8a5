/** Transfer from one source dataset to others: a method's accuracy on each target minus that of a reference method. */
import type { Data, Layout } from "plotly.js-dist-min";
import type { AccuracyScore } from "../results/accuracy";
import { type PaperTable, paperTitle } from "../results/paper";
import { average, overSeeds, type Spread } from "../results/statistics";
import { type Labelled, signed } from "../results/table";
import { choiceFigure } from "./choice";
import { axis, baseConfig, baseLayout, colourOf, type Figure, faintInk, panelTitle, symbolOf } from "./style";
import { exact } from "./views";

/** Accuracy, and its difference from the accuracy of the reference method. */
type Cell = { accuracy: Spread; difference: Spread };
type TransferPanel = {
  heading: string;
  source: string;
  columns: string[];
  rows: { method: Labelled; cells: (Cell | undefined)[] }[];
};

/** Name of the column with the mean over the targets. */
const averageColumn = "average";

/**
 * Columns for the source dataset (the one trained on), each target, and the average over the targets; a menu chooses
 * between our numbers and the paper's. Zero is the accuracy of the first method that has scores, which is zero-shot
 * CLIP if it was run. Error bars are standard deviations over seeds.
 * @param scores of all datasets, with the dataset's name in `column`
 * @throws if there is no score
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
  const heading = (numbersFrom: string, reference: Labelled, conditions: string) =>
    `<b>${numbersFrom}</b>: points more than ${reference.title}; ${conditions}`;
  const measured = measuredPanel(heading("Ours", shown[0], overSeeds(scores)), scores, source, shown);
  const inPaper = methods.filter((method) => paper.rows[method.title]);
  const views = [{ label: "our numbers", figure: dotsFigure(title, measured) }];
  if (inPaper.length > 1) {
    const paperHeading = heading("Paper", inPaper[0], `ViT-B/16 (${paperTitle.split(",")[0]})`);
    views.push({
      label: "the paper's numbers",
      figure: dotsFigure(title, paperPanel(paperHeading, inPaper, paper)),
    });
  }
  return choiceFigure(views);
}

function measuredPanel(heading: string, scores: AccuracyScore[], source: string, methods: Labelled[]): TransferPanel {
  const targets = [...new Set(scores.map((s) => s.dataset))].filter((name) => name !== source).sort();
  const hasSource = scores.some((s) => s.dataset === source);
  const columns = [...(hasSource ? [source] : []), ...targets, ...(targets.length > 1 ? [averageColumn] : [])];
  const scoresOf = (method: Labelled, column: string) =>
    scores.filter(
      (s) => s.method === method.name && (column === averageColumn ? s.dataset !== source : s.dataset === column),
    );
  const [reference] = methods;
  const rows = methods.map((method) => ({
    method,
    cells: columns.map((column): Cell | undefined => {
      const cellScores = scoresOf(method, column);
      const differences = cellScores.flatMap((s) => {
        const referenceScore = scoresOf(reference, column).find((r) => r.dataset === s.dataset && r.seed === s.seed);
        return referenceScore ? [{ ...s, accuracy: s.accuracy - referenceScore.accuracy }] : [];
      });
      if (
        differences.length === 0 ||
        (column === averageColumn && new Set(differences.map((s) => s.dataset)).size < targets.length)
      )
        return undefined;
      return { accuracy: average(cellScores), difference: average(differences) };
    }),
  }));
  return { heading, source, columns, rows };
}

function paperPanel(heading: string, methods: Labelled[], { columns, rows }: PaperTable): TransferPanel {
  const single = (mean: number): Spread => ({ mean, n: 1 });
  const reference = rows[methods[0].title];
  const cells = (values: number[]) =>
    values.map((value, k): Cell => ({ accuracy: single(value), difference: single(value - reference[k]) }));
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
      y: cells.map((cell) => cell?.difference.mean ?? null),
      error_y: {
        type: "data",
        array: cells.map((cell) => cell?.difference.sd ?? 0),
        color: colourOf(method.name, names),
        thickness: 1.3,
        width: 0,
      },
      marker: { color: colourOf(method.name, names), symbol: symbolOf(method.name, names), size: 9 },
      customdata: cells.map(
        (cell, c) => cell && `${columns[c]}: ${exact(cell.accuracy)} % (${signed(cell.difference.mean, 2)})`,
      ),
      hovertemplate: `<b>${method.title}</b><br>%{customdata}<extra></extra>`,
    } as unknown as Data;
  });
  const shaded = columns.flatMap((column, c) => (column === source || column === averageColumn ? [c] : []));
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
        c === 0 ? `<b>${column}</b><br>trained on` : column === averageColumn ? `<b>${column}</b>` : column,
      ),
      ticks: "",
    },
    yaxis: { ...axis, zeroline: true, zerolinecolor: "#8a8f98", zerolinewidth: 1.4 },
    shapes: shaded.map((c) => ({
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
  const summaries = rows.map(
    ({ method, cells }) => `${method.title} ${cells[cells.length - 1]?.accuracy.mean.toFixed(1) ?? "-"}`,
  );
  return {
    data,
    layout,
    config: baseConfig("transfer"),
    alt: `${title}, ${columns[columns.length - 1]} (%): ${summaries.join("; ")}`,
  };
}
