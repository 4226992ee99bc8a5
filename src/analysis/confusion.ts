/** Where a classifier errs, class by class, from its predictions of labelled pictures. C classes. */
import type { Predicted } from "../results/predictions";
import type { Table } from "../results/table";

/** Counts [C][C]: row i has how many pictures of class i are predicted as each class. */
function counts(predictions: Predicted[], classNames: string[]): number[][] {
  const rows = classNames.map(() => classNames.map(() => 0));
  for (const { label, predicted } of predictions) rows[label][predicted]++;
  return rows;
}

const sum = (row: number[]): number => row.reduce((a, b) => a + b, 0);

/** The confusion matrix [C][C]: the share of the pictures of class i that are predicted as class j; 0 without pictures. */
export const confusionMatrix = (predictions: Predicted[], classNames: string[]): number[][] =>
  counts(predictions, classNames).map((row) => row.map((count) => count / Math.max(1, sum(row))));

/** Accuracy of each class, the lowest first, and the class that it is most often taken for. */
export function accuracyByClass(predictions: Predicted[], classNames: string[]): Table {
  const rows = counts(predictions, classNames).flatMap((row, label) => {
    const pictures = sum(row);
    if (pictures === 0) return [];
    const wrong = row.map((count, c) => (c === label ? 0 : count));
    const most = wrong.indexOf(Math.max(...wrong));
    const takenFor = wrong[most] > 0 ? `${classNames[most]} (${wrong[most]})` : "";
    return [{ class: classNames[label], pictures, accuracy: (100 * row[label]) / pictures, takenFor }];
  });
  return {
    title: "Accuracy of each class (%), the lowest first",
    columns: [
      { key: "class", title: "class" },
      { key: "pictures", title: "pictures", digits: 0 },
      { key: "accuracy", title: "accuracy", digits: 1 },
      { key: "takenFor", title: "most often taken for" },
    ],
    rows: rows.sort((a, b) => a.accuracy - b.accuracy),
  };
}

/** The pairs of classes that are confused most often: the true class, the predicted one, and the number of pictures. */
export function largestConfusions(predictions: Predicted[], classNames: string[], n = 10): Table {
  const pairs = counts(predictions, classNames).flatMap((row, label) =>
    row.flatMap((count, c) =>
      c === label || count === 0
        ? []
        : [{ class: classNames[label], predicted: classNames[c], pictures: count, share: (100 * count) / sum(row) }],
    ),
  );
  return {
    title: "The largest confusions",
    columns: [
      { key: "class", title: "class" },
      { key: "predicted", title: "predicted" },
      { key: "pictures", title: "pictures", digits: 0 },
      { key: "share", title: "% of the class", digits: 1 },
    ],
    rows: pairs.sort((a, b) => b.pictures - a.pictures || b.share - a.share).slice(0, n),
  };
}
