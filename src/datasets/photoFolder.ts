/**
 * A folder of pictures with a folder for each class, as a dataset: split at random into 50 % training, 20 % validation
 * and 30 % test pictures of each class, as CoOp splits the datasets that come without a split (CoOp datasets/dtd.py,
 * read_and_split_data), with Python's generator and a seed.
 */
import fs from "node:fs";
import path from "node:path";
import { isFileInside, isPictureName } from "../io/identify";
import { pythonRound } from "../io/preprocess";
import { UsageError } from "../util/errors";
import type { Item, Lists } from "./coop";
import { pythonRandom } from "./pythonRandom";

/** A file with lines "folder name": how class names are spelled where the folders' names are not the words. */
const spelling = "classnames.txt";

/** The pictures of a folder by name. Links that lead out of the dataset are left out. */
function picturesInside(folder: string, root: string): string[] {
  return fs
    .readdirSync(folder)
    .filter(isPictureName)
    .map((name) => path.join(folder, name))
    .filter((file) => isFileInside(file, root))
    .sort();
}

/** The folders of a dataset's classes: those with pictures in them. */
export function classFolders(folder: string): string[] {
  const root = fs.realpathSync(folder);
  return fs
    .readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && picturesInside(path.join(folder, entry.name), root).length > 0)
    .map(({ name }) => name)
    .sort();
}

/** The names of classes by their folders. @throws UsageError for a line that names no folder of the dataset */
function classNamesOf(folder: string, folders: string[]): string[] {
  const file = path.join(folder, spelling);
  if (!fs.existsSync(file)) return folders;
  const names = new Map<string, string>();
  for (const [i, line] of fs.readFileSync(file, "utf8").split(/\r?\n/).entries()) {
    if (line.trim() === "") continue;
    const place = folders.find((name) => line.startsWith(`${name} `) || line.startsWith(`${name}\t`));
    if (!place) throw new UsageError(`${file}, line ${i + 1}: "${line}" does not begin with a folder of pictures`);
    names.set(place, line.slice(place.length).trim());
  }
  return folders.map((name) => names.get(name) ?? name);
}

/**
 * The three parts of a folder of pictures.
 * @throws UsageError where a class has one picture: it could not be both trained and tested
 */
export function photoLists(folder: string, seed: number): Lists {
  const root = fs.realpathSync(folder);
  const folders = classFolders(folder);
  const classNames = classNamesOf(folder, folders);
  const random = pythonRandom(seed);
  const lists: Lists = { train: [], val: [], test: [] };
  for (const [label, name] of folders.entries()) {
    const items = picturesInside(path.join(folder, name), root).map(
      (file): Item => ({ path: file, label, className: classNames[label] }),
    );
    if (items.length < 2) {
      throw new UsageError(`${path.join(folder, name)} has 1 picture: a class needs 2 or more, to train and to test`);
    }
    // random.shuffle of CPython.
    for (let i = items.length - 1; i > 0; i--) {
      const j = random.below(i + 1);
      [items[i], items[j]] = [items[j], items[i]];
    }
    const train = Math.max(1, pythonRound(items.length * 0.5));
    const val = Math.min(pythonRound(items.length * 0.2), items.length - train - 1);
    lists.train.push(...items.slice(0, train));
    lists.val.push(...items.slice(train, train + val));
    lists.test.push(...items.slice(train + val));
  }
  return lists;
}
