/**
 * What a classifier says of pictures: the probabilities of the classes, softmax over the logits (CLIP, section 3.1.2).
 * Shapes: B pictures of a batch, C classes, R pixels per side.
 */
import type { Clip } from "../clip/model";
import { testBatches } from "../datasets/pictures";
import type { Item } from "../datasets/split";
import { tf } from "../engine/tf";
import type { Size } from "../io/preprocess";
import type { Classifier, Method, Task } from "../methods/method";
import { type HostParams, toDevice } from "../training/ensemble";
import { imagesPerPass, yieldToEventLoop } from "./evaluate";

/** The prediction of a labelled picture. Classes are numbered as in the dataset's class names. */
export type PicturePrediction = {
  path: string;
  /** The true class. */
  label: number;
  /** The class with the largest logit; of equal logits the first, as in `accuracy`. */
  predicted: number;
  /** [C], they sum to 1. */
  probabilities: Float32Array;
};

/**
 * Predicted class and probabilities [C] of each picture of a batch.
 * @param pixels normalised planes [B,3,R,R]
 * @throws where a logit is not finite: the model or the prompts are damaged
 */
export function classProbabilities(
  classifier: Classifier,
  pixels: Float32Array,
  { height, width }: Size,
): Pick<PicturePrediction, "predicted" | "probabilities">[] {
  const rows = tf.tidy(() => {
    const batch = tf.tensor4d(pixels, [pixels.length / (3 * height * width), 3, height, width]);
    return classifier.logits(batch).arraySync() as number[][];
  });
  return rows.map((logits) => {
    if (!logits.every(Number.isFinite)) {
      throw new Error("the model gives logits that are not finite: its files, or the prompts, are damaged");
    }
    const largest = logits.reduce((a, b) => Math.max(a, b));
    const exponentials = logits.map((logit) => Math.exp(logit - largest));
    const sum = exponentials.reduce((a, b) => a + b, 0);
    const probabilities = Float32Array.from(exponentials, (value) => value / sum);
    return { predicted: logits.indexOf(largest), probabilities };
  });
}

/**
 * Predicts labelled pictures by trained parameters of a method ({} for zero-shot CLIP).
 * @param task with the class names that are told apart
 */
export async function predictWith(
  method: Method,
  task: Task,
  kept: HostParams,
  items: Item[],
): Promise<PicturePrediction[]> {
  const params = toDevice(kept);
  const classifier = method.classify(task, params);
  try {
    return await predictDataset(task.clip, classifier, items);
  } finally {
    classifier.dispose();
    tf.dispose(params);
  }
}

/**
 * Predicts the pictures of a dataset, such as `dataset.test`, preprocessed as in testing.
 * @param classifier of the dataset's class names; the caller disposes it
 * @param progress is called after each batch with the number of pictures predicted so far
 */
export async function predictDataset(
  clip: Clip,
  classifier: Classifier,
  items: Item[],
  progress: (done: number) => void = () => {},
): Promise<PicturePrediction[]> {
  const predictions: PicturePrediction[] = [];
  for await (const { pixels } of testBatches(items, clip.preprocess, imagesPerPass(clip))) {
    for (const prediction of classProbabilities(classifier, pixels, clip.preprocess.output)) {
      const { path, label } = items[predictions.length];
      predictions.push({ path, label, ...prediction });
    }
    progress(predictions.length);
    await yieldToEventLoop();
  }
  return predictions;
}
