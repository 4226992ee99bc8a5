/**
 * Batches of pictures as the models take them: float32 [B, 3, height, width] (B images), normalised by the model's
 * preprocess. Decoded pictures are cached in memory; the next batch's files are read while the current batch is in use.
 */
import { statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { LRUCache } from "lru-cache";
import { officialAugmentation } from "../configs/presets";
import type { Augmentation } from "../configs/settings";
import { hashOf } from "../io/contentHash";
import {
  cropPicture,
  decode,
  normalisePixels,
  type PixelBatch,
  type Preprocess,
  pythonRound,
  testPicture,
} from "../io/preprocess";
import type { Box, Picture } from "../io/resample";
import { type Random, seeded } from "../util/random";
import type { Item } from "./split";

type BatchOptions = { batch: number; seed: number; augmentation?: Augmentation };

/**
 * Steps of an epoch: the last, incomplete batch is dropped unless it is the only one (Dassl: drop_last = len >= batch).
 */
export const stepsPerEpoch = (count: number, batch: number) => Math.max(1, Math.floor(count / batch));

/** What training reads: `steps` batches in each epoch, epochs counted from 1. */
type TrainingPictures = {
  count: number;
  steps: number;
  epoch(e: number): AsyncIterable<PixelBatch> | Iterable<PixelBatch>;
};

/**
 * The training pictures: in each epoch a new permutation, a random crop and perhaps a mirroring for every picture. All
 * of it depends on (seed, epoch) alone, and a picture's crop not on the size of the batch, so training resumes at any
 * epoch with the same numbers.
 */
export function trainPictures(items: Item[], preprocess: Preprocess, options: BatchOptions): TrainingPictures {
  const { batch, seed, augmentation = officialAugmentation } = options;
  if (items.length === 0) throw new Error("there are no pictures to train on");
  checkBatch(batch);
  const steps = stepsPerEpoch(items.length, batch);
  async function* epoch(e: number): AsyncGenerator<PixelBatch> {
    const order = seeded("order", seed, e).shuffle(items);
    const random = seeded("augmentation", seed, e);
    const chosen = (step: number) => (step < steps ? order.slice(step * batch, (step + 1) * batch) : []);
    let next = decodeAll(chosen(0));
    for (let step = 0; step < steps; step++) {
      const pictures = await next;
      next = decodeAll(chosen(step + 1));
      yield fillBatch(chosen(step), preprocess, (i) => {
        const box = randomResizedCrop(random, pictures[i].width, pictures[i].height, augmentation);
        return { picture: cropPicture(pictures[i], box, preprocess), flip: random.uniform() < augmentation.flip };
      });
    }
  }
  return { count: items.length, steps, epoch };
}

/** The test transform of every item, in order; the last batch may be smaller. Transformed pictures are cached, too. */
export async function* testBatches(items: Item[], preprocess: Preprocess, batch: number): AsyncGenerator<PixelBatch> {
  checkBatch(batch);
  const { shortestEdge, resizeTo, crop, filter } = preprocess;
  const transform = JSON.stringify([shortestEdge, resizeTo, crop, filter]);
  const transformed = (from: number) =>
    handled(
      Promise.all(
        items
          .slice(from, from + batch)
          .map((item) =>
            remember(`${keyOf(item)} ${transform}`, async () => testPicture(await readPicture(item), preprocess)),
          ),
      ),
    );
  let next = transformed(0);
  for (let from = 0; from < items.length; from += batch) {
    const pictures = await next;
    next = transformed(from + batch);
    yield fillBatch(items.slice(from, from + batch), preprocess, (i) => ({ picture: pictures[i], flip: false }));
  }
}

/**
 * Every item in order, with a random crop and perhaps a mirroring that depend on (seed, view) alone; the last batch may
 * be smaller.
 */
export async function* viewBatches(
  items: Item[],
  preprocess: Preprocess,
  { batch, seed, augmentation = officialAugmentation }: BatchOptions,
  view: number,
): AsyncGenerator<PixelBatch> {
  const random = seeded("view", seed, view);
  for (let from = 0; from < items.length; from += batch) {
    const chosen = items.slice(from, from + batch);
    const pictures = await decodeAll(chosen);
    yield fillBatch(chosen, preprocess, (i) => {
      const box = randomResizedCrop(random, pictures[i].width, pictures[i].height, augmentation);
      return { picture: cropPicture(pictures[i], box, preprocess), flip: random.uniform() < augmentation.flip };
    });
  }
}

function checkBatch(batch: number): void {
  if (!Number.isInteger(batch) || batch < 1)
    throw new Error(`the batch must be a whole number of pictures from 1; it is ${batch}`);
}

function fillBatch(
  items: Item[],
  preprocess: Preprocess,
  view: (i: number) => { picture: Picture; flip: boolean },
): PixelBatch {
  const { height, width } = preprocess.output;
  const size = 3 * height * width;
  const pixels = new Float32Array(items.length * size);
  for (let i = 0; i < items.length; i++) {
    const { picture, flip } = view(i);
    normalisePixels(picture, preprocess, flip, pixels, i * size);
  }
  return { pixels, labels: Int32Array.from(items, ({ label }) => label), paths: items.map(({ path }) => path) };
}

/**
 * torchvision's RandomResizedCrop.get_params: up to 10 tries of a random area and ratio; if none fits, the largest
 * central crop whose ratio is allowed.
 */
export function randomResizedCrop(random: Random, width: number, height: number, { scale, ratio }: Augmentation): Box {
  const between = (from: number, to: number) => from + (to - from) * random.uniform();
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = width * height * between(scale[0], scale[1]);
    const aspect = Math.exp(between(Math.log(ratio[0]), Math.log(ratio[1])));
    const w = pythonRound(Math.sqrt(area * aspect));
    const h = pythonRound(Math.sqrt(area / aspect));
    if (w > 0 && w <= width && h > 0 && h <= height) {
      const top = random.int(height - h + 1);
      return { top, left: random.int(width - w + 1), height: h, width: w };
    }
  }
  const aspect = width / height;
  const w = aspect > ratio[1] ? pythonRound(height * ratio[1]) : width;
  const h = aspect < ratio[0] ? pythonRound(width / ratio[0]) : height;
  return { top: Math.floor((height - h) / 2), left: Math.floor((width - w) / 2), height: h, width: w };
}

