/** Gain on base classes and loss on novel classes after each epoch, over datasets and seeds. */
import { changesOf } from "../results/forgetting";
import type { Run } from "../results/store";
import type { Labelled } from "../results/table";
import { type Line, linesFigure } from "./lines";
import type { Figure } from "./style";

/**
 * Change of accuracy in percentage points since the first epoch, with 95 % intervals as bands. Bands are drawn only for
 * more than 3 pairs (a pair is one dataset and one seed).
 */
export function trajectoryFigure(runs: Run[], methods: Labelled[]): Figure {
  const changes = methods.map((method) => ({
    method,
    changes: changesOf(runs.filter((run) => run.method === method.name)),
  }));
  const lines = (key: "base" | "novel"): Line[] =>
    changes.map(({ method, changes }) => ({
      ...method,
      x: changes.map(({ epoch }) => epoch),
      y: changes.map((change) => change[key].mean),
      band:
        changes[0][key].pairs > 3
          ? changes.map((change): [number, number] => [change[key].low, change[key].high])
          : undefined,
    }));
  const datasets = new Set(runs.map((run) => run.dataset)).size;
  const seeds = new Set(runs.map((run) => run.seed)).size;
  const count = (n: number, noun: string) => `${n} ${noun}${n === 1 ? "" : "s"}`;
  const summaries = changes.map(({ method, changes }) => {
    const { base, novel } = changes[changes.length - 1];
    return `${method.title} base ${base.mean.toFixed(1)}, novel ${novel.mean.toFixed(1)}`;
  });
  return linesFigure(
    `Points since the first epoch, ${count(datasets, "dataset")}, ${count(seeds, "seed")}`,
    "trajectory",
    [
      { title: "<b>Base</b>: the classes that were trained", x: "epoch", lines: lines("base") },
      { title: "<b>Novel</b>: classes never seen in training", x: "epoch", lines: lines("novel") },
    ],
    { alt: `Change of accuracy in points from the first to the last epoch: ${summaries.join("; ")}` },
  );
}
