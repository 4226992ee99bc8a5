/**
 * The predictions of a run, stored beside its result: `<result>.predictions.safetensors` holds, for each test of the
 * run, the tensors `<test>.label`, `<test>.predicted` and `<test>.confidence`, with one number per test picture in the
 * order of the dataset's list (12 bytes per picture; float32 holds class numbers exactly). The metadata holds the class
 * names of each test, the key of the run and when it finished, and a checksum. The accuracies of a run are counted from
 * these predictions. Runs that came with the kit have none.
 */
import { existsSync } from "node:fs";
import { setAside } from "../io/atomicWrite";
import { readSealed, type Stored, writeSealed } from "../io/safetensors";
import { UsageError } from "../util/errors";
import { type Run, resultsFolder, runFile } from "./store";

/**
 * The prediction of a labelled picture: its true class, the class with the largest logit (of equal logits the first),
 * and the probability of the latter. Classes are numbered as in the class names.
 */
export type Predicted = { label: number; predicted: number; confidence: number };

/** The predictions of each test of a run, such as "base" and "novel", with the candidate classes of the test. */
export type TestPredictions = Record<string, { classNames: string[]; pictures: Predicted[] }>;

/** The predictions of one run in a table row. */
export type RowPredictions = { row: string; dataset: string; seed: number; tests: TestPredictions };

const fields = ["label", "predicted", "confidence"] as const;

/** The file that stores the predictions of a run. */
export const predictionsFile = (run: Run, root = resultsFolder): string =>
  runFile(run, root).replace(/json$/, "predictions.safetensors");

/** Stores the predictions of a run, completely or not at all. */
export function savePredictions(run: Run, tests: TestPredictions, root = resultsFolder): void {
  const tensors: Record<string, Stored> = {};
  for (const [test, { pictures }] of Object.entries(tests)) {
    for (const field of fields) {
      const data = Float32Array.from(pictures, (picture) => picture[field]);
      tensors[`${test}.${field}`] = { shape: [data.length], data };
    }
  }
  const names = Object.entries(tests).map(([test, { classNames }]) => [test, classNames]);
  const metadata = { run: run.key, finished: run.finished, classNames: JSON.stringify(Object.fromEntries(names)) };
  writeSealed(predictionsFile(run, root), tensors, metadata);
}

/**
 * The stored predictions of a run; undefined if there are none, or if they belong to an earlier run with this key. A
 * damaged file is set aside with a warning.
 */
export function findPredictions(run: Run, root = resultsFolder): TestPredictions | undefined {
  const file = predictionsFile(run, root);
  if (!existsSync(file)) return undefined;
  try {
    const { tensors, metadata } = readSealed(file);
    if (metadata.run !== run.key || metadata.finished !== run.finished) return undefined;
    const classNames = JSON.parse(metadata.classNames) as Record<string, string[]>;
    return Object.fromEntries(
      Object.entries(classNames).map(([test, names]) => {
        const [label, predicted, confidence] = fields.map((field) => tensors[`${test}.${field}`].data);
        const pictures = Array.from(label, (l, k) => ({
          label: l,
          predicted: predicted[k],
          confidence: confidence[k],
        }));
        return [test, { classNames: names, pictures }];
      }),
    );
  } catch (error) {
    setAside(file, error, "the pictures are predicted again when their predictions are asked for");
    return undefined;
  }
}

/**
 * The stored predictions of the runs of table rows; runs without are passed over.
 * @throws UsageError where none of the runs has any, with the command that makes them
 */
export function predictionsOf(rows: { row: string; run: Run }[], root = resultsFolder): RowPredictions[] {
  const found = rows.flatMap(({ row, run }) => {
    const tests = findPredictions(run, root);
    return tests ? [{ row, dataset: run.dataset, seed: run.seed, tests }] : [];
  });
  if (found.length > 0 || rows.length === 0) return found;
  const list = (values: (string | number)[]) => [...new Set(values)].join(",");
  const runs = rows.map(({ run }) => run);
  throw new UsageError(
    `no predictions of these ${runs.length} runs are stored in ${root} (runs that came with the kit have none). ` +
      "Make their jobs with predictions: true, or run\n" +
      `  npm run promptsrc -- run ${runs[0].benchmark} --methods ${list(runs.map((run) => run.method))} --datasets ` +
      `${list(runs.map((run) => run.dataset))} --seeds ${list(runs.map((run) => run.seed))} --predictions`,
  );
}