const decodeAll = (items: Item[]) =>
  handled(Promise.all(items.map((item) => remember(keyOf(item), () => readPicture(item)))));

/**
 * The cache key of a picture: the hash of its content, or, where that is not known, its path, size and times of change.
 */
function keyOf({ path, hash }: Item): string {
  if (hash !== undefined) return hash;
  const stats = statSync(path, { throwIfNoEntry: false });
  return `${path} ${stats?.size} ${stats?.mtimeMs} ${stats?.ctimeMs}`;
}

/** Decodes a picture file. @throws if it is not the file that the dataset was loaded with */
async function readPicture({ path, hash }: Item): Promise<Picture> {
  const bytes = await readFile(path);
  if (hash !== undefined && hashOf(bytes) !== hash) {
    throw new Error(
      `${path} has changed since its dataset was loaded: load the dataset again (loadDataset), then run again`,
    );
  }
  try {
    return await decode(bytes);
  } catch (error) {
    throw new Error((error as Error).message.replace(/^picture:/, `${path}:`));
  }
}

/** Marks a rejection as handled: reading ahead may fail before the promise is awaited, where the error is thrown. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** Decoded and resized pictures by content: at most 512 MB, the least recently used are dropped first. */
const pictureCache = new LRUCache<string, Picture>({
  maxSize: 512 * 2 ** 20,
  sizeCalculation: ({ data }) => data.length,
});
/** Pictures that are being decoded, so that no file is decoded twice at once. */
const decoding = new Map<string, Promise<Picture>>();

function remember(key: string, make: () => Promise<Picture>): Picture | Promise<Picture> {
  const cached = pictureCache.get(key);
  if (cached) return cached;
  let promise = decoding.get(key);
  if (!promise) {
    promise = make()
      .then((picture) => {
        pictureCache.set(key, picture);
        return picture;
      })
      .finally(() => decoding.delete(key));
    decoding.set(key, promise);
  }
  return promise;
}
