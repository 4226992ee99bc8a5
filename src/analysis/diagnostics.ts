/**
 * Diagnostics of a method's parameters on images and class names: loss terms, angles to the frozen features,
 * predictions. Shapes: B images, C classes, R pixels per side.
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

/** All images in one batch, preprocessed as in testing. The caller disposes the batch. */
export async function batchOf(items: Item[], { preprocess }: Clip): Promise<Batch> {
  const { height, width } = preprocess.output;
  for await (const { pixels, labels } of testBatches(items, preprocess, items.length)) {
    return { pixels: tf.tensor4d(pixels, [labels.length, 3, height, width]), labels };
  }
  throw new Error("the list of images is empty: there is no batch to build");
}

/** The first batch of a training on this dataset, augmented by `trainPictures`. The caller disposes the batch. */
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
  throw new Error(`${drawn.name} has no training images`);
}

/**
 * The weighted terms of a method's loss on one batch, for each set of parameters in `all`. The parameters may have been
 * trained by another method.
 */
export function termsOf(method: Method, task: Task, batch: Batch, all: HostParams[]): Record<string, number>[] {
  const learner = method.prepare(task);
  try {
    return all.map((hostParams) =>
      withParams(hostParams, (params) => {
        const terms = tf.tidy(() => learner.loss(batch)(params));
        const values = Object.entries(terms).map(([name, term]) => [name, term.dataSync()[0]]);
        tf.dispose(terms);
        return Object.fromEntries(values);
      }),
    );
  } finally {
    learner.dispose();
  }
}

/**
 * A table with one row for the initial parameters, and two for each method: its last epoch and its result. `terms` are
 * the loss terms of the initial parameters, then of the parameters after every epoch.
 */
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
 * Mean angle between prompted and frozen features, for each set of parameters in `all`. Image features are compared
 * with the frozen features of the same images, text features of the task's class names with the mean of the frozen
 * features over the templates. The classes may differ from those of the training.
 * @throws if the method's class features depend on the image
 */
export function anglesOf(method: Method, task: Task, { pixels }: Batch, all: HostParams[]): Angles[] {
  const { clip, classNames, config } = task;
  const frozenText = frozenTextTarget(clip, classNames, config.textTargetTemplates);
  const frozenImage = tf.tidy(() => frozen(clip, pixels).features());
  const measured = all.map((hostParams) =>
    withParams(hostParams, (params) => {
      const classifier = method.classify(task, params);
      const imageFeatures = classifier.image(pixels);
      if (!classifier.text)
        throw new Error(
          `the class features of ${method.title} depend on the image: no angle can be measured without one`,
        );
      const angles = { image: meanAngle(imageFeatures, frozenImage), text: meanAngle(classifier.text, frozenText) };
      imageFeatures.dispose();
      classifier.dispose();
      return angles;
    }),
  );
  tf.dispose([frozenText, frozenImage]);
  return measured;
}

/** Mean angle in degrees between corresponding rows of two matrices, whose rows have unit length. */
function meanAngle(a: Tensor2D, b: Tensor2D): number {
  const cosines = tf.tidy(() => tf.sum(tf.mul(a, b), 1).dataSync()) as Float32Array;
  return cosines.reduce((sum, cosine) => sum + (180 / Math.PI) * Math.acos(Math.min(1, cosine)), 0) / cosines.length;
}

/** Mean predicted probabilities [C][C]: row i is the mean over the images of class i in the batch. */
export function confusionOf(method: Method, task: Task, { pixels, labels }: Batch, params: Params): number[][] {
  const classifier = method.classify(task, params);
  const probabilities = tf.tidy(() => tf.softmax(classifier.logits(pixels)).arraySync() as number[][]);
  classifier.dispose();
  return task.classNames.map((_, label) => {
    const ofClass = probabilities.filter((_, b) => labels[b] === label);
    return task.classNames.map((_, c) => ofClass.reduce((sum, row) => sum + row[c] / ofClass.length, 0));
  });
}
