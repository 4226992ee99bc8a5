/** Top-1 accuracy of a classifier on labelled pictures. */
import type { Clip } from "../clip/model";
import { testBatches } from "../datasets/pictures";
import type { Item } from "../datasets/split";
import { tf } from "../engine/tf";
import type { Classifier } from "../methods/method";

/** Pictures of one test batch, as in the official code; the accuracy does not depend on it. */
export const testBatch = 100;

/** Fewer for a large model: the largest array of a block then takes 64 MB, and more at once are no faster. */
const picturesAtOnce = ({ image }: Clip): number =>
  Math.max(1, Math.min(testBatch, Math.floor(2 ** 22 / (image.positions.shape[0] * image.width))));

/** Lets timers, signals and displays have their turn. */
const breathe = () => new Promise((resolve) => setImmediate(resolve));

/**
 * Percentage of the pictures whose own class has the largest logit (of equal ones the first). `onPictures` hears how many are done.
 * @throws the signal's reason when it is aborted, and when there are no pictures
 */
export async function accuracy(
  classifier: Classifier,
  items: Item[],
  clip: Clip,
  { signal, onPictures }: { signal?: AbortSignal; onPictures?: (done: number) => void } = {},
): Promise<number> {
  if (items.length === 0) throw new Error("there are no pictures to test on");
  const { height, width } = clip.preprocess.output;
  let [correct, done] = [0, 0];
  for await (const { pixels, labels } of testBatches(items, clip.preprocess, picturesAtOnce(clip))) {
    signal?.throwIfAborted();
    const predicted = tf.tidy(() =>
      classifier.logits(tf.tensor4d(pixels, [labels.length, 3, height, width])).argMax(1),
    );
    const classes = predicted.dataSync();
    predicted.dispose();
    correct += labels.filter((label, i) => classes[i] === label).length;
    done += labels.length;
    onPictures?.(done);
    await breathe();
  }
  return (100 * correct) / items.length;
}
