/** Tables of what the differences between methods, and the accuracies themselves, are worth. */
import { mean } from "simple-statistics";
import { UsageError } from "../util/errors";
import { pairedBootstrap, type Range } from "./bootstrap";
import { differs, intervalText, withHolm } from "./differences";
import { deviationOverDatasets, deviationOverSeeds, pairsNeeded, pictureError } from "./power";
import { byDataset, interquartileInterval, probabilityOfImprovement } from "./rliable";
import { holm, wilcoxonSignedRank } from "./significance";
import { comparable, type Metric, type Score, type Summary, summariseAverage, unique } from "./statistics";
import type { Column, Labelled, MethodScore, Table, Value } from "./table";

const metricTitles: Record<Metric, string> = { base: "base accuracy", novel: "novel accuracy", hm: "harmonic mean" };

const pText = (p: number | undefined): Value => (p === undefined ? undefined : p < 0.001 ? "< 0.001" : p.toFixed(3));
const rangeText = ({ mean, low, high }: Range, digits: number): string =>
  `${mean.toFixed(digits)} [${low.toFixed(digits)}, ${high.toFixed(digits)}]`;

/** Our accuracy less theirs in each run that both have: a list of the seeds for each dataset. */
export function pairedDifferences(ours: Score[], theirs: Score[], metric: Metric): number[][] {
  const datasets = unique(ours.map((s) => s.dataset));
  const [a, b] = [ours, theirs].map((scores) =>
    byDataset(
      scores.slice().sort((x, y) => x.seed - y.seed),
      metric,
      datasets,
    ),
  );
  return a.map((values, d) => values.map((value, k) => value - b[d][k]));
}

/**
 * Every method against one of them, in one accuracy (`metric`: "base", "novel" or "hm", the default), over the datasets
 * and seeds that all have. The columns are
 * - the difference in points with its 95 % interval, and its p-value, by the paired bootstrap over datasets and seeds
 * - the exact p-value of Wilcoxon's signed-rank test over the datasets (means over seeds), and how many are won
 * - the probability that a run is better than one of the reference, with its interval over seeds
 * - how many seeds on these datasets, and how many datasets of this kind, would find a difference of 1 point
 *
 * Both p-values are after Holm's correction for the number of methods compared.
 * @throws UsageError if the reference is none of the methods with runs
 */
export function statisticsTable(
  scores: MethodScore[],
  methods: Labelled[],
  { reference, metric = "hm" }: { reference: string; metric?: Metric },
): Table {
  const shared = comparable(scores);
  const scoresOf = (name: string) => shared.filter((s) => s.method === name);
  const available = methods.filter(({ name }) => scoresOf(name).length > 0);
  const against = available.find(({ name }) => name === reference);
  if (against === undefined)
    throw new UsageError(
      `no run of "${reference}" to compare with; there are ${available.map((m) => m.name).join(", ")}`,
    );
  const others = available.filter((method) => method !== against);
  const theirs = scoresOf(reference);
  const intervals = withHolm(others.map(({ name }) => pairedBootstrap(scoresOf(name), theirs, metric)));
  const differences = others.map(({ name }) => pairedDifferences(scoresOf(name), theirs, metric));
  const means = differences.map((list) => list.map((ofDataset) => mean(ofDataset)));
  const signedRank = holm(means.map(wilcoxonSignedRank));
  const rows = others.map((method, k): Record<string, Value> => {
    const interval = intervals[k];
    const [seeds, datasets] = [deviationOverSeeds(differences[k]), deviationOverDatasets(differences[k])];
    return {
      method: method.title,
      difference: interval && intervalText(interval, differs(interval)),
      p: pText(interval?.corrected),
      signedRank: pText(signedRank[k]),
      won: `${means[k].filter((d) => d > 0).length} of ${means[k].length}`,
      probability: rangeText(probabilityOfImprovement(scoresOf(method.name), theirs, metric), 2),
      seeds: seeds === undefined ? undefined : pairsNeeded(seeds),
      datasets: datasets === undefined ? undefined : pairsNeeded(datasets),
    };
  });
  const number = unique(theirs.map((s) => s.dataset)).length;
  return {
    title: `Against ${against.title}: ${metricTitles[metric]}, ${number} datasets`,
    columns: [
      { key: "method", title: "method" },
      { key: "difference", title: "difference" },
      { key: "p", title: "bootstrap", group: "p, Holm-corrected" },
      { key: "signedRank", title: "signed-rank", group: "p, Holm-corrected" },
      { key: "won", title: "datasets won" },
      { key: "probability", title: "P(better run)" },
      { key: "seeds", title: "seeds", group: "needed for 1 point", digits: 0 },
      { key: "datasets", title: "datasets", group: "needed for 1 point", digits: 0 },
    ],
    rows,
    note:
      "Difference in points with its 95 % interval (paired bootstrap over datasets and seeds); * p < 0.05 after Holm's " +
      `correction for ${others.length} comparisons. Signed-rank: Wilcoxon's exact test over the datasets. P(better run): ` +
      "of two runs on one dataset, with its interval over seeds (stratified bootstrap). Needed: for a power of 80 % at " +
      "5 %, two-sided; seeds on these datasets, or further datasets like these.",
  };
}

