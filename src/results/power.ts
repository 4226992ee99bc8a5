/** How large an experiment must be, and how exact its test pictures make it. */
import { mean, sampleVariance } from "simple-statistics";

/** Normal quantiles: two-sided test at 5 %, and a power of 80 %. */
const [levelQuantile, powerQuantile] = [1.959964, 0.841621];

/**
 * How many pairs a paired t-test at 5 % (two-sided) needs to find a true difference with a probability of 80 %, where
 * the differences of the pairs have the standard deviation `sd`: ((z1 + z2) sd / difference)^2 + z1^2 / 2 (Guenther,
 * The American Statistician 35, 1981), rounded up, at least 2. The exact numbers are at most 1 larger.
 */
export const pairsNeeded = (sd: number, difference = 1): number =>
  Math.max(2, Math.ceil(((levelQuantile + powerQuantile) * (sd / difference)) ** 2 + levelQuantile ** 2 / 2));

/**
 * The standard deviation from seed to seed of an average over D datasets: the root of the sum of the datasets' own
 * variances over their seeds, divided by D. Its degrees of freedom are those of all datasets together, so that three
 * seeds are enough for it. Undefined where a dataset has one seed.
 * @param values those of the seeds, by dataset
 */
export function deviationOverSeeds(values: number[][]): number | undefined {
  if (values.some((list) => list.length < 2)) return undefined;
  return Math.sqrt(values.reduce((sum, list) => sum + sampleVariance(list), 0)) / values.length;
}

/** The standard deviation of the means of the datasets; undefined for one dataset. */
export function deviationOverDatasets(values: number[][]): number | undefined {
  return values.length < 2 ? undefined : Math.sqrt(sampleVariance(values.map((list) => mean(list))));
}

/**
 * The standard error in points that an accuracy in percent has because it is measured on n pictures of all that there
 * might be: that of a binomial share, 100 sqrt(p (1 - p) / n).
 */
export const pictureError = (accuracy: number, pictures: number): number =>
  Math.sqrt((accuracy * (100 - accuracy)) / pictures);
