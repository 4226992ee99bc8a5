/** The terms of the loss over the epochs of a training, as the runs record them. */
import type { Run } from "../results/store";
import type { Labelled } from "../results/table";
import { type Line, linesFigure } from "./lines";
import { colourOf, type Figure } from "./style";

/**
 * A panel for each term of the loss, weighted as in the training, and for their total: a line for each row, the mean
 * over its runs. Terms that a row does not have are left out of its lines, and runs that were not trained, which have
 * no epochs, are passed over.
 * @throws if no run has recorded losses
 */
export function lossesFigure(title: string, rows: (Labelled & { runs: Run[] })[]): Figure {
  const trained = rows
    .map(({ runs, ...row }) => ({ ...row, epochs: runs.map((run) => run.epochs).filter((list) => list.length > 0) }))
    .filter(({ epochs }) => epochs.length > 0);
  const terms = [...new Set(trained.flatMap(({ epochs }) => Object.keys(epochs[0][0].losses)))];
  const names = trained.map(({ name }) => name);
  if (terms.length === 0) throw new Error("no run has recorded losses: run a method that is trained");
  const linesOf = (term: string): Line[] =>
    trained.flatMap(({ name, title, epochs }) => {
      if (!(term in epochs[0][0].losses)) return [];
      const length = Math.min(...epochs.map((list) => list.length));
      const meanAt = (e: number) => epochs.reduce((sum, list) => sum + list[e].losses[term], 0) / epochs.length;
      const upTo = Array.from({ length }, (_, e) => e);
      const colour = colourOf(name, names);
      return [{ name, title, colour, x: upTo.map((e) => e + 1), y: upTo.map(meanAt), plain: true }];
    });
  const panels = terms.map((term) => ({ title: `<b>${term}</b>`, x: "epoch", digits: 3, lines: linesOf(term) }));
  const columns = Math.min(3, panels.length);
  const last = (line: Line) => line.y[line.y.length - 1].toFixed(3);
  const total = panels[terms.indexOf("total")] ?? panels[0];
  return linesFigure(title, "losses", panels, {
    columns,
    height: 120 + 230 * Math.ceil(panels.length / columns),
    alt: `${title}; total at the end: ${total.lines.map((line) => `${line.title} ${last(line)}`).join(", ")}`,
  });
}
