/** The official few-shot draws (Dassl, data/datasets/base_dataset.py, generate_fewshot_dataset). */
import { type PythonRandom, pythonRandom } from "./pythonRandom";
import type { Dataset, Item } from "./split";

/**
 * Draws `shots` training pictures and min(shots, 4) validation pictures per class, with Python's random number
 * generator seeded with `seed`. The training pictures are drawn first, class by class in the order in which the classes
 * first appear, then the validation pictures with the same generator. A class with fewer pictures keeps all of them.
 * The test pictures are unchanged. As in the official code, draw from all classes first and apply `baseNovel`
 * afterwards.
 */
export function drawFewShot(dataset: Dataset, shots: number, seed: number): Dataset {
  if (!Number.isInteger(shots) || shots < 1)
    throw new Error(`the number of shots must be a whole number from 1; it is ${shots}`);
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
  return { ...dataset, train, val };
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
