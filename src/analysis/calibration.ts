/**
 * Calibration of a classifier: whether pictures that it predicts with a confidence of 80 % are right in 80 % of the
 * cases (Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599, section 2). The confidence is
 * the probability of the predicted class. All numbers but counts are percentages.
 */
import type { Predicted } from "../results/predictions";
import type { Labelled, Table } from "../results/table";

/** The pictures whose confidence is above `low` and at most `high`. Both means are NaN where there are none. */
export type ReliabilityBin = { low: number; high: number; count: number; accuracy: number; confidence: number };

export type Calibration = {
  bins: ReliabilityBin[];
  /** Number of pictures. */
  count: number;
  accuracy: number;
  /** Mean confidence; above the accuracy, the classifier is overconfident. */
  confidence: number;
  /** Expected calibration error: the mean over the pictures of |accuracy - confidence| of their bin (equation 3). */
  ece: number;
};

/**
 * Accuracy and mean confidence in bins of equal width (lo, hi] between 0 and 100 %, 15 as in the paper, and the
 * expected calibration error. A confidence of 0 belongs to the first bin.
 */
export function calibration(predictions: Predicted[], binCount = 15): Calibration {
  if (predictions.length === 0) throw new Error("there are no predictions: the calibration of none is not defined");
  if (!Number.isInteger(binCount) || binCount < 1) {
    throw new Error(`the number of bins must be a whole number from 1; it is ${binCount}`);
  }
  const edges = Array.from({ length: binCount }, (_, k) => (k + 1) / binCount);
  const members = edges.map((): Predicted[] => []);
  for (const [k, prediction] of predictions.entries()) {
    const { confidence } = prediction;
    if (!(confidence >= 0 && confidence <= 1)) {
      throw new Error(
        `picture ${k + 1}: a probability lies between 0 and 1; that of the predicted class is ${confidence}`,
      );
    }
    members[edges.findIndex((edge) => confidence <= edge)].push(prediction);
  }
  const bins = members.map((inside, k) => ({ low: (100 * k) / binCount, high: 100 * edges[k], ...means(inside) }));
  const ece = bins
    .filter(({ count }) => count > 0)
    .reduce((sum, bin) => sum + (bin.count / predictions.length) * Math.abs(bin.accuracy - bin.confidence), 0);
  return { bins, ...means(predictions), ece };
}

/** Number, accuracy and mean confidence of pictures. */
function means(predictions: Predicted[]): Pick<Calibration, "count" | "accuracy" | "confidence"> {
  const count = predictions.length;
  const right = predictions.filter(({ label, predicted }) => label === predicted).length;
  const sum = predictions.reduce((total, prediction) => total + prediction.confidence, 0);
  return { count, accuracy: (100 * right) / count, confidence: (100 * sum) / count };
}

/** Accuracy, mean confidence and ECE of classifiers of the same pictures, a row for each. */
export const calibrationTable = (measured: { method: Labelled; calibration: Calibration }[]): Table => ({
  title: "Accuracy and calibration (%)",
  columns: [
    { key: "method", title: "method" },
    { key: "accuracy", title: "accuracy", best: true },
    { key: "confidence", title: "mean confidence" },
    { key: "ece", title: "ECE" },
  ],
  rows: measured.map(({ method, calibration: { accuracy, confidence, ece } }) => ({
    method: method.title,
    accuracy,
    confidence,
    ece,
  })),
});

/** Up to `n` pictures that are predicted wrongly, those of the highest confidence first. */
export const mostConfidentMistakes = <P extends Predicted>(predictions: P[], n: number): P[] =>
  predictions
    .filter(({ label, predicted }) => label !== predicted)
    .sort((a, b) => b.confidence - a.confidence)
    .slice(0, n);
