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
import type { Predicted } from "../results/predictions";
import { type HostParams, toDevice } from "../training/ensemble";
import { imagesPerPass, yieldToEventLoop } from "./evaluate";

/** The prediction of a labelled picture, with the probabilities of all classes [C], which sum to 1. */
export type PicturePrediction = Predicted & { path: string; probabilities: Float32Array };

/**
 * Predicted class, its probability, and the probabilities [C] of each picture of a batch.
 * @param pixels normalised planes [B,3,R,R]
 * @param nameOf what a picture of the batch (from 0) is called in an error
 * @throws where a logit is not finite: the model or the prompts are damaged
 */
export function classProbabilities(
  classifier: Classifier,
  pixels: Float32Array,
  { height, width }: Size,
  nameOf = (picture: number) => `picture ${picture + 1}`,
): Omit<PicturePrediction, "path" | "label">[] {
  const rows = tf.tidy(() => {
    const batch = tf.tensor4d(pixels, [pixels.length / (3 * height * width), 3, height, width]);
    return classifier.logits(batch).arraySync() as number[][];
  });
  return rows.map((logits, k) => {
    if (!logits.every(Number.isFinite)) {
      throw new Error(`a logit of ${nameOf(k)} is not finite: the model's files, or the prompts, are damaged`);
    }
    const largest = logits.reduce((a, b) => Math.max(a, b));
    const exponentials = logits.map((logit) => Math.exp(logit - largest));
    const sum = exponentials.reduce((a, b) => a + b, 0);
    const probabilities = Float32Array.from(exponentials, (value) => value / sum);
    const predicted = logits.indexOf(largest);
    return { predicted, confidence: probabilities[predicted], probabilities };
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
  for await (const batch of predictBatches(clip, classifier, items)) {
    predictions.push(...batch);
    progress(predictions.length);
  }
  return predictions;
}

/**
 * The predictions of a test: as `predictDataset`, without the probabilities of the other classes, which take 200 MB for
 * ImageNet.
 * @param onPictures is called after each batch with the number of pictures predicted so far
 * @throws the signal's reason when it is aborted
 */
export async function predictClasses(
  clip: Clip,
  classifier: Classifier,
  items: Item[],
  { signal, onPictures }: { signal?: AbortSignal; onPictures?: (done: number) => void } = {},
): Promise<Predicted[]> {
  const predictions: Predicted[] = [];
  for await (const batch of predictBatches(clip, classifier, items, signal)) {
    predictions.push(...batch.map(({ label, predicted, confidence }) => ({ label, predicted, confidence })));
    onPictures?.(predictions.length);
  }
  return predictions;
}

/** The predictions of one batch of pictures after the other. */
async function* predictBatches(
  clip: Clip,
  classifier: Classifier,
  items: Item[],
  signal?: AbortSignal,
): AsyncGenerator<PicturePrediction[]> {
  let done = 0;
  for await (const { pixels } of testBatches(items, clip.preprocess, imagesPerPass(clip))) {
    signal?.throwIfAborted();
    const batch = classProbabilities(classifier, pixels, clip.preprocess.output, (k) => items[done + k].path);
    yield batch.map((prediction, k) => {
      const { path, label } = items[done + k];
      return { path, label, ...prediction };
    });
    done += batch.length;
    await yieldToEventLoop();
  }
}
