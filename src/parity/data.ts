/**
 * Parity of the inputs to the model: pixels compared with Pillow and torchvision, few-shot draws with Python's random number
 * generator, token ids with CLIP's tokenizer. Each check passes a folder of reference files through the functions that
 * training uses.
 */
import path from "node:path";
import { loadTokenizer } from "../clip/tokenizer";
import { drawFewShot } from "../datasets/fewShot";
import type { Dataset, Item } from "../datasets/split";
import { cropPicture, decode, normalisePixels, readPreprocess, testPicture } from "../io/preprocess";
import { readJson } from "../io/readJson";
import { readSafetensors, type Stored } from "../io/safetensors";
import { Checks, type ParityReport } from "./checks";

type Print = (line: string) => void;

/**
 * Largest allowed differences of a JPEG, in grey levels. JPEG decoders round the inverse cosine transform and the chroma
 * upsampling differently: libjpeg-turbo and mozjpeg agree to the bit, other decoders stay within these bounds. Files in
 * lossless formats must be equal to the bit.
 */
export const jpegBound = { mean: 0.5, max: 16 };

type PixelCase = { key: string; file: string; kind: "test" | "crop"; size: number; flip?: boolean } & Record<
  "top" | "left" | "height" | "width",
  number
>;

/**
 * Checks the preprocessing.
 * @param folder with pictures, cases.json and expected.safetensors, which holds uint8 [size, size, 3] under each case's key
 */
export async function preprocessParity(folder: string, print: Print): Promise<ParityReport> {
  const checks = new Checks(print);
  const { tensors } = readSafetensors(path.join(folder, "expected.safetensors"));
  for (const one of readJson(path.join(folder, "cases.json")) as PixelCase[]) {
    await checks.group(one.key, async () => {
      if (!tensors[one.key]) throw new Error(`expected.safetensors has no "${one.key}"`);
      const { max, mean } = compareLevels(await levels(folder, one), tensors[one.key]);
      const lossy = /\.jpe?g$/i.test(one.file);
      const right = lossy ? mean <= jpegBound.mean && max <= jpegBound.max : max === 0;
      const wanted = lossy ? `JPEG: at most ${jpegBound.max}, mean ${jpegBound.mean}` : "must be equal";
      checks[right ? "pass" : "fail"](
        one.key,
        `largest difference ${max} of 255 grey levels, mean ${mean.toFixed(4)} (${wanted})`,
      );
    });
  }
  return checks.report;
}

/** A case's pixels [3, size, size], as grey levels so that normalisePixels() is compared too. */
async function levels(folder: string, one: PixelCase): Promise<Float32Array> {
  const settings = { size: one.size, crop_size: one.size, do_rescale: false, do_normalize: false };
  const preprocess = readPreprocess(settings, "cases.json");
  const picture = await decode(path.join(folder, one.file));
  const made = one.kind === "test" ? testPicture(picture, preprocess) : cropPicture(picture, one, preprocess);
  const pixels = new Float32Array(3 * one.size * one.size);
  normalisePixels(made, preprocess, Boolean(one.flip), pixels, 0);
  return pixels;
}

/** planes [3, height * width] against interleaved [height, width, 3]. */
function compareLevels(planes: Float32Array, { data }: Stored): { max: number; mean: number } {
  if (planes.length !== data.length) throw new Error(`${planes.length} numbers, the reference has ${data.length}`);
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

/** Items per class behind fewshot_draws.json; validation holds the first 30 of each (test/golden/README.md). */
const drawnFrom: Record<string, number> = { a: 40, b: 13, c: 200, d: 16, e: 1300 };

type Draws = Record<"train" | "val", Record<string, number[]>>;

/** fewshot_draws.json: {seed: {train: {class: indices}, val: {class: indices}}}, drawn by Python's generator. */
export async function drawsParity(folder: string, print: Print): Promise<ParityReport> {
  const checks = new Checks(print);
  const seeds: Record<string, Draws> = readJson(path.join(folder, "fewshot_draws.json"));
  for (const [seed, expected] of Object.entries(seeds)) {
    await checks.group(`draws, seed ${seed}`, () => {
      const classNames = Object.keys(expected.train);
      const shots = Math.max(...classNames.map((name) => expected.train[name].length));
      const drawn = drawFewShot(numberedItems(classNames, folder), shots, Number(seed));
      let [wrong, count] = [0, 0];
      for (const part of ["train", "val"] as const) {
        for (const name of classNames) {
          const made = drawn[part].filter((item) => item.className === name).map((item) => Number(item.path));
          const wanted = expected[part][name];
          wrong += Math.max(made.length - wanted.length, 0) + wanted.filter((index, i) => made[i] !== index).length;
          count += wanted.length;
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

/** A dataset whose items' paths are their indices within the class. */
function numberedItems(classNames: string[], folder: string): Dataset {
  const unknown = classNames.find((name) => !(name in drawnFrom));
  if (unknown) throw new Error(`how many items class "${unknown}" was drawn from is not known`);
  const items = (most: number): Item[] =>
    classNames.flatMap((className, label) =>
      Array.from({ length: Math.min(most, drawnFrom[className]) }, (_, i) => ({ path: `${i}`, label, className })),
    );
  const [train, val] = [items(Number.POSITIVE_INFINITY), items(30)];
  return { name: "draws", folder, split: "draws", classNames, train, val, test: [], fingerprint: "" };
}

/** expected_ids.json beside a tokenizer.json: [{text, ids}], ids with start and end token. */
export async function tokenParity(folder: string, print: Print): Promise<ParityReport> {
  const checks = new Checks(print);
  const texts: { text: string; ids: number[] }[] = readJson(path.join(folder, "expected_ids.json"));
  const tokenizer = loadTokenizer(folder);
  for (const { text, ids } of texts) {
    const made = tokenizer.encode(text);
    const right = made.join(" ") === ids.join(" ");
    checks[right ? "pass" : "fail"](
      JSON.stringify(text),
      right ? `${ids.length} ids equal` : `ids ${made.join(" ")}, expected ${ids.join(" ")}`,
    );
  }
  return checks.report;
}
