/**
 * Parity of the inputs to the model: pixels compared with Pillow and torchvision, few-shot draws with Python's random
 * number generator, token ids with CLIP's tokenizer. Each check passes a folder of reference files through the
 * functions that training uses.
 */
import path from "node:path";
import { loadTokenizer } from "../clip/tokenizer";
import { fewShotItems } from "../datasets/fewShot";
import type { Dataset, Item } from "../datasets/split";
import { cropPicture, decode, normalisePixels, readPreprocess, testPicture } from "../io/preprocess";
import { readJson } from "../io/readJson";
import { readSafetensors, type Stored } from "../io/safetensors";
import { Checks, type ParityReport } from "./checks";

type Print = (line: string) => void;

/**
 * Largest allowed differences of a JPEG, in grey levels. JPEG decoders round the inverse cosine transform and the
 * chroma upsampling differently: libjpeg-turbo and mozjpeg agree to the bit, other decoders stay within these bounds.
 * Files in lossless formats must be equal to the bit.
 */
const jpegBound = { mean: 0.5, max: 16 };

type PixelCase = { key: string; file: string; kind: "test" | "crop"; size: number; flip?: boolean } & Record<
  "top" | "left" | "height" | "width",
  number
>;

/**
 * Checks the preprocessing.
 * @param folder with pictures, cases.json and expected.safetensors, which holds uint8 [size, size, 3] under each case's
 *   key
 */
export async function preprocessParity(folder: string, print: Print): Promise<ParityReport> {
  const checks = new Checks(print);
  const { tensors } = readSafetensors(path.join(folder, "expected.safetensors"));
  for (const pixelCase of readJson(path.join(folder, "cases.json")) as PixelCase[]) {
    await checks.group(pixelCase.key, async () => {
      if (!tensors[pixelCase.key]) throw new Error(`expected.safetensors has no tensor "${pixelCase.key}"`);
      const { max, mean } = compareLevels(await levels(folder, pixelCase), tensors[pixelCase.key]);
      const lossy = /\.jpe?g$/i.test(pixelCase.file);
      const isWithinBound = lossy ? mean <= jpegBound.mean && max <= jpegBound.max : max === 0;
      const requirement = lossy ? `JPEG: at most ${jpegBound.max}, mean ${jpegBound.mean}` : "must be equal";
      checks[isWithinBound ? "pass" : "fail"](
        pixelCase.key,
        `largest difference ${max} of 255 grey levels, mean ${mean.toFixed(4)} (${requirement})`,
      );
    });
  }
  return checks.report;
}

/**
 * The pixels of a case, [3, size, size]. The settings disable rescaling and normalisation, so that the values stay grey
 * levels although they pass through `normalisePixels`.
 */
async function levels(folder: string, pixelCase: PixelCase): Promise<Float32Array> {
  const settings = { size: pixelCase.size, crop_size: pixelCase.size, do_rescale: false, do_normalize: false };
  const preprocess = readPreprocess(settings, "cases.json");
  const picture = await decode(path.join(folder, pixelCase.file));
  const cropped =
    pixelCase.kind === "test" ? testPicture(picture, preprocess) : cropPicture(picture, pixelCase, preprocess);
  const pixels = new Float32Array(3 * pixelCase.size * pixelCase.size);
  normalisePixels(cropped, preprocess, Boolean(pixelCase.flip), pixels, 0);
  return pixels;
}

/** Compares planes [3, height * width] with interleaved values [height, width, 3]. */
function compareLevels(planes: Float32Array, { data }: Stored): { max: number; mean: number } {
  if (planes.length !== data.length)
    throw new Error(`there are ${planes.length} numbers, but the reference has ${data.length}`);
  const plane = planes.length / 3;
  let max = 0;
  let sum = 0;
  for (let i = 0; i < data.length; i++) {
    const difference = Math.abs(planes[(i % 3) * plane + Math.floor(i / 3)] - data[i]);
    max = Math.max(max, difference);
    sum += difference;
  }
  return { max, mean: sum / data.length };
}

/**
 * Number of training items in each class from which fewshot_draws.json was drawn. The validation items are the first 30
 * of each class (test/golden/README.md).
 */
const itemsPerClass: Record<string, number> = { a: 40, b: 13, c: 200, d: 16, e: 1300 };

type Draws = Record<"train" | "val", Record<string, number[]>>;

/**
 * Checks few-shot draws against Python's random number generator.
 * @param folder with fewshot_draws.json: {seed: {train: {class: indices}, val: {class: indices}}}
 */
export async function drawsParity(folder: string, print: Print): Promise<ParityReport> {
  const checks = new Checks(print);
  const seeds: Record<string, Draws> = readJson(path.join(folder, "fewshot_draws.json"));
  for (const [seed, expected] of Object.entries(seeds)) {
    await checks.group(`draws, seed ${seed}`, () => {
      const classNames = Object.keys(expected.train);
      const shots = Math.max(...classNames.map((name) => expected.train[name].length));
      const drawn = fewShotItems(numberedItems(classNames, folder), shots, Number(seed));
      let [wrong, count] = [0, 0];
      for (const subset of ["train", "val"] as const) {
        for (const name of classNames) {
          const indices = drawn[subset].filter((item) => item.className === name).map((item) => Number(item.path));
          const wantedIndices = expected[subset][name];
          wrong += Math.max(indices.length - wantedIndices.length, 0);
          wrong += wantedIndices.filter((index, i) => indices[i] !== index).length;
          count += wantedIndices.length;
        }
      }
      checks[wrong === 0 ? "pass" : "fail"](
        `draws, seed ${seed}`,
        `${wrong} of ${count} indices differ (${classNames.length} classes)`,
      );
    });
  }
  return checks.report;
}

/** A dataset in which the path of each item is its index within the class. */
function numberedItems(classNames: string[], folder: string): Dataset {
  const unknown = classNames.find((name) => !(name in itemsPerClass));
  if (unknown) throw new Error(`the number of items in class "${unknown}" is not known`);
  const items = (limit: number): Item[] =>
    classNames.flatMap((className, label) =>
      Array.from({ length: Math.min(limit, itemsPerClass[className]) }, (_, i) => ({ path: `${i}`, label, className })),
    );
  const [train, val] = [items(Number.POSITIVE_INFINITY), items(30)];
  return { name: "draws", folder, split: "draws", classNames, train, val, test: [], fingerprint: "" };
}

/**
 * Checks token ids.
 * @param folder with tokenizer.json and expected_ids.json: [{text, ids}], where the ids include the start and the end
 *   token
 */
export async function tokenParity(folder: string, print: Print): Promise<ParityReport> {
  const checks = new Checks(print);
  const texts: { text: string; ids: number[] }[] = readJson(path.join(folder, "expected_ids.json"));
  const tokenizer = loadTokenizer(folder);
  for (const { text, ids } of texts) {
    const actual = tokenizer.encode(text);
    const isEqual = actual.join(" ") === ids.join(" ");
    checks[isEqual ? "pass" : "fail"](
      JSON.stringify(text),
      isEqual ? `${ids.length} ids equal` : `ids ${actual.join(" ")}, expected ${ids.join(" ")}`,
    );
  }
  return checks.report;
}
