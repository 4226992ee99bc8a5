/** The official few-shot draws (Dassl, data/datasets/base_dataset.py, generate_fewshot_dataset). */
import { type PythonRandom, pythonRandom } from "./pythonRandom";
import type { Dataset, Item } from "./split";

/**
 * Keeps `shots` training pictures a class and min(shots, 4) validation pictures, drawn by Python's generator seeded with `seed`: training
 * classes in the order in which they first appear, then validation with the same generator. A class with fewer pictures gives all it has.
 * Draw from all classes first and take `baseNovel` afterwards. The test pictures stay as they are.
 */
export function drawFewShot(dataset: Dataset, shots: number, seed: number): Dataset {
  if (!Number.isInteger(shots) || shots < 1)
    throw new Error(`the number of shots must be a whole number from 1; it is ${shots}`);
  const trained = new Set(dataset.train.map((item) => item.label));
  const empty = dataset.classNames.filter((_, label) => !trained.has(label));
  if (empty.length > 0) {
    const some = empty.slice(0, 3).join('", "');
    throw new Error(
      `${dataset.name} (${dataset.split}): no training picture for ${empty.length} of ${dataset.classNames.length} classes ("${some}")`,
    );
  }
  const random = pythonRandom(seed);
  const train = drawPerClass(dataset.train, shots, random);
  const val = drawPerClass(dataset.val, Math.min(shots, 4), random);
  return { ...dataset, train, val };
}

/** The classes that have fewer training pictures than `shots`, so that a run can say that its few shots are fewer. */
export function shortClasses(dataset: Dataset, shots: number): { className: string; pictures: number }[] {
  const counts = dataset.classNames.map((className) => ({ className, pictures: 0 }));
  for (const { label } of dataset.train) counts[label].pictures++;
  return counts.filter(({ pictures }) => pictures < shots);
}

function drawPerClass(items: Item[], shots: number, random: PythonRandom): Item[] {
  const classes = new Map<number, Item[]>(); // in order of first appearance, as Python's defaultdict
  for (const item of items) {
    const group = classes.get(item.label);
    if (group) group.push(item);
    else classes.set(item.label, [item]);
  }
  return [...classes.values()].flatMap((group) => (group.length >= shots ? random.sample(group, shots) : group));
}
