/**
 * Statistics of accuracies over seeds and datasets. All accuracies are in percent. A `Score` is the base and novel
 * accuracy of one run; each dataset has one run per seed.
 */
import { mean, median, sampleStandardDeviation } from "simple-statistics";

export { median };

/**
 * `setting` identifies all that determines a run besides dataset and seed, if it is known. Only runs with the same
 * setting are averaged.
 */
export type Score = { dataset: string; seed: number; base: number; novel: number; setting?: string };
/** Mean over seeds and sample standard deviation (divisor n - 1); undefined for a single seed. */
export type Spread = { mean: number; sd?: number; n: number };
export type Summary = { base: Spread; novel: Spread; hm: Spread };
/** Which accuracy of a run is compared. */
export type Metric = "base" | "novel" | "hm";

/** Harmonic mean of base and novel accuracy, 2BN / (B + N); 0 if both are 0. */
export const harmonicMean = (base: number, novel: number): number =>
  base + novel === 0 ? 0 : (2 * base * novel) / (base + novel);

export const spread = (values: number[]): Spread => ({
  mean: mean(values),
  sd: values.length > 1 ? sampleStandardDeviation(values) : undefined,
  n: values.length,
});

/** The base accuracy, the novel accuracy or the harmonic mean of both, of one run. */
export const accuracyOf = ({ base, novel }: Score, metric: Metric): number =>
  metric === "hm" ? harmonicMean(base, novel) : metric === "base" ? base : novel;

export const unique = <T>(values: T[]): T[] => [...new Set(values)];

/**
 * Text that says what a mean is over: `3 seeds, +- standard deviation` (printed with a plus-minus sign), or `one seed`.
 */
export function overSeeds(scores: { seed: number }[]): string {
  const seeds = unique(scores.map((s) => s.seed)).length;
  return seeds > 1 ? `${seeds} seeds, \u00b1 standard deviation` : "one seed";
}

/**
 * Checks that runs to be averaged over seeds differ in nothing but the seed.
 * @throws if a dataset has two runs with the same seed, or runs with different settings, whose mean would be
 * meaningless
 */
export function checkOnlySeedsDiffer(scores: { dataset: string; seed: number; setting?: string }[]): void {
  const byDataset = new Map<string, { seeds: Set<number>; setting?: string }>();
  for (const { dataset, seed, setting } of scores) {
    const earlier = byDataset.get(dataset);
    if (earlier === undefined) byDataset.set(dataset, { seeds: new Set([seed]), setting });
    else if (earlier.setting !== setting || earlier.seeds.has(seed)) {
      const reason =
        earlier.setting === setting
          ? `seed ${seed} stands twice`
          : `they differ in ${differingKeys(earlier.setting, setting)}`;
      throw new Error(
        `runs on ${dataset} cannot be averaged: ${reason}. Only seeds may differ, so give each its own table row`,
      );
    } else earlier.seeds.add(seed);
  }
}

/** The keys in which two settings (JSON objects) differ. */
function differingKeys(a = "{}", b = "{}"): string {
  const [first, second] = [JSON.parse(a), JSON.parse(b)] as Record<string, unknown>[];
  const keys = unique([...Object.keys(first), ...Object.keys(second)]);
  return keys.filter((key) => JSON.stringify(first[key]) !== JSON.stringify(second[key])).join(", ");
}

/**
 * Summary of one dataset over its seeds. HM is the harmonic mean of the mean base and the mean novel accuracy, as in
 * the paper's tables; its standard deviation is that of the harmonic means of the individual seeds.
 */
export function summarise(scores: Score[]): Summary {
  checkOnlySeedsDiffer(scores);
  const base = spread(scores.map((s) => s.base));
  const novel = spread(scores.map((s) => s.novel));
  const hm = spread(scores.map((s) => harmonicMean(s.base, s.novel)));
  return { base, novel, hm: { ...hm, mean: harmonicMean(base.mean, novel.mean) } };
}

/**
 * Average over datasets with equal weight. HM is the harmonic mean of the mean base and the mean novel accuracy (the
 * paper's rule: PromptSRC's 84.26 and 76.10 give 79.97, while the mean of its 11 HMs is 79.77). The standard deviations
 * are those of the averages of each seed, over the seeds that every dataset has.
 */
export function summariseAverage(scores: Score[]): Summary {
  checkOnlySeedsDiffer(scores);
  const datasets = unique(scores.map((s) => s.dataset));
  const averageOf = (group: Score[], key: "base" | "novel") =>
    mean(datasets.map((d) => mean(group.filter((s) => s.dataset === d).map((s) => s[key]))));
  const completeSeeds = unique(scores.map((s) => s.seed)).filter((seed) =>
    datasets.every((d) => scores.some((s) => s.dataset === d && s.seed === seed)),
  );
  const perSeed = completeSeeds.map((seed) => {
    const ofSeed = scores.filter((s) => s.seed === seed);
    return { dataset: "average", seed, base: averageOf(ofSeed, "base"), novel: averageOf(ofSeed, "novel") };
  });
  const deviation = (values: number[]) => (values.length > 1 ? sampleStandardDeviation(values) : undefined);
  const [base, novel] = [averageOf(scores, "base"), averageOf(scores, "novel")];
  const n = perSeed.length;
  return {
    base: { mean: base, sd: deviation(perSeed.map((s) => s.base)), n },
    novel: { mean: novel, sd: deviation(perSeed.map((s) => s.novel)), n },
    hm: { mean: harmonicMean(base, novel), sd: deviation(perSeed.map((s) => harmonicMean(s.base, s.novel))), n },
  };
}

/**
 * Average of a single accuracy over datasets with equal weight. The standard deviation is that of the averages of each
 * seed, over the seeds that every dataset has.
 */
export function average(scores: { dataset: string; seed: number; accuracy: number; setting?: string }[]): Spread {
  return summariseAverage(scores.map((score) => ({ ...score, base: score.accuracy, novel: score.accuracy }))).base;
}

/**
 * The scores of an unfinished grid that can be compared: those on the datasets and seeds that all methods have.
 * Methods with more runs come first; a method that shares no dataset and seed with them is left out.
 */
export function comparable<S extends Score & { method: string }>(scores: S[]): S[] {
  const runs = new Map(
    unique(scores.map((s) => s.method)).map((method) => [method, scores.filter((s) => s.method === method)]),
  );
  const pairOf = ({ dataset, seed }: Score) => `${dataset} ${seed}`;
  const byRuns = [...runs.values()].sort((a, b) => b.length - a.length);
  const shared = byRuns.reduce(
    (common, ofMethod) => {
      const both = ofMethod.map(pairOf).filter((name) => common.includes(name));
      return both.length > 0 ? both : common;
    },
    (byRuns[0] ?? []).map(pairOf),
  );
  const isComplete = (method: string) => shared.every((name) => runs.get(method)?.some((s) => pairOf(s) === name));
  return scores.filter((s) => shared.includes(pairOf(s)) && isComplete(s.method));
}
