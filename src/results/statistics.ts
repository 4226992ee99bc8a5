/**
 * Statistics of accuracies over seeds and datasets. All accuracies are percentages.
 * A `Score` is one run's base and novel accuracy; a grid is read as dataset -> its runs, one per seed.
 */
import { mean, median, quantileSorted, sampleStandardDeviation } from "simple-statistics";
import { seeded } from "../util/random";

export { median };

/** `setting` names all that a run was made with besides dataset and seed, where that is known: only runs that share it are averaged. */
export type Score = { dataset: string; seed: number; base: number; novel: number; setting?: string };
/** Mean over seeds and the sample standard deviation (n - 1), which one seed does not have. */
export type Spread = { mean: number; sd?: number; n: number };
export type Summary = { base: Spread; novel: Spread; hm: Spread };
export type Interval = { mean: number; low: number; high: number; pairs: number };

/** Harmonic mean of base and novel accuracy, 2BN / (B + N); 0 if both are 0. */
export const harmonicMean = (base: number, novel: number): number =>
  base + novel === 0 ? 0 : (2 * base * novel) / (base + novel);

export const spread = (values: number[]): Spread => ({
  mean: mean(values),
  sd: values.length > 1 ? sampleStandardDeviation(values) : undefined,
  n: values.length,
});

const unique = <T>(values: T[]): T[] => [...new Set(values)];

/** What stands behind a mean: `3 seeds, +- standard deviation` with the real sign, or `one seed`. */
export function overSeeds(scores: { seed: number }[]): string {
  const seeds = unique(scores.map((s) => s.seed)).length;
  return seeds > 1 ? `${seeds} seeds, \u00b1 standard deviation` : "one seed";
}

/**
 * What is averaged over seeds may differ in nothing but the seed.
 * @throws where a dataset has two runs of one seed, or runs of different settings: their mean would be the accuracy of nothing
 */
export function checkOnlySeedsDiffer(scores: { dataset: string; seed: number; setting?: string }[]): void {
  const known = new Map<string, { seeds: Set<number>; setting?: string }>();
  for (const { dataset, seed, setting } of scores) {
    const before = known.get(dataset);
    if (before === undefined) known.set(dataset, { seeds: new Set([seed]), setting });
    else if (before.setting !== setting || before.seeds.has(seed)) {
      const how =
        before.setting === setting
          ? `seed ${seed} stands twice`
          : `they differ in ${whatDiffers(before.setting, setting)}`;
      throw new Error(
        `runs on ${dataset} cannot be averaged, ${how}: only seeds may differ, so make a row of a table for each`,
      );
    } else before.seeds.add(seed);
  }
}

function whatDiffers(a = "{}", b = "{}"): string {
  const [one, other] = [JSON.parse(a), JSON.parse(b)] as Record<string, unknown>[];
  const keys = unique([...Object.keys(one), ...Object.keys(other)]);
  return keys.filter((key) => JSON.stringify(one[key]) !== JSON.stringify(other[key])).join(", ");
}

/**
 * One dataset over its seeds. HM is that of the mean base and the mean novel accuracy, as in the paper's tables;
 * its deviation is that of the seeds' own harmonic means.
 */
export function summarise(scores: Score[]): Summary {
  checkOnlySeedsDiffer(scores);
  const base = spread(scores.map((s) => s.base));
  const novel = spread(scores.map((s) => s.novel));
  const hm = spread(scores.map((s) => harmonicMean(s.base, s.novel)));
  return { base, novel, hm: { ...hm, mean: harmonicMean(base.mean, novel.mean) } };
}

/**
 * The average over datasets: each dataset counts alike, HM = HM of the mean base and the mean novel accuracy (the
 * paper's rule: PromptSRC 84.26 and 76.10 give 79.97, while the mean of its 11 HMs is 79.77). Deviations are those of the
 * seeds' averages, over the seeds that every dataset has.
 */
