/**
 * Parity of what comes before the model: pixels against Pillow and torchvision, few-shot draws against Python's generator, token ids
 * against CLIP's tokenizer. Each replays a folder of reference files through the functions that training uses.
 */
import fs from "node:fs";
import path from "node:path";
import { cropPicture, decode, normalise, readPreprocess, testPicture } from "./clip/pixels";
import { readSafetensors } from "./clip/safetensors";
import { loadTokenizer } from "./clip/tokenizer";
import { fewShot } from "./datasets/fewshot";
import { readJson } from "./datasets/json";
import type { Dataset } from "./datasets/split";

export type Counts = { passed: number; failed: number };
type Print = (line: string) => void;

/** Runs named checks; each gives what it found and whether that is right, or throws. One line is printed for each. */
async function runChecks(checks: [name: string, check: () => Promise<[right: boolean, found: string]>][], print: Print): Promise<Counts> {
  const counts = { passed: 0, failed: 0 };
  for (const [name, check] of checks) {
    const [right, found] = await check().catch((error): [boolean, string] => [false, (error as Error).message]);
    counts[right ? "passed" : "failed"]++;
    print(`${right ? "ok  " : "FAIL"} ${name}: ${found}`);
  }
  return counts;
}

/**
 * Grey levels by which a JPEG may differ: decoders round the inverse cosine transform and the chroma upsampling differently
 * (libjpeg-turbo and mozjpeg agree to the bit; others stay within these). Lossless files must be equal to the bit.
 */
export const jpegBound = { mean: 0.5, max: 16 };

/** A folder with pictures, cases.json and expected.safetensors, uint8 [size, size, 3] under each case's key. */
export function preprocessParity(folder: string, print: Print): Promise<Counts> {
  const cases: any[] = readJson(path.join(folder, "cases.json"));
  const { tensors } = readSafetensors(path.join(folder, "expected.safetensors"));
  return runChecks(
    cases.map((one) => [
      `pixels ${one.key}`,
      async () => {
        const expected = tensors[one.key];
        if (!expected) throw new Error(`expected.safetensors has no "${one.key}"`);
        const file = path.join(folder, one.file);
        // Grey levels as they are, so that normalise() is compared too.
        const settings = { size: one.size, crop_size: one.size, do_rescale: false, do_normalize: false };
        const preprocess = readPreprocess(settings, "cases.json");
        const picture = await decode(file);
        const made = one.kind === "test" ? testPicture(picture, preprocess) : cropPicture(picture, one, preprocess);
        const pixels = new Float32Array(3 * one.size * one.size);
        normalise(made, preprocess, Boolean(one.flip), pixels, 0);
        const { max, mean } = compareLevels(pixels, expected.data);
        const lossy = /\.jpe?g$/i.test(one.file);
        const right = lossy ? mean <= jpegBound.mean && max <= jpegBound.max : max === 0;
        const bound = lossy ? `at most ${jpegBound.max} and ${jpegBound.mean} for JPEG` : "must be equal";
        return [right, `largest difference ${max} of 255 grey levels, mean ${mean.toFixed(4)} (${bound})`];
      },
    ]),
    print,
  );
}

/** planes [3, height * width] against interleaved [height * width, 3]. */
function compareLevels(planes: Float32Array, interleaved: Float32Array): { max: number; mean: number } {
  if (planes.length !== interleaved.length) throw new Error(`${planes.length} numbers, the reference has ${interleaved.length}`);
  const plane = planes.length / 3;
  let max = 0;
  let sum = 0;
  for (let i = 0; i < planes.length; i++) {
    const difference = Math.abs(planes[(i % 3) * plane + Math.floor(i / 3)] - interleaved[i]);
    max = Math.max(max, difference);
    sum += difference;
  }
  return { max, mean: sum / planes.length };
}

/** Items per class behind fewshot_draws.json; validation holds the first 30 of each. */
const drawnFrom: Record<string, number> = { a: 40, b: 13, c: 200, d: 16, e: 1300 };

/** fewshot_draws.json: {seed: {train: {class: indices}, val: {class: indices}}}, drawn by Python's generator. */
export function drawsParity(folder: string, print: Print): Promise<Counts> {
  const seeds: Record<string, Record<"train" | "val", Record<string, number[]>>> = readJson(path.join(folder, "fewshot_draws.json"));
  return runChecks(
    Object.entries(seeds).map(([seed, expected]) => [
      `few-shot draws, seed ${seed}`,
      async () => {
        const classNames = Object.keys(expected.train);
        const unknown = classNames.find((name) => !(name in drawnFrom));
        if (unknown) throw new Error(`how many items class "${unknown}" was drawn from is not known`);
        const items = (limit: number) =>
          classNames.flatMap((className, label) =>
            Array.from({ length: Math.min(limit, drawnFrom[className]) }, (_, i) => ({ path: `${i}`, label, className })),
          );
        const dataset: Dataset = {
          ...{ name: "draws", folder, rule: "draws", fingerprint: "", classNames },
          ...{ train: items(Number.POSITIVE_INFINITY), val: items(30), test: [] },
        };
        const shots = Math.max(...classNames.map((name) => expected.train[name].length));
        const drawn = fewShot(dataset, shots, Number(seed));
        let wrong = 0;
        let count = 0;
        for (const part of ["train", "val"] as const) {
          classNames.forEach((name, label) => {
            const indices = drawn[part].filter((item) => item.label === label).map((item) => Number(item.path));
            wrong += Math.abs(indices.length - expected[part][name].length);
            wrong += expected[part][name].filter((index, i) => i < indices.length && indices[i] !== index).length;
            count += expected[part][name].length;
          });
        }
        return [wrong === 0, `${wrong} of ${count} indices differ (${shots} shots, ${classNames.length} classes)`];
      },
    ]),
    print,
  );
}

/** expected_ids.json beside a tokenizer.json: [{text, ids}], ids with start and end token. */
export function tokenParity(folder: string, print: Print): Promise<Counts> {
  const texts: { text: string; ids: number[] }[] = readJson(path.join(folder, "expected_ids.json"));
  const tokenizer = loadTokenizer(folder);
  return runChecks(
    texts.map(({ text, ids }) => [
      `tokens ${JSON.stringify(text)}`,
      async () => {
        const made = tokenizer.encode(text);
        const right = made.length === ids.length && made.every((id, i) => id === ids[i]);
        return [right, right ? `${ids.length} ids equal` : `ids ${made.join(" ")}, expected ${ids.join(" ")}`];
      },
    ]),
    print,
  );
}

/** All checks of this file for which the folder holds reference files. */
export async function dataParity(folder: string, print: Print): Promise<Counts> {
  const total = { passed: 0, failed: 0 };
  const checks = { "cases.json": preprocessParity, "fewshot_draws.json": drawsParity, "expected_ids.json": tokenParity };
  for (const [file, run] of Object.entries(checks)) {
    if (!fs.existsSync(path.join(folder, file))) continue;
    const { passed, failed } = await run(folder, print);
    total.passed += passed;
    total.failed += failed;
  }
  return total;
}
