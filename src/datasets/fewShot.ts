/** The official few-shot draws (Dassl, data/datasets/base_dataset.py, generate_fewshot_dataset). */
import { createHash } from "node:crypto";
import path from "node:path";
import { contentHashes } from "../io/contentHash";
import { UsageError } from "../util/errors";
import { type PythonRandom, pythonRandom } from "./pythonRandom";
import type { Dataset, Item } from "./split";

/**
 * Draws `shots` training pictures and min(shots, 4) validation pictures per class, with Python's random number
 * generator seeded with `seed`. The training pictures are drawn first, class by class in the order in which the classes
 * first appear, then the validation pictures with the same generator. A class with fewer pictures keeps all of them.
 * As in the official code, draw from all classes first and apply `baseNovel` afterwards.
 */
export function fewShotItems(dataset: Dataset, shots: number, seed: number): Pick<Dataset, "train" | "val"> {
  // Python's generator ignores the sign: -1 would draw what 1 draws, and seem to be another seed.
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new UsageError(`a seed must be a whole number from 0; it is ${seed}`);
  if (!Number.isInteger(shots) || shots < 1)
    throw new UsageError(`the number of shots must be a whole number from 1; it is ${shots}`);
  const labelsInTrain = new Set(dataset.train.map((item) => item.label));
  const emptyClasses = dataset.classNames.filter((_, label) => !labelsInTrain.has(label));
  if (emptyClasses.length > 0) {
    const examples = emptyClasses.slice(0, 3).join('", "');
    throw new Error(
      `${dataset.name} (${dataset.split}): no training picture for ${emptyClasses.length} of ` +
        `${dataset.classNames.length} classes ("${examples}")`,
    );
  }
  const random = pythonRandom(seed);
  const train = drawPerClass(dataset.train, shots, random);
  const val = drawPerClass(dataset.val, Math.min(shots, 4), random);
  return { train, val };
}

/**
 * The dataset with the few shots of `fewShotItems`; its test pictures are unchanged. Where the content of the training
 * pictures is not part of the dataset's fingerprint, because they are too many to be read, that of the drawn ones is.
 */
export function drawFewShot(dataset: Dataset, shots: number, seed: number): Dataset {
  const { train, val } = fewShotItems(dataset, shots, seed);
  return { ...dataset, ...withContent(dataset, train), val };
}

/** The drawn pictures with the hashes of their content, and the fingerprint with the hashes that it lacked. */
function withContent({ folder, fingerprint }: Dataset, train: Item[]): Pick<Dataset, "train" | "fingerprint"> {
  const unread = train.filter(({ hash }) => hash === undefined).map((item) => item.path);
  if (unread.length === 0) return { train, fingerprint };
  const hashes = new Map(contentHashes(folder, unread).map((hash, i) => [unread[i], hash]));
  const lost = unread.find((file) => hashes.get(file) === undefined);
  if (lost !== undefined) throw new Error(`${lost}, a training picture that was drawn, is missing`);
  const extended = createHash("sha256").update(fingerprint);
  for (const [file, hash] of hashes) extended.update(`\n${path.relative(folder, file)} ${hash}`);
  return {
    train: train.map((item) => ({ ...item, hash: item.hash ?? hashes.get(item.path) })),
    fingerprint: extended.digest("hex").slice(0, 16),
  };
}

/** The classes that have fewer training pictures than `shots`, so that a run can report them. */
export function shortClasses(dataset: Dataset, shots: number): { className: string; pictures: number }[] {
  const counts = dataset.classNames.map((className) => ({ className, pictures: 0 }));
  for (const { label } of dataset.train) counts[label].pictures++;
  return counts.filter(({ pictures }) => pictures < shots);
}

function drawPerClass(items: Item[], shots: number, random: PythonRandom): Item[] {
  const classes = new Map<number, Item[]>(); // in order of first appearance, as in Python's defaultdict
  for (const item of items) {
    const group = classes.get(item.label);
    if (group) group.push(item);
    else classes.set(item.label, [item]);
  }
  return [...classes.values()].flatMap((group) => (group.length >= shots ? random.sample(group, shots) : group));
}
