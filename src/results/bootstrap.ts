/**
 * Bootstrap intervals of averages over datasets, and of their differences between methods. All are 95 % percentile
 * intervals, and the draws are the same each time.
 */
import { quantileSorted } from "simple-statistics";
import { seeded } from "../util/random";
import { checkOnlySeedsDiffer, harmonicMean, type Metric, type Score, unique } from "./statistics";

/** A mean and the ends of its 95 % interval. */
export type Range = { mean: number; low: number; high: number };
/** `p` is the two-sided p-value of no difference, and `pairs` is the number of pairs of runs. */
export type Interval = Range & { p: number; pairs: number };

/** Averages of a method over the datasets: first the measured ones, then those of each draw. */
export type Averages = { base: Float64Array; novel: Float64Array; runs: number };

/**
 * Averages of several methods in the same draws, so that any two of them can be compared. Datasets are drawn with
 * replacement, and within each drawn dataset its seeds, so that runs on one dataset are not treated as independent.
 * @param methods runs of each method, all on the same datasets and seeds
 * @param metric names the sequence of draws: each metric has its own
 */
export function bootstrapAverages(methods: Score[][], metric: Metric, draws = 10_000): Averages[] {
  const datasets = unique(methods[0].map((s) => s.dataset)).map((name) => ({
    name,
    seeds: methods[0].filter((s) => s.dataset === name).map((s) => s.seed),
  }));
  const runs = methods.map((scores) =>
    datasets.map(({ name, seeds }) =>
      seeds.map((seed) => scores.find((s) => s.dataset === name && s.seed === seed) as Score),
    ),
  );
  const averages = methods.map((scores) => ({
    base: new Float64Array(draws + 1),
    novel: new Float64Array(draws + 1),
    runs: scores.length,
  }));
  const random = seeded("paired bootstrap", metric);
  const everySeed = datasets.map(({ seeds }) => seeds.map((_, k) => k));
  for (let draw = 0; draw <= draws; draw++) {
    // The first is the measured average: every dataset and seed once.
    const chosen = datasets.map((_, d) => (draw === 0 ? d : random.int(datasets.length)));
    const seeds = chosen.map((d) => (draw === 0 ? everySeed[d] : everySeed[d].map(() => random.pick(everySeed[d]))));
    for (let m = 0; m < methods.length; m++) {
      let [base, novel] = [0, 0];
      for (let k = 0; k < chosen.length; k++) {
        let [baseOfDataset, novelOfDataset] = [0, 0];
        for (const seed of seeds[k]) {
          const run = runs[m][chosen[k]][seed];
          baseOfDataset += run.base;
          novelOfDataset += run.novel;
        }
        base += baseOfDataset / seeds[k].length;
        novel += novelOfDataset / seeds[k].length;
      }
      averages[m].base[draw] = base / chosen.length;
      averages[m].novel[draw] = novel / chosen.length;
    }
  }
  return averages;
}

/**
 * `ours - theirs` in the draws of `bootstrapAverages`; for `hm`, of the average HM (see `summariseAverage`). The
 * p-value is twice the share of draws on the smaller side of zero (Davison and Hinkley, Bootstrap Methods and their
 * Application, 1997, section 4.2), so that it is below 0.05 where the interval excludes zero.
 */
export function differenceOf(ours: Averages, theirs: Averages, metric: Metric): Interval {
  const averageOf = ({ base, novel }: Averages, draw: number) =>
    metric === "hm" ? harmonicMean(base[draw], novel[draw]) : metric === "base" ? base[draw] : novel[draw];
  const differences = ours.base.map((_, draw) => averageOf(ours, draw) - averageOf(theirs, draw));
  const values = Array.from(differences.subarray(1).slice().sort());
  const smallerSide = Math.min(values.filter((v) => v <= 0).length, values.filter((v) => v >= 0).length);
  return {
    mean: differences[0],
    low: quantileSorted(values, 0.025),
    high: quantileSorted(values, 0.975),
    p: Math.min(1, (2 * (1 + smallerSide)) / (1 + values.length)),
    pairs: ours.runs,
  };
}

/**
 * 95 % interval of `ours - theirs` by a paired bootstrap over datasets and their seeds (see `bootstrapAverages`). Only
 * the datasets and seeds that both methods have are used.
 * @throws if the methods have no dataset and seed in common
 */
export function pairedBootstrap(ours: Score[], theirs: Score[], metric: Metric, draws?: number): Interval {
  checkOnlySeedsDiffer(ours);
  checkOnlySeedsDiffer(theirs);
  const pairs = ours.flatMap((a) => {
    const b = theirs.find((s) => s.dataset === a.dataset && s.seed === a.seed);
    return b ? [[a, b]] : [];
  });
  if (pairs.length === 0) throw new Error("no dataset and seed was run with both methods");
  const [first, second] = bootstrapAverages([pairs.map(([a]) => a), pairs.map(([, b]) => b)], metric, draws);
  return differenceOf(first, second, metric);
}

/**
 * 95 % interval of a statistic by the stratified bootstrap: in each draw, every stratum's values are drawn anew with
 * replacement. With the datasets as strata it says how far other seeds would move the statistic on these datasets.
 */
export function stratifiedBootstrap<T>(strata: T[][], statistic: (strata: T[][]) => number, draws = 2000): Range {
  const random = seeded("stratified bootstrap");
  const resample = () => strata.map((values) => values.map(() => random.pick(values)));
  const values = Array.from({ length: draws }, () => statistic(resample())).sort((a, b) => a - b);
  return { mean: statistic(strata), low: quantileSorted(values, 0.025), high: quantileSorted(values, 0.975) };
}