/** The numbers of base and novel test pictures by dataset. */
export type TestPictures = Record<string, { base: number; novel: number }>;

/** Standard errors of the average over datasets that come from the test pictures being a sample. */
function pictureErrors(scores: Score[], pictures: TestPictures, { base, novel }: Summary) {
  const datasets = unique(scores.map((s) => s.dataset));
  const errorOf = (metric: "base" | "novel") => {
    const errors = byDataset(scores, metric, datasets).map((values, d) =>
      pictureError(mean(values), pictures[datasets[d]][metric]),
    );
    return Math.hypot(...errors) / datasets.length;
  };
  const errors = { base: errorOf("base"), novel: errorOf("novel") };
  // The derivatives of 2BN / (B + N) are 2N^2 / (B + N)^2 and 2B^2 / (B + N)^2.
  const slope = (other: number) => 2 * (other / (base.mean + novel.mean)) ** 2;
  return { ...errors, hm: Math.hypot(slope(novel.mean) * errors.base, slope(base.mean) * errors.novel) };
}

/**
 * For each method and accuracy: the mean over datasets and seeds, the standard error that it has from the seeds, and
 * the one from the test pictures, which no further seed makes smaller. Then the interquartile mean of the harmonic mean
 * over all runs with its interval over seeds.
 * @param pictures the numbers of test pictures by dataset
 */
export function uncertaintyTable(scores: MethodScore[], methods: Labelled[], pictures: TestPictures): Table {
  const shared = comparable(scores);
  const rows = methods.flatMap((method): Record<string, Value>[] => {
    const ofMethod = shared.filter((s) => s.method === method.name);
    if (ofMethod.length === 0) return [];
    const summary = summariseAverage(ofMethod);
    const errors = pictureErrors(ofMethod, pictures, summary);
    const cells = (["base", "novel", "hm"] as const).flatMap((metric): [string, Value][] => {
      const { mean, sd, n } = summary[metric];
      return [
        [metric, mean],
        [`${metric} seeds`, sd === undefined ? undefined : sd / Math.sqrt(n)],
        [`${metric} pictures`, errors[metric]],
      ];
    });
    const iqm = rangeText(interquartileInterval(ofMethod, "hm"), 1);
    return [{ method: method.title, ...Object.fromEntries(cells), iqm }];
  });
  const columns = (["base", "novel", "hm"] as const).flatMap((metric): Column[] => {
    const group = metric === "hm" ? "HM" : metric;
    return [
      { key: metric, title: "mean", group },
      { key: `${metric} seeds`, title: "seeds", group, digits: 2 },
      { key: `${metric} pictures`, title: "pictures", group, digits: 2 },
    ];
  });
  return {
    title: "Accuracy (%) and its standard errors",
    columns: [{ key: "method", title: "method" }, ...columns, { key: "iqm", title: "interquartile mean", group: "HM" }],
    rows,
    note:
      "Seeds: standard error of the mean over the seeds. Pictures: of the test pictures as a sample (binomial), the same " +
      "pictures for every seed, so that more seeds do not lower it; methods share the pictures, so that differences " +
      "between them have less of it. Interquartile mean: of the middle half of all runs, 95 % interval over seeds.",
  };
}
