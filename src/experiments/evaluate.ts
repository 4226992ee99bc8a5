/**
 * Top-1 accuracy of a classifier on labelled images. Where two class names make the same sentence ("hot_dog" and
 * "hot dog", or ImageNet's two cranes), the accuracy is counted both ways: as the official code counts, by which the
 * first of them is predicted for the images of both, and with the two as one class.
 */
import { cleanText } from "../clip/cleanText";
import type { Clip } from "../clip/model";
import { testBatches } from "../datasets/pictures";
import type { Item } from "../datasets/split";
import { tf } from "../engine/tf";
import type { Classifier } from "../methods/method";
import { plainName } from "../methods/prompts";

/** Images per test batch, as in the official code. The accuracy does not depend on it. */
export const testBatch = 100;

/**
 * Images per forward pass. It is below `testBatch` for a large model, so that the largest array of a block takes at
 * most 64 MB; larger batches are no faster.
 */
export const imagesPerPass = ({ image }: Clip): number =>
  Math.max(1, Math.min(testBatch, Math.floor(2 ** 22 / (image.positions.shape[0] * image.width))));

/** Returns to the event loop once, so that timers, signal handlers and displays can run. */
export const yieldToEventLoop = () => new Promise((resolve) => setImmediate(resolve));

/** For each class the first class whose name makes the same sentence: itself, unless a name occurs before. */
export function firstOfSameSentence(classNames: string[]): number[] {
  const first = new Map<string, number>();
  return classNames.map((className, label) => {
    const words = cleanText(plainName(className)).toLowerCase();
    if (!first.has(words)) first.set(words, label);
    return first.get(words) as number;
  });
}

/** Percentages: `exact` by labels, `merged` with classes of the same sentence as one class. */
export type Accuracy = { exact: number; merged: number };

/**
 * The percentage of images whose true class has the largest logit; of equal logits, the first class is the
 * prediction. `onPictures` is called after each batch with the number of images evaluated so far.
 * @param firstOf `firstOfSameSentence` of the class names
 * @throws the signal's reason when it is aborted; an Error if there are no images, or a logit is not finite
 */
export async function accuracy(
  classifier: Classifier,
  items: Item[],
  clip: Clip,
  firstOf: number[],
  { signal, onPictures }: { signal?: AbortSignal; onPictures?: (done: number) => void } = {},
): Promise<Accuracy> {
  if (items.length === 0) throw new Error("there are no images to test on");
  const { height, width } = clip.preprocess.output;
  let [exact, merged, done] = [0, 0, 0];
  for await (const { pixels, labels } of testBatches(items, clip.preprocess, imagesPerPass(clip))) {
    signal?.throwIfAborted();
    const predicted = tf.tidy(() => {
      const logits = classifier.logits(tf.tensor4d(pixels, [labels.length, 3, height, width]));
      return tf.where(tf.all(tf.isFinite(logits), 1), logits.argMax(1), tf.scalar(-1, "int32")); // -1 where a logit is not finite
    });
    const classes = predicted.dataSync();
    predicted.dispose();
    const wrong = classes.indexOf(-1);
    if (wrong >= 0)
      throw new Error(
        `a logit of ${items[done + wrong].path} is not finite: the model's files, or the prompts, are damaged`,
      );
    exact += labels.filter((label, i) => classes[i] === label).length;
    merged += labels.filter((label, i) => firstOf[classes[i]] === firstOf[label]).length;
    done += labels.length;
    onPictures?.(done);
    await yieldToEventLoop();
  }
  return { exact: (100 * exact) / items.length, merged: (100 * merged) / items.length };
}
