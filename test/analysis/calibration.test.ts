/** Predictions of a dataset, their calibration, and the most confident mistakes. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { calibration, mostConfidentMistakes } from "../../src/analysis/calibration";
import { disposeClip, loadClip } from "../../src/clip/load";
import type { Clip } from "../../src/clip/model";
import { type Dataset, loadDataset } from "../../src/datasets/split";
import { tf } from "../../src/engine/tf";
import { accuracyOf } from "../../src/experiments/evaluate";
import { predictClasses, predictDataset } from "../../src/experiments/predictions";
import type { Classifier } from "../../src/methods/method";
import { methods } from "../../src/methods/registry";
import { mistakesGrid } from "../../src/notebook/pictures";
import { seeded } from "../../src/util/random";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";

const root = temporaryFolder("calibration");
let clip: Clip;
let dataset: Dataset;
let classifier: Classifier;
beforeAll(async () => {
  await drawShapes(join(root, "shapes"));
  dataset = loadDataset(join(root, "shapes"));
  clip = await loadClip("weights/mini-clip");
  const config = { zeroShotTemplates: ["a photo of a {}."] };
  classifier = methods.clip.classify({ clip, classNames: dataset.classNames, config, seed: 1 }, {});
});
afterAll(() => {
  classifier.dispose();
  disposeClip(clip);
});

describe("predictions of a dataset", () => {
  it("are those that the accuracy counts, picture by picture, and keep no tensor", async () => {
    const tensors = tf.memory().numTensors;
    const done: number[] = [];
    const predictions = await predictDataset(clip, classifier, dataset.test, (count) => done.push(count));
    expect(tf.memory().numTensors).toBe(tensors);
    expect(done.at(-1)).toBe(dataset.test.length);
    expect(predictions.map(({ path, label }) => [path, label])).toEqual(
      dataset.test.map(({ path, label }) => [path, label]),
    );
    for (const { probabilities, predicted } of predictions) {
      expect(probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
      expect(probabilities[predicted]).toBe(Math.max(...probabilities));
    }
    const each = dataset.classNames.map((_, label) => label);
    const counted = await predictClasses(clip, classifier, dataset.test);
    expect(predictions.map(({ path, probabilities, ...counts }) => counts)).toEqual(counted);
    expect(calibration(predictions).accuracy).toBeCloseTo(accuracyOf(counted, each).exact, 10);
  });

  it("are an error where a logit is not finite, whatever the softmax makes of it", async () => {
    const damaged = { ...classifier, logits: () => tf.tensor2d([[1, Number.NEGATIVE_INFINITY]]) };
    await expect(predictDataset(clip, damaged, dataset.test.slice(0, 1))).rejects.toThrow(
      "is not finite: the model's files",
    );
  });
});

/** A picture that is predicted as class 0 with this confidence. */
const prediction = (confidence: number, right: boolean, path = "a.png") => ({
  path,
  label: right ? 0 : 1,
  predicted: 0,
  confidence,
});

describe("calibration", () => {
  it("has the error of equation 3, computed picture by picture", () => {
    const random = seeded("calibration");
    const predictions = Array.from({ length: 500 }, () => prediction(random.uniform(), random.uniform() < 0.6));
    // The definition, without bins as records: each picture adds |acc(B) - conf(B)| / n of the pictures B of its bin.
    const confidences = predictions.map(({ confidence }) => confidence);
    const gaps = confidences.map((confidence) => {
      const bin = Math.ceil(confidence * 15);
      const inside = predictions.filter((_, k) => Math.ceil(confidences[k] * 15) === bin);
      const right = inside.map(({ label }): number => (label === 0 ? 1 : 0));
      const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
      return Math.abs(mean(right) - mean(inside.map(({ confidence }) => confidence)));
    });
    const expected = (100 * gaps.reduce((a, b) => a + b, 0)) / 500;
    expect(expected).toBeGreaterThan(10);
    expect(calibration(predictions).ece).toBeCloseTo(expected, 8);
  });

  it("puts a confidence on an edge into the bin below, 0 into the first", () => {
    const { bins, confidence, accuracy } = calibration(
      [0, 0.25, 0.5, 0.75, 1].map((value) => prediction(value, value > 0.6)),
      4,
    );
    expect(bins.map(({ low, high, count }) => [low, high, count])).toEqual([
      [0, 25, 2],
      [25, 50, 1],
      [50, 75, 1],
      [75, 100, 1],
    ]);
    expect([confidence, accuracy]).toEqual([50, 40]);
    expect(() => calibration([prediction(Number.NaN, true)])).toThrow("picture 1: a probability lies between 0 and 1");
    expect(() => calibration([])).toThrow("no predictions");
  });

  it("lists the most confident mistakes", () => {
    const predictions = [0.6, 0.9, 0.7, 0.8].map((value, k) => prediction(value, value === 0.9, `${k}`));
    expect(mostConfidentMistakes(predictions, 2).map(({ path }) => path)).toEqual(["3", "2"]);
  });
});

describe("the grid of mistakes", () => {
  it("shows the most confident ones with escaped names, whatever the format of the picture", async () => {
    const predictions = [
      prediction(0.6, false, "test/pictures/24-bit.bmp"),
      prediction(0.9, true, "test/pictures/rgb.png"),
      prediction(0.8, false, "test/pictures/grey.jpg"),
    ];
    const { html, text } = await mistakesGrid(predictions, ["<b>tea", "hot_dog"]);
    expect(text.split("\n")).toEqual([
      "2 of 3 pictures are predicted wrongly; the most confident (true / predicted, confidence):",
      "hot dog / <b>tea, 80 %",
      "hot dog / <b>tea, 60 %",
    ]);
    expect([html.match(/<img/g)?.length, html.match(/<b>tea/)]).toEqual([2, null]);
  });

  it("says that there is none", async () => {
    const { html, text } = await mistakesGrid([prediction(0.9, true)], ["ant", "bee"]);
    expect(text).toBe("0 of 1 pictures are predicted wrongly");
    expect(html).not.toContain("<img");
  });
});
