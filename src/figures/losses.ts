/** What a training did in each epoch, as the runs record it: the terms of the loss, gradients, and the path it went. */
import type { EpochResult, Run } from "../results/store";
import type { Labelled } from "../results/table";
import { choiceFigure } from "./choice";
import { type Line, linesFigure, type Panel } from "./lines";
import { colourOf, type Figure } from "./style";

type Trained = Labelled & { epochs: EpochResult[][] };

/**
 * A panel for each term of the loss, weighted as in the training, and for their total: a line for each row, the mean
 * over its runs. Terms that a row does not have are left out of its lines, and runs that were not trained, which have
 * no epochs, are passed over.
 * @throws if no run has recorded losses
 */
export function lossesFigure(title: string, rows: (Labelled & { runs: Run[] })[]): Figure {
  return drawn(title, "losses", termPanels(trainedOf(rows)));
}

/**
 * The panels of `lossesFigure`, then the mean length of the gradient and the distance of the prompts from their start,
 * both Euclidean over all prompts; runs older than these records lack them. A menu leads from the mean over the
 * datasets to each of them.
 * @throws if no run has recorded losses
 */
export function trainingFigure(title: string, rows: (Labelled & { runs: Run[] })[]): Figure {
  const of = (chosen: (run: Run) => boolean): Figure => {
    const trained = trainedOf(rows.map((row) => ({ ...row, runs: row.runs.filter(chosen) })));
    const panels = [
      panelOf("length of the <b>gradient</b>", trained, ({ gradientNorm }) => gradientNorm),
      { ...panelOf("<b>distance</b> from the start", trained, ({ distance }) => distance), fromZero: true },
    ];
    return drawn(title, "training", [...termPanels(trained), ...panels.filter(({ lines }) => lines.length > 0)]);
  };
  const datasets = [...new Set(rows.flatMap(({ runs }) => runs.map(({ dataset }) => dataset)))];
  if (datasets.length < 2) return of(() => true);
  return choiceFigure([
    { label: `mean of ${datasets.length} datasets`, figure: of(() => true) },
    ...datasets.map((label) => ({ label, figure: of(({ dataset }) => dataset === label) })),
  ]);
}

/** The rows that were trained. @throws if there is none */
function trainedOf(rows: (Labelled & { runs: Run[] })[]): Trained[] {
  const trained = rows
    .map(({ runs, name, title }) => ({
      name,
      title,
      epochs: runs.map((run) => run.epochs).filter((e) => e.length > 0),
    }))
    .filter(({ epochs }) => epochs.length > 0);
  if (trained.length === 0) throw new Error("no run has recorded losses: run a method that is trained");
  return trained;
}

const termPanels = (rows: Trained[]): Panel[] =>
  [...new Set(rows.flatMap(({ epochs }) => Object.keys(epochs[0][0].losses)))].map((term) =>
    panelOf(`<b>${term}</b>`, rows, ({ losses }) => losses[term]),
  );

/** The mean over the runs of each row of a number of every epoch, for the rows whose runs all record it. */
function panelOf(title: string, rows: Trained[], numberOf: (epoch: EpochResult) => number | undefined): Panel {
  const names = rows.map(({ name }) => name);
  const lines = rows.flatMap(({ name, title, epochs }): Line[] => {
    const curves = epochs.map((list) => list.flatMap((epoch) => numberOf(epoch) ?? []));
    const length = Math.min(...curves.map((curve) => curve.length));
    if (length === 0) return [];
    const upTo = Array.from({ length }, (_, e) => e);
    const y = upTo.map((e) => curves.reduce((sum, curve) => sum + curve[e], 0) / curves.length);
    return [{ name, title, colour: colourOf(name, names), x: upTo.map((e) => e + 1), y, plain: true }];
  });
  return { title, x: "epoch", digits: 3, lines };
}

function drawn(title: string, name: string, panels: Panel[]): Figure {
  const columns = Math.min(3, panels.length);
  const last = (line: Line) => line.y[line.y.length - 1].toFixed(3);
  const ends = panels.slice(-Math.min(3, panels.length)).map((panel) => {
    const what = panel.title.replace(/<[^>]*>/g, "");
    return `${what} ${panel.lines.map((line) => `${line.title} ${last(line)}`).join(", ")}`;
  });
  return linesFigure(title, name, panels, {
    columns,
    height: 120 + 230 * Math.ceil(panels.length / columns),
    alt: `${title}; at the end: ${ends.join("; ")}`,
  });
}
