/** Top-1 accuracy of a classifier on labelled images. */
import type { Clip } from "../clip/model";
import { testBatches } from "../datasets/pictures";
import type { Item } from "../datasets/split";
import { tf } from "../engine/tf";
import type { Classifier } from "../methods/method";

/** Images per test batch, as in the official code. The accuracy does not depend on it. */
export const testBatch = 100;

/**
 * Images per forward pass. It is below `testBatch` for a large model, so that the largest array of a block takes at
 * most 64 MB; larger batches are no faster.
 */
const imagesPerPass = ({ image }: Clip): number =>
  Math.max(1, Math.min(testBatch, Math.floor(2 ** 22 / (image.positions.shape[0] * image.width))));

/** Returns to the event loop once, so that timers, signal handlers and displays can run. */
const yieldToEventLoop = () => new Promise((resolve) => setImmediate(resolve));

/**
 * The percentage of images whose true class has the largest logit; of equal logits, the first class is the
 * prediction. `onPictures` is called after each batch with the number of images evaluated so far.
 * @throws the signal's reason when it is aborted; an Error if there are no images
 */
export async function accuracy(
  classifier: Classifier,
  items: Item[],
  clip: Clip,
  { signal, onPictures }: { signal?: AbortSignal; onPictures?: (done: number) => void } = {},
): Promise<number> {
  if (items.length === 0) throw new Error("there are no images to test on");
  const { height, width } = clip.preprocess.output;
  let [correct, done] = [0, 0];
  for await (const { pixels, labels } of testBatches(items, clip.preprocess, imagesPerPass(clip))) {
    signal?.throwIfAborted();
    const predicted = tf.tidy(() =>
      classifier.logits(tf.tensor4d(pixels, [labels.length, 3, height, width])).argMax(1),
    );
    const classes = predicted.dataSync();
    predicted.dispose();
    correct += labels.filter((label, i) => classes[i] === label).length;
    done += labels.length;
    onPictures?.(done);
    await yieldToEventLoop();
  }
  return (100 * correct) / items.length;
}
