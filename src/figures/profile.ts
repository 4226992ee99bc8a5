/** Performance profile over datasets and seeds (Agarwal et al., NeurIPS 2021; after Dolan and Moré, 2002). */
import { byDataset, performanceProfile } from "../results/rliable";
import { comparable, type Metric, unique } from "../results/statistics";
import type { Labelled, MethodScore } from "../results/table";
import { choiceFigure } from "./choice";
import { type Line, linesFigure } from "./lines";
import { colourOf, type Figure } from "./style";

const titles: Record<Metric, string> = { hm: "harmonic mean", base: "base accuracy", novel: "novel accuracy" };
/** Points of a curve; and up to this many curves have a band. */
const [points, mostBands] = [41, 6];

const meanOf = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/**
 * For each method the share of its runs that gain more than so many points over a reference on the same dataset (its
 * mean over seeds), with 95 % bands over seeds (stratified bootstrap) if there are at most 6 methods. A curve that is
 * higher everywhere is better everywhere. The menu chooses harmonic mean, base or novel accuracy.
 * @param reference name of the method whose accuracy is zero
 * @throws if the reference or all others have no runs
 */
export function profileFigure(title: string, scores: MethodScore[], methods: Labelled[], reference: string): Figure {
  const shared = comparable(scores.filter((s) => methods.some(({ name }) => name === s.method)));
  const datasets = unique(shared.map((s) => s.dataset));
  const runsOf = (name: string) => shared.filter((s) => s.method === name);
  const against = methods.find(({ name }) => name === reference && runsOf(name).length > 0);
  const shown = methods.filter((method) => method.name !== reference && runsOf(method.name).length > 0);
  if (against === undefined || shown.length === 0)
    throw new Error(
      `a profile needs runs of "${reference}" and of another of ${methods.map((m) => m.name).join(", ")}`,
    );
  const names = shown.map(({ name }) => name);
  const figureOf = (metric: Metric): Figure => {
    const zero = byDataset(runsOf(reference), metric, datasets).map(meanOf);
    const gains = names.map((name) =>
      byDataset(runsOf(name), metric, datasets).map((values, d) => values.map((value) => value - zero[d])),
    );
    const every = gains.flat(2);
    const [low, high] = [Math.floor(Math.min(...every)), Math.ceil(Math.max(...every))];
    const thresholds = Array.from({ length: points }, (_, k) => low + ((high - low) * k) / (points - 1));
    const lines = shown.map(({ name, title }, m): Line => {
      const shares = performanceProfile(gains[m], thresholds);
      return {
        name,
        title,
        x: thresholds,
        y: shares.map(({ mean }) => 100 * mean),
        ...(shown.length <= mostBands && { band: shares.map((s): [number, number] => [100 * s.low, 100 * s.high]) }),
        plain: true,
        colour: colourOf(name, names),
      };
    });
    const runs = `n = ${runsOf(names[0]).length} runs each, ${datasets.length} datasets`;
    const panel = {
      title: `<b>share of runs</b> that gain more (%), ${runs}`,
      x: `points above ${against.title} in ${titles[metric]}`,
      lines,
      unit: " %",
      digits: 0,
    };
    const middle = thresholds.findIndex((value) => value >= 0);
    const alt = `${title}; share of runs above ${against.title} in ${titles[metric]}: ${lines
      .map((line) => `${line.title} ${line.y[middle].toFixed(0)} %`)
      .join(", ")}`;
    return linesFigure(title, "profile", [panel], { height: 440, alt });
  };
  return choiceFigure(
    (["hm", "base", "novel"] as const).map((metric) => ({ label: titles[metric], figure: figureOf(metric) })),
  );
}