export function summariseAverage(scores: Score[]): Summary {
  checkOnlySeedsDiffer(scores);
  const datasets = unique(scores.map((s) => s.dataset));
  const average = (of: Score[], key: "base" | "novel") =>
    mean(datasets.map((d) => mean(of.filter((s) => s.dataset === d).map((s) => s[key]))));
  const complete = unique(scores.map((s) => s.seed)).filter((seed) =>
    datasets.every((d) => scores.some((s) => s.dataset === d && s.seed === seed)),
  );
  const perSeed = complete.map((seed) => {
    const of = scores.filter((s) => s.seed === seed);
    return { dataset: "average", seed, base: average(of, "base"), novel: average(of, "novel") };
  });
  const deviation = (values: number[]) => (values.length > 1 ? sampleStandardDeviation(values) : undefined);
  const [base, novel] = [average(scores, "base"), average(scores, "novel")];
  const n = perSeed.length;
  return {
    base: { mean: base, sd: deviation(perSeed.map((s) => s.base)), n },
    novel: { mean: novel, sd: deviation(perSeed.map((s) => s.novel)), n },
    hm: { mean: harmonicMean(base, novel), sd: deviation(perSeed.map((s) => harmonicMean(s.base, s.novel))), n },
  };
}

/** One accuracy, each dataset counting alike; the deviation is that of the seeds' averages, over the seeds that every dataset has. */
export function average(scores: { dataset: string; seed: number; accuracy: number; setting?: string }[]): Spread {
  return summariseAverage(scores.map((score) => ({ ...score, base: score.accuracy, novel: score.accuracy }))).base;
}

/**
 * 95 % percentile interval of `ours - theirs` by a paired bootstrap: datasets are drawn with replacement, and within each
 * drawn dataset its seeds, so that runs on one dataset are not taken for independent ones. Both methods keep the same
 * draw. For `hm` the statistic is the average HM (see `summariseAverage`). Only datasets and seeds that both have are used;
 * without any, this throws.
 */
export function pairedBootstrap(
  ours: Score[],
  theirs: Score[],
  metric: "base" | "novel" | "hm",
  draws = 10_000,
): Interval {
  checkOnlySeedsDiffer(ours);
  checkOnlySeedsDiffer(theirs);
  const pairs = ours.flatMap((a) => {
    const b = theirs.find((s) => s.dataset === a.dataset && s.seed === a.seed);
    return b ? [[a.base, a.novel, b.base, b.novel]] : [];
  });
  const names = ours.filter((a) => theirs.some((s) => s.dataset === a.dataset && s.seed === a.seed));
  if (pairs.length === 0) throw new Error("no dataset and seed was run with both methods");
  const groups = unique(names.map((s) => s.dataset)).map((d) => pairs.filter((_, i) => names[i].dataset === d));

  const difference = ([b1, n1, b2, n2]: number[]): number =>
    metric === "base" ? b1 - b2 : metric === "novel" ? n1 - n2 : harmonicMean(b1, n1) - harmonicMean(b2, n2);
  const averageOf = (rows: number[][]) => {
    const sums = [0, 0, 0, 0];
    for (const row of rows) for (let k = 0; k < 4; k++) sums[k] += row[k];
    return sums.map((sum) => sum / rows.length);
  };
  const random = seeded("paired bootstrap", metric);
  const resample = () =>
    groups.map(() => random.pick(groups)).map((group) => averageOf(group.map(() => random.pick(group))));
  const values = Array.from({ length: draws }, () => difference(averageOf(resample()))).sort((a, b) => a - b);
  return {
    mean: difference(averageOf(groups.map(averageOf))),
    low: quantileSorted(values, 0.025),
    high: quantileSorted(values, 0.975),
    pairs: pairs.length,
  };
}

/**
 * Of an unfinished grid, what can be compared: the datasets and seeds that all methods have. A method that shares none with the fuller
 * ones is left out.
 */
export function comparable<S extends Score & { method: string }>(scores: S[]): S[] {
  const runs = new Map(
    unique(scores.map((s) => s.method)).map((method) => [method, scores.filter((s) => s.method === method)]),
  );
  const pair = ({ dataset, seed }: Score) => `${dataset} ${seed}`;
  const fullest = [...runs.values()].sort((a, b) => b.length - a.length);
  const shared = fullest.reduce(
    (kept, own) => {
      const both = own.map(pair).filter((name) => kept.includes(name));
      return both.length > 0 ? both : kept;
    },
    (fullest[0] ?? []).map(pair),
  );
  const whole = (method: string) => shared.every((name) => runs.get(method)?.some((s) => pair(s) === name));
  return scores.filter((s) => shared.includes(pair(s)) && whole(s.method));
}
