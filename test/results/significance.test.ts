/** Tests and sample sizes against SciPy 1.17 and the paper of the method; the calls stand beside the values. */
import { expect, it } from "vitest";
import { stratifiedBootstrap } from "../../src/results/bootstrap";
import { pairsNeeded, pictureError } from "../../src/results/power";
import { interquartileMean, performanceProfile, probabilityOfImprovement } from "../../src/results/rliable";
import { criticalDifference, friedman, holm, indistinct, wilcoxonSignedRank } from "../../src/results/significance";
import { statisticsTable, uncertaintyTable } from "../../src/results/statisticsTables";

it("Holm's correction keeps the order and the largest so far", () => {
  expect(holm([0.01, 0.04, 0.03, 0.005])).toEqual([0.03, 0.06, 0.06, 0.02]); // Holm 1979: 4 x .005, 3 x .01, 2 x .03
  expect(holm([0.6, 0.7])).toEqual([1, 1]);
});

it("the signed-rank test is exact, also with ties and zeros", () => {
  // scipy.stats.wilcoxon(d, method="exact")
  const d = [1.2, -0.4, 2.5, 3.1, 0.7, -1.6, 4.2, 0.9, 2.2, -0.1, 1.9];
  expect(wilcoxonSignedRank(d)).toBeCloseTo(0.0322265625, 12);
  // scipy.stats.wilcoxon(d, method=scipy.stats.PermutationMethod(n_resamples=numpy.inf))
  expect(wilcoxonSignedRank([1, -0.5, 2, 2, 0, -1, 3, 1])).toBeCloseTo(0.125, 12);
  expect(wilcoxonSignedRank([1, 2, 3, 4])).toBe(0.125);
  expect(wilcoxonSignedRank([0, 0])).toBe(1);
});

it("Friedman's test ranks methods over datasets and corrects for ties", () => {
  const values = [
    [76.3, 76.8, 77.1, 79.8],
    [59.9, 59.1, 59, 56.9],
    [95.4, 97.1, 96.8, 96.7],
    [88.2, 88.8, 88.6, 89.8],
    [93.6, 93.1, 91.6, 93.1],
    [100, 100, 100, 100],
    [97.2, 98.1, 97.5, 97.5],
    [95.7, 97.8, 94.6, 97],
  ];
  // scipy.stats.friedmanchisquare(*numpy.array(values).T); scipy.stats.rankdata(-values, axis=1).mean(0)
  const { averageRanks, statistic, p } = friedman(values);
  expect(averageRanks).toEqual([2.9375, 1.875, 2.875, 2.3125]);
  expect(statistic).toBeCloseTo(4.279411764705869, 10);
  expect(p).toBeCloseTo(0.23283054977485176, 6);
  // Three methods: the chi-square tail for an even number of degrees of freedom.
  expect(friedman(values.map((row) => row.slice(0, 3))).p).toBeCloseTo(0.1800923121479524, 6);
});

it("Nemenyi's critical difference is that of the example of Demsar (2006), section 3.2.2", () => {
  expect(criticalDifference(4, 14)).toBeCloseTo(1.25, 2);
  // At 5 % even the best and the worst of the four "cannot be told apart": one group.
  expect(indistinct([3.143, 2, 2.893, 1.964], criticalDifference(4, 14))).toEqual([[1.964, 3.143]]);
  expect(indistinct([1, 1.5, 2.5, 4], 1.2)).toEqual([
    [1, 1.5],
    [1.5, 2.5],
  ]);
  expect(() => criticalDifference(31, 10)).toThrow("2 to 30 methods");
});

it("sample sizes come within one pair of the exact ones", () => {
  // The smallest n whose power by scipy.stats.nct is 80 %, for these standard deviations and a difference of 1.
  const exact = { 0.2: 3, 0.5: 5, 1: 10, 2: 34, 4: 128 };
  for (const [sd, n] of Object.entries(exact)) expect(Math.abs(pairsNeeded(Number(sd)) - n)).toBeLessThanOrEqual(1);
  expect(pictureError(50, 2500)).toBe(1);
});

it("interquartile means, probabilities of improvement and profiles are those of rliable", () => {
  // scipy.stats.trim_mean(values, 0.25), as rliable has it
  expect(interquartileMean([61.2, 59.9, 63.5, 40.1, 42.3, 39.8, 80, 81.5, 79.9, 55])).toBeCloseTo(60.3, 12);
  const scores = (base: number[]) => base.map((value, k) => ({ dataset: "a", seed: k, base: value, novel: 1 }));
  // scipy.stats.mannwhitneyu(x, y).statistic / (len(x) * len(y))
  expect(probabilityOfImprovement(scores([1, 3, 5]), scores([2, 3, 0]), "base").mean).toBeCloseTo(6.5 / 9, 12);
  const [low, high] = performanceProfile([[1, 2, 3], [10]], [1, 2.5]);
  expect([low.mean, high.mean]).toEqual([(2 / 3 + 1) / 2, (1 / 3 + 1) / 2]);
  // One value a stratum cannot be drawn otherwise.
  expect(stratifiedBootstrap([[1], [3]], (strata) => strata.flat()[1])).toEqual({ mean: 3, low: 3, high: 3 });
});

it("tables say what differences are worth, and what pictures add to seeds", () => {
  const methods = ["a", "b"].map((name) => ({ name, title: name.toUpperCase() }));
  const scores = ["x", "y", "z", "w"].flatMap((dataset, d) =>
    [1, 2, 3].flatMap((seed) =>
      methods.map(({ name }, m) => {
        const base = 50 + 5 * d + m * (seed + 1);
        return { dataset, seed, method: name, base, novel: base };
      }),
    ),
  );
  const [row] = statisticsTable(scores, methods, { reference: "a", metric: "base" }).rows;
  // Differences of 2, 3 and 4 points by seed on every dataset: standard deviation 1, of the average of four 0.5.
  expect(row).toMatchObject({ method: "B", won: "4 of 4", signedRank: "0.125", seeds: pairsNeeded(0.5), datasets: 2 });
  expect(() => statisticsTable(scores, methods, { reference: "c" })).toThrow('no run of "c" to compare with');
  const pictures = Object.fromEntries(["x", "y", "z", "w"].map((name) => [name, { base: 100, novel: 100 }]));
  const [a] = uncertaintyTable(scores, methods, pictures).rows;
  const variance = [50, 55, 60, 65].reduce((sum, p) => sum + (p * (100 - p)) / 100, 0);
  expect(a["base pictures"]).toBeCloseTo(Math.sqrt(variance) / 4, 10);
  // Where base and novel are equal, each counts half in their harmonic mean.
  expect(a["hm pictures"]).toBeCloseTo(Math.sqrt(variance / 2) / 4, 1);
});
