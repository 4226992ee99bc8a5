/** Figures of predictions, features and training: what they count and draw. */
import { describe, expect, it } from "vitest";
import { changesByClass, changesByDataset } from "../../src/analysis/classes";
import { pca, umap } from "../../src/analysis/features";
import { classesFigure } from "../../src/figures/classes";
import { confusionsFigure } from "../../src/figures/confusion";
import { featuresFigure } from "../../src/figures/features";
import { trainingFigure } from "../../src/figures/losses";
import type { RowPredictions } from "../../src/results/predictions";
import type { Run } from "../../src/results/store";
import { seeded } from "../../src/util/random";
import { expectDrawings } from "./drawings";

const [clip, ivlp] = [
  { name: "clip", title: "CLIP" },
  { name: "ivlp", title: "IVLP" },
];
const classNames = ["ice_cream", "pizza", "rice"];

/** Six pictures, two of each class; `predicted` are the classes that they are taken for. */
const of = (row: string, dataset: string, predicted: number[], seed = 1): RowPredictions => ({
  row,
  dataset,
  seed,
  tests: {
    base: { classNames, pictures: predicted.map((c, k) => ({ label: k >> 1, predicted: c, confidence: 0.5 })) },
  },
});
const predictions = [
  of("clip", "food", [0, 1, 1, 1, 0, 0]),
  of("ivlp", "food", [0, 0, 1, 2, 2, 2]),
  of("clip", "snacks", [0, 0, 0, 0, 0, 0]),
  of("ivlp", "snacks", [0, 0, 1, 0, 0, 0]),
];

describe("changes by class", () => {
  it("compare the same pictures, the largest gain first, and add up to the datasets", () => {
    const changes = changesByClass(predictions.slice(0, 2), "clip", "ivlp");
    const numbers = changes.map(({ name, frozen, prompted, gained, lost }) => [name, frozen, prompted, gained, lost]);
    expect(numbers).toEqual([
      ["rice", 0, 100, 2, 0],
      ["ice_cream", 50, 100, 1, 0],
      ["pizza", 100, 50, 0, 1],
    ]);
    const [food] = changesByDataset(changes);
    expect(food).toMatchObject({ name: "food", pictures: 6, frozen: 50, gained: 3, lost: 1 });
    expect(food.prompted).toBeCloseTo((100 * 5) / 6, 10);
  });

  it("are refused for other pictures, and where nothing is shared", () => {
    expect(() => changesByClass([of("clip", "food", [0]), predictions[1]], "clip", "ivlp")).toThrow(
      "different pictures",
    );
    expect(() => changesByClass(predictions, "clip", "maple")).toThrow(
      "no predictions of a dataset and seed in common",
    );
  });
});

describe("figures", () => {
  const labelsOf = ({ layout }: { layout: object }) =>
    (layout as any).updatemenus[0].buttons.map(({ label }: { label: string }) => label);

  it("of classes and confusions look like their drawings, with menus from datasets to classes", async () => {
    const classes = classesFigure("Class by class", predictions, clip, ivlp);
    expect(labelsOf(classes)).toEqual(["2 datasets", "classes of food", "classes of snacks"]);
    const confusions = confusionsFigure(
      "Confusions",
      predictions.slice(0, 2).map(({ row, tests }) => ({ label: row, classNames, predictions: tests.base.pictures })),
    );
    expect(confusions.alt).toContain("50.0 % right; most often confused: rice \u2192 ice cream (2)");
    await expectDrawings({ classes, confusions });
  });

  it("of features: base and novel in each panel, by PCA and by UMAP", () => {
    const random = seeded("features");
    const rows = (n: number) => Array.from({ length: n }, () => Array.from({ length: 5 }, () => random.normal()));
    const features = { image: rows(12), labels: Array.from({ length: 12 }, (_, k) => k % 3), text: rows(3) };
    const figure = featuresFigure("Features", classNames, 2, [
      { method: clip, features },
      { method: ivlp, features },
    ]);
    expect(labelsOf(figure)).toEqual(["PCA", "UMAP"]);
    const sizes = figure.data.slice(0, 4).map((trace: any) => [trace.name, trace.x.length]);
    expect(Object.fromEntries(sizes)).toEqual({
      "pictures, base": 8,
      "pictures, novel": 4,
      "names, base": 2,
      "names, novel": 1,
    });
  });

  it("of training: loss terms, gradient and distance, of the mean and of each dataset; older runs lack the last two", () => {
    const runs = ["food", "flags"].map((dataset, d) => ({
      dataset,
      epochs: [1, 2].map((epoch) => ({ epoch, lr: 1, losses: { total: epoch }, gradientNorm: d, distance: epoch + d })),
    })) as unknown as Run[];
    const figure = trainingFigure("Training", [{ ...ivlp, runs }]);
    expect(labelsOf(figure)).toEqual(["mean of 2 datasets", "food", "flags"]);
    expect(figure.data.slice(0, 3).map(({ y }: any) => y)).toEqual([
      [1, 2],
      [0.5, 0.5],
      [1.5, 2.5],
    ]);
    const older = runs.map((run) => ({
      ...run,
      epochs: run.epochs.map(({ epoch, lr, losses }) => ({ epoch, lr, losses })),
    }));
    expect(trainingFigure("Training", [{ ...ivlp, runs: older.slice(0, 1) as Run[] }]).data).toHaveLength(1);
  });
});

describe("maps", () => {
  const random = seeded("maps");
  it("PCA keeps the distances of rows that lie in a plane", () => {
    const inPlane = Array.from({ length: 20 }, () => [random.normal(), random.normal()]);
    const mean = [0, 1].map((e) => inPlane.reduce((sum, row) => sum + row[e], 0) / 20);
    const plane = inPlane.map((row) => row.map((value, e) => value - mean[e]));
    const rows = plane.map(([a, b]) => [a + b, a - b, Math.SQRT2 * a].map((value) => value / 2)); // [20][3]
    const { places, share } = pca(rows);
    expect(share).toBeCloseTo(1, 10);
    const distance = (a: number[], b: number[]) => Math.hypot(...a.map((value, e) => value - b[e]));
    for (let k = 1; k < 20; k++) expect(distance(places[0], places[k])).toBeCloseTo(distance(rows[0], rows[k]), 10);
  });

  it("UMAP keeps two far clusters apart, and is the same for the same seed", () => {
    const rows = Array.from({ length: 40 }, (_, k) => [20 * (k % 2), random.normal(), random.normal()]);
    const places = umap(rows);
    expect(umap(rows)).toEqual(places);
    const middle = (half: number) => places.filter((_, k) => k % 2 === half).reduce((sum, [x]) => sum + x / 20, 0);
    const middleY = (half: number) => places.filter((_, k) => k % 2 === half).reduce((sum, [, y]) => sum + y / 20, 0);
    const far = Math.hypot(middle(0) - middle(1), middleY(0) - middleY(1));
    const spread = Math.max(...places.map(([x, y], k) => Math.hypot(x - middle(k % 2), y - middleY(k % 2))));
    expect(far).toBeGreaterThan(spread);
  });
});
