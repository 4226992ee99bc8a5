/** Class probabilities of single pictures without labels, as a user names them. */
import fs from "node:fs";
import path from "node:path";
import type { Clip } from "../clip/model";
import { isFileInside, isPictureName, pictureNames } from "../io/identify";
import { decode, normalisePixels, testPicture } from "../io/preprocess";
import type { Classifier } from "../methods/method";
import { UsageError } from "../util/errors";
import { classProbabilities } from "./predictions";

/** The probabilities of a picture by class name, or the reason why it has none. */
export type Prediction = { picture: string; probabilities?: Record<string, number>; error?: string };

/** Pictures of one pass through the image encoder. */
const batch = 16;

/** A picture under the name that the user gave it, and the file that is opened. */
type NamedPicture = { name: string; file: string };

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
    const pixels = new Float32Array(decoded.length * size);
    for (const [k, one] of decoded.entries()) pixels.set(one, k * size);
    const rows = decoded.length > 0 ? classProbabilities(classifier, pixels, clip.preprocess.output) : [];
    for (const { picture, ...one } of part) {
      if ("error" in one) predictions.push({ picture, error: one.error });
      else {
        const [{ probabilities }] = rows.splice(0, 1);
        const named = classNames.map((name, c): [string, number] => [name, probabilities[c]]);
        predictions.push({ picture, probabilities: Object.fromEntries(named) });
      }
    }
    progress(Math.min(from + batch, pictures.length));
  }
  return predictions;
}
