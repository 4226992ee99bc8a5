/**
 * What a method's parameters make of pictures and class names: loss terms, angles to the frozen features, predictions.
 * Shapes: B pictures, C classes, R pixels a side.
 */
import type { Clip } from "../clip/model";
import type { Optimisation } from "../configs/settings";
import { testBatches, trainPictures } from "../datasets/pictures";
import type { Dataset, Item } from "../datasets/split";
import type { Tensor2D } from "../engine/tf";
import { tf } from "../engine/tf";
import { frozenTextTarget } from "../methods/frozenText";
import type { Batch, Method, Params, Task } from "../methods/method";
import { frozen } from "../methods/promptLearner";
import type { Labelled, Table } from "../results/table";
import type { HostParams } from "../training/ensemble";
import { withParams } from "./trajectory";

/** Pictures as in testing, all in one batch that the caller disposes. */
export async function batchOf(items: Item[], { preprocess }: Clip): Promise<Batch> {
  const { height, width } = preprocess.output;
  for await (const { pixels, labels } of testBatches(items, preprocess, items.length)) {
    return { pixels: tf.tensor4d(pixels, [labels.length, 3, height, width]), labels };
  }
  throw new Error("there are no pictures to look at");
}

/** The first batch of a training on these pictures, as `trainPictures` augments it; the caller disposes it. */
export async function firstBatch(
  drawn: Dataset,
  { preprocess }: Clip,
  { batch, augmentation }: Pick<Optimisation, "batch" | "augmentation">,
  seed: number,
): Promise<Batch> {
  const { height, width } = preprocess.output;
  for await (const { pixels, labels } of trainPictures(drawn.train, preprocess, { batch, augmentation, seed }).epoch(
    1,
  )) {
    return { pixels: tf.tensor4d(pixels, [labels.length, 3, height, width]), labels };
  }
  throw new Error(`${drawn.name} has no picture to train on`);
}

/** The terms of a method's loss on a batch, weights included, for each of some parameters. The method need not be the one that learnt them. */
export function termsOf(method: Method, task: Task, batch: Batch, all: HostParams[]): Record<string, number>[] {
  const learner = method.prepare(task);
  try {
    return all.map((kept) =>
      withParams(kept, (params) => {
        const terms = tf.tidy(() => learner.loss(batch)(params));
        const numbers = Object.entries(terms).map(([name, term]) => [name, term.dataSync()[0]]);
        tf.dispose(terms);
        return Object.fromEntries(numbers);
      }),
    );
  } finally {
    learner.dispose();
  }
}

/** A row for the start and one for each method's last epoch and result; `terms` are of its epochs, the initial parameters first. */
export function termsTable(
  measured: { method: Labelled; terms: Record<string, number>[]; final: Record<string, number> }[],
): Table {
  const rows = measured.flatMap(({ method, terms, final }) => [
    { prompts: `${method.title}, last epoch`, ...terms[terms.length - 1] },
    { prompts: `${method.title}, result`, ...final },
  ]);
  const titles = { ce: "cross-entropy", scl_text: "text", scl_image: "image", scl_logits: "logits", total: "total" };
  return {
    title: "PromptSRC's loss on one batch, with its weights",
    columns: [
      { key: "prompts", title: "prompts" },
      ...Object.entries(titles).map(([key, title]) => ({ key, title, digits: 3 })),
    ],
    rows: [{ prompts: "start", ...measured[0].terms[0] }, ...rows],
  };
}

/** Mean angles in degrees. */
export type Angles = { image: number; text: number };

/**
 * How far prompted features stand from the frozen ones, for each of some parameters: those of pictures from the same pictures', those of the
 * task's class names from the mean over the templates. The classes need not be those of the training.
 * @throws where class features depend on the picture
 */
export function anglesOf(method: Method, task: Task, { pixels }: Batch, all: HostParams[]): Angles[] {
  const { clip, classNames, config } = task;
  const text = frozenTextTarget(clip, classNames, config.textTargetTemplates);
  const image = tf.tidy(() => frozen(clip, pixels).features());
  const measured = all.map((kept) =>
    withParams(kept, (params) => {
      const classifier = method.classify(task, params);
      const seen = classifier.image(pixels);
      if (!classifier.text)
        throw new Error(`${method.title} has no class features of its own: they depend on the picture`);
      const angles = { image: meanAngle(seen, image), text: meanAngle(classifier.text, text) };
      seen.dispose();
      classifier.dispose();
      return angles;
    }),
  );
  tf.dispose([text, image]);
  return measured;
}

/** Between the rows of two matrices of unit rows, in degrees. */
function meanAngle(a: Tensor2D, b: Tensor2D): number {
  const cosines = tf.tidy(() => tf.sum(tf.mul(a, b), 1).dataSync()) as Float32Array;
  return cosines.reduce((sum, cosine) => sum + (180 / Math.PI) * Math.acos(Math.min(1, cosine)), 0) / cosines.length;
}

/** Mean probability of each class [C][C], a row for the pictures of each class in the batch. */
export function confusionOf(method: Method, task: Task, { pixels, labels }: Batch, params: Params): number[][] {
  const classifier = method.classify(task, params);
  const rows = tf.tidy(() => tf.softmax(classifier.logits(pixels)).arraySync() as number[][]);
  classifier.dispose();
  return task.classNames.map((_, label) => {
    const own = rows.filter((_, b) => labels[b] === label);
    return task.classNames.map((_, c) => own.reduce((sum, row) => sum + row[c] / own.length, 0));
  });
}
