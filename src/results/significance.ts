/** Tests over datasets, and the correction of their p-values where several methods are compared. */
import { errorFunction } from "simple-statistics";

/**
 * Holm's step-down correction (Scandinavian Journal of Statistics 6, 1979): p-values that may be compared with the
 * level of one test although there are several; in the order given. The smallest is multiplied by their number, the
 * next by one less, and so on, and none is smaller than the one before.
 */
export function holm(pValues: number[]): number[] {
  const order = pValues.map((_, k) => k).sort((a, b) => pValues[a] - pValues[b]);
  const adjusted: number[] = [];
  let largest = 0;
  order.forEach((k, rank) => {
    largest = Math.max(largest, Math.min(1, (pValues.length - rank) * pValues[k]));
    adjusted[k] = largest;
  });
  return adjusted;
}

/** Ranks from 1 for the smallest value; equal values share the mean of their ranks. */
export function ranks(values: number[]): number[] {
  return values.map((value) => {
    const smaller = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length;
    return smaller + (equal + 1) / 2;
  });
}

/**
 * Two-sided p-value of Wilcoxon's signed-rank test (Biometrics Bulletin 1, 1945) of paired differences, one a dataset:
 * whether they are symmetric about zero. It is exact: the share of all signs under which the smaller rank sum is as
 * small. Differences of zero are left out; 1 if there are no others. With n datasets it is at least 2 / 2^n.
 */
export function wilcoxonSignedRank(differences: number[]): number {
  const nonzero = differences.filter((d) => d !== 0);
  if (nonzero.length === 0) return 1;
  // Twice the ranks are whole numbers, even where ties share a rank.
  const doubled = ranks(nonzero.map(Math.abs)).map((rank) => 2 * rank);
  const total = doubled.reduce((a, b) => a + b, 0);
  const positive = doubled.reduce((sum, rank, k) => sum + (nonzero[k] > 0 ? rank : 0), 0);
  let probability = new Float64Array(total + 1); // of each sum of the ranks with a plus sign
  probability[0] = 1;
  for (const rank of doubled) {
    const before = probability;
    probability = before.map((value, sum) => (value + (sum >= rank ? before[sum - rank] : 0)) / 2);
  }
  const smaller = Math.min(positive, total - positive);
  return Math.min(1, 2 * probability.slice(0, smaller + 1).reduce((a, b) => a + b, 0));
}

/** The probability of a chi-square variable above `x`, with `degrees` of freedom; to 1e-7. */
function chiSquareAbove(x: number, degrees: number): number {
  const half = x / 2;
  let [probability, k] = degrees % 2 === 0 ? [Math.exp(-half), 2] : [1 - errorFunction(Math.sqrt(half)), 1];
  // Q(k + 2) = Q(k) + half^(k/2) exp(-half) / gamma(k/2 + 1)
  let term = k === 2 ? half * Math.exp(-half) : (2 / Math.sqrt(Math.PI)) * Math.sqrt(half) * Math.exp(-half);
  for (; k < degrees; k += 2) {
    probability += term;
    term *= half / (k / 2 + 1);
  }
  return probability;
}

/**
 * The ranks of k methods on N datasets: 1 is the best, averaged over the datasets (Demsar, Statistical Comparisons of
 * Classifiers over Multiple Data Sets, JMLR 7, 2006), and the p-value of Friedman's test that all rank alike, with
 * its correction for ties.
 * @param values N rows of k accuracies
 */
export function friedman(values: number[][]): { averageRanks: number[]; statistic: number; p: number } {
  const [n, k] = [values.length, values[0].length];
  const ranked = values.map((row) => ranks(row.map((value) => -value)));
  const averageRanks = ranked[0].map((_, m) => ranked.reduce((sum, row) => sum + row[m], 0) / n);
  // A row without ties has the sum of squares k (k + 1) (2k + 1) / 6; ties lower it.
  const squares = ranked.flat().reduce((sum, rank) => sum + rank ** 2, 0);
  const spread = squares - (n * k * (k + 1) ** 2) / 4;
  const between = averageRanks.reduce((sum, rank) => sum + (rank - (k + 1) / 2) ** 2, 0);
  const statistic = spread === 0 ? 0 : ((k - 1) * n ** 2 * between) / spread;
  return { averageRanks, statistic, p: chiSquareAbove(statistic, k - 1) };
}

/**
 * Quantiles at 5 % of the studentised range over the square root of 2, for 2 to 30 methods: table 5 (a) of Demsar
 * (2006) has the first nine; all are `scipy.stats.studentized_range.ppf(0.95, k, inf) / sqrt(2)`.
 */
const nemenyiQuantiles = [
  1.96, 2.344, 2.569, 2.728, 2.85, 2.948, 3.031, 3.102, 3.164, 3.219, 3.268, 3.313, 3.354, 3.391, 3.426, 3.458, 3.489,
  3.517, 3.544, 3.569, 3.593, 3.616, 3.637, 3.658, 3.678, 3.696, 3.714, 3.732, 3.749,
];

/**
 * Nemenyi's critical difference at 5 %: average ranks of two of `methods` methods over `datasets` datasets that are
 * closer cannot be told apart, all pairs taken together (Demsar 2006, section 3.2.2).
 * @throws for fewer than 2 or more than 30 methods
 */
export function criticalDifference(methods: number, datasets: number): number {
  const quantile = nemenyiQuantiles[methods - 2];
  if (quantile === undefined)
    throw new Error(`the critical difference is known for 2 to 30 methods, not for ${methods}; compare fewer`);
  return quantile * Math.sqrt((methods * (methods + 1)) / (6 * datasets));
}

/**
 * The longest runs of neighbouring average ranks that lie within `distance` of one another, as pairs of the best and
 * the worst rank; those of a single method are left out.
 */
export function indistinct(averageRanks: number[], distance: number): [number, number][] {
  const sorted = averageRanks.slice().sort((a, b) => a - b);
  const groups = sorted.map((best): [number, number] => [best, Math.max(...sorted.filter((r) => r < best + distance))]);
  return groups.filter(([best, worst], k) => worst > best && (k === 0 || worst > groups[k - 1][1]));
}
