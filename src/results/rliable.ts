/**
 * Robust summaries of few runs on several datasets, after Agarwal et al., Deep Reinforcement Learning at the Edge of
 * the Statistical Precipice, NeurIPS 2021 (the package rliable). Intervals are of the stratified bootstrap: they say
 * how far other seeds would move a number on the same datasets.
 */
import { type Range, stratifiedBootstrap } from "./bootstrap";
import { accuracyOf, type Metric, type Score, unique } from "./statistics";

/** The accuracies of one method by dataset: a list of its seeds for each. */
export const byDataset = (scores: Score[], metric: Metric, datasets = unique(scores.map((s) => s.dataset))) =>
  datasets.map((dataset) => scores.filter((s) => s.dataset === dataset).map((s) => accuracyOf(s, metric)));

/** The mean of the middle half: a quarter of the values, rounded down, is left out at either end. */
export function interquartileMean(values: number[]): number {
  const cut = Math.floor(values.length / 4);
  const middle = values
    .slice()
    .sort((a, b) => a - b)
    .slice(cut, values.length - cut);
  return middle.reduce((a, b) => a + b, 0) / middle.length;
}

/** The interquartile mean over all runs of a method, and its interval. */
export const interquartileInterval = (scores: Score[], metric: Metric): Range =>
  stratifiedBootstrap(byDataset(scores, metric), (strata) => interquartileMean(strata.flat()));

/**
 * How likely a run of ours is better than one of theirs on the same dataset, averaged over the datasets; a tie counts
 * half. 0.5 is no improvement.
 */
export function probabilityOfImprovement(ours: Score[], theirs: Score[], metric: Metric): Range {
  const datasets = unique(ours.map((s) => s.dataset)).filter((name) => theirs.some((s) => s.dataset === name));
  const [a, b] = [byDataset(ours, metric, datasets), byDataset(theirs, metric, datasets)];
  const won = (x: number[], y: number[]): number => {
    let count = 0;
    for (const value of x) for (const other of y) count += value > other ? 1 : value === other ? 0.5 : 0;
    return count / (x.length * y.length);
  };
  // Both methods' runs are strata, so that either is drawn by itself: first ours, then theirs.
  return stratifiedBootstrap(
    [...a, ...b],
    (strata) => {
      const first = strata.slice(0, a.length);
      return first.reduce((sum, values, k) => sum + won(values, strata[a.length + k]), 0) / a.length;
    },
    1000,
  );
}

/**
 * Performance profile: the share of all runs that are above each threshold, every dataset counting the same, and its
 * interval. `strata` holds the values of the runs by dataset.
 */
export function performanceProfile(strata: number[][], thresholds: number[]): Range[] {
  return thresholds.map((threshold) =>
    stratifiedBootstrap(
      strata.map((values) => values.map((value) => (value > threshold ? 1 : 0))),
      (drawn) =>
        drawn.reduce((sum, list) => sum + list.reduce<number>((a, b) => a + b, 0) / list.length, 0) / drawn.length,
      1000,
    ),
  );
}
