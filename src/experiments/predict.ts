/** Class probabilities of single pictures: softmax over the logits of a classifier (CLIP, section 3.1.2). */
import fs from "node:fs";
import path from "node:path";
import type { Clip } from "../clip/model";
import { tf } from "../engine/tf";
import { isFileInside, isPictureName, pictureNames } from "../io/identify";
import { decode, normalisePixels, testPicture } from "../io/preprocess";
import type { Classifier } from "../methods/method";
import { UsageError } from "../util/errors";

/** The probabilities of a picture by class name, or the reason why it has none. */
export type Prediction = { picture: string; probabilities?: Record<string, number>; error?: string };

/** Pictures of one pass through the image encoder. */
const batch = 16;

/** A picture under the name that the user gave it, and the file that is opened. */
export type NamedPicture = { name: string; file: string };

/**
 * The pictures that paths stand for, folders with all below them, in a fixed order. Links that lead out of a folder are
 * left out.
 * @param resolve finds the file of a path that a user wrote
 * @throws UsageError where there is no such path, or a folder without a picture
 */
export function picturesOf(paths: string[], resolve: (name: string) => string): NamedPicture[] {
  return paths.flatMap((name) => {
    const place = resolve(name);
    const stats = fs.statSync(place, { throwIfNoEntry: false });
    if (!stats) throw new UsageError(`there is no picture or folder ${place}`);
    if (!stats.isDirectory()) return [{ name, file: place }];
    const root = fs.realpathSync(place);
    const below = fs
      .readdirSync(place, { recursive: true, encoding: "utf8" })
      .filter((relative) => isPictureName(relative) && isFileInside(path.join(place, relative), root))
      .sort();
    if (below.length === 0) {
      throw new UsageError(`the folder ${place} has no picture (${pictureNames})`);
    }
    return below.map((relative) => ({ name: path.join(name, relative), file: path.join(place, relative) }));
  });
}

/**
 * The probabilities of pictures. One that cannot be decoded has its reason instead; the others are predicted.
 * @throws where a logit is not finite: the model or the prompts are damaged
 */
export async function predict(
  clip: Clip,
  classifier: Classifier,
  classNames: string[],
  pictures: NamedPicture[],
  progress: (done: number) => void = () => {},
): Promise<Prediction[]> {
  const { height, width } = clip.preprocess.output;
  const size = 3 * height * width;
  const predictions: Prediction[] = [];
  for (let from = 0; from < pictures.length; from += batch) {
    const part = await Promise.all(
      pictures.slice(from, from + batch).map(async ({ name: picture, file }) => {
        try {
          const pixels = new Float32Array(size);
          normalisePixels(testPicture(await decode(file), clip.preprocess), clip.preprocess, false, pixels, 0);
          return { picture, pixels };
        } catch (error) {
          return { picture, error: (error as Error).message.split("\n")[0] };
        }
      }),
    );
    const decoded = part.flatMap((one) => ("pixels" in one && one.pixels ? [one.pixels] : []));
    const rows = decoded.length > 0 ? probabilities(classifier, decoded, [height, width]) : [];
    for (const { picture, ...one } of part) {
      if ("error" in one) predictions.push({ picture, error: one.error });
      else {
        const row = rows.shift() as number[];
        predictions.push({ picture, probabilities: Object.fromEntries(classNames.map((name, c) => [name, row[c]])) });
      }
    }
    progress(Math.min(from + batch, pictures.length));
  }
  return predictions;
}

function probabilities(classifier: Classifier, decoded: Float32Array[], [height, width]: [number, number]): number[][] {
  return tf.tidy(() => {
    const all = new Float32Array(decoded.length * decoded[0].length);
    for (const [k, one] of decoded.entries()) all.set(one, k * one.length);
    const pixels = tf.tensor4d(all, [decoded.length, 3, height, width]);
    const rows = tf.softmax(classifier.logits(pixels)).arraySync() as number[][];
    if (rows.some((row) => row.some((value) => !Number.isFinite(value)))) {
      throw new Error("the model gives logits that are not finite: its files, or the prompts, are damaged");
    }
    return rows;
  });
}
