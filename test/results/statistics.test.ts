import { describe, expect, it } from "vitest";
import { pairedBootstrap } from "../../src/results/bootstrap";
import { loadPaper, paperBaseToNovel } from "../../src/results/paper";
import { comparable, harmonicMean, type Score, summarise, summariseAverage } from "../../src/results/statistics";

const score = (dataset: string, seed: number, base: number, novel: number): Score => ({ dataset, seed, base, novel });

describe("statistics", () => {
  it("summarises a dataset over its seeds: harmonic mean of the mean accuracies, sample standard deviations", () => {
    const s = summarise([score("a", 1, 80, 60), score("a", 2, 70, 70), score("a", 3, 90, 50)]);
    expect([s.base.mean, s.base.sd, s.novel.mean, s.novel.sd]).toEqual([80, 10, 60, 10]);
    expect(s.hm.mean).toBeCloseTo(9600 / 140, 10);
    const hms = [9600 / 140, 70, 9000 / 140]; // 68.571, 70, 64.286: mean 67.619, deviations .952, 2.381, -3.333
    const mean = (hms[0] + hms[1] + hms[2]) / 3;
    expect(s.hm.sd).toBeCloseTo(Math.sqrt(hms.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 2), 10);
    expect(summarise([score("a", 1, 80, 60)]).base.sd).toBeUndefined();
  });

  it("averages datasets as the paper does", () => {
    const s = summariseAverage([
      score("a", 1, 90, 60),
      score("a", 2, 80, 50),
      score("b", 1, 50, 40),
      score("b", 2, 50, 30),
    ]);
    expect([s.base.mean, s.novel.mean]).toEqual([67.5, 45]);
    expect(s.hm.mean).toBeCloseTo((2 * 67.5 * 45) / 112.5, 10);
    expect(s.base.sd).toBeCloseTo(Math.SQRT1_2 * 5, 10); // the averages of the two seeds are 70 and 65
    expect(s.base.n).toBe(2);
  });

  it("gives the averages of the paper's table from the rows of that table", () => {
    const paper = loadPaper();
    for (const method of ["CLIP", "CoOp", "CoCoOp", "ProDA", "MaPLe", "IVLP", "PromptSRC"]) {
      const datasets = Object.keys(paper.baseToNovel.rows[method]).filter((d) => d !== "average");
      const rows = datasets.map((d) => ({ dataset: d, seed: 1, ...paperBaseToNovel(paper, method, [d])! }));
      const paperAverage = paperBaseToNovel(paper, method)!;
      const computed = summariseAverage(rows);
      expect(datasets).toHaveLength(11);
      expect(Math.abs(computed.base.mean - paperAverage.base)).toBeLessThan(0.011);
      expect(Math.abs(computed.novel.mean - paperAverage.novel)).toBeLessThan(0.011);
      expect(Math.abs(computed.hm.mean - paperAverage.hm)).toBeLessThan(0.011);
    }
  });

  it("compares the runs that all methods of an unfinished grid have; a method that shares none is left out", () => {
    const runs = (method: string, ...at: [string, number][]) =>
      at.map(([dataset, seed]) => ({ method, ...score(dataset, seed, 50, 50) }));
    const complete = runs("whole", ["a", 1], ["a", 2], ["b", 1]);
    const comparableRuns = comparable([
      ...complete,
      ...runs("begun", ["b", 1], ["a", 2]),
      ...runs("elsewhere", ["c", 1]),
    ]);
    expect(comparableRuns.map(({ method, dataset, seed }) => `${method} ${dataset} ${seed}`)).toEqual([
      "whole a 2",
      "whole b 1",
      "begun b 1",
      "begun a 2",
    ]);
    expect(comparable([])).toEqual([]);
  });

  it("bootstraps paired differences", () => {
    const baseline = ["a", "b", "c", "d"].flatMap((d, i) => [1, 2, 3].map((s) => score(d, s, 50 + 10 * i, 40 + s)));
    const shifted = baseline.map((s) => ({ ...s, base: s.base + 3 }));
    // Differences are paired, so a constant gain has an interval of width 0, however much the datasets differ.
    expect(pairedBootstrap(shifted, baseline, "base", 500)).toMatchObject({ mean: 3, low: 3, high: 3, pairs: 12 });
    const mixed = baseline.map((s, i) => ({ ...s, novel: s.novel + (i % 2 ? 2 : -2) }));
    const interval = pairedBootstrap(mixed, baseline, "novel", 2000);
    expect(interval.low).toBeLessThan(0);
    expect(interval.high).toBeGreaterThan(0);
    expect(pairedBootstrap(mixed, baseline, "novel", 2000)).toEqual(interval);
    expect(() => pairedBootstrap([score("x", 1, 1, 1)], baseline, "hm")).toThrow("no dataset and seed");
    expect(harmonicMean(0, 0)).toBe(0);
  });
});
