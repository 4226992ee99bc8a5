/**
 * Pictures of one's own without split files: a folder with a folder of pictures for each class. They are split at
 * random into 50 % training, 20 % validation and 30 % test pictures of each class, as CoOp splits the datasets that
 * come without a split (CoOp datasets/dtd.py, read_and_split_data), with Python's generator and a seed. The table of
 * photoTable.ts is split by the same function.
 */
import fs from "node:fs";
import path from "node:path";
import { isFileInside, isPictureName } from "../io/identify";
import { pythonRound } from "../io/preprocess";
import { UsageError } from "../util/errors";
import { byCodePoint } from "../util/order";
import type { Item, Lists } from "./lists";
import { pythonRandom } from "./pythonRandom";

/** A file with lines "folder name": how class names are spelled where the folders' names are not the words. */
const spelling = "classnames.txt";

/** Files and folders that systems and editors put beside the pictures (`._a.jpg` of macOS, `.thumbnails`). */
const isHidden = (name: string): boolean => name.startsWith(".");

/** The pictures of a folder by name. Links that lead out of the dataset are left out. */
function picturesInside(folder: string, root: string): string[] {
  return fs
    .readdirSync(folder)
    .filter((name) => isPictureName(name) && !isHidden(name))
    .sort(byCodePoint)
    .map((name) => path.join(folder, name))
    .filter((file) => isFileInside(file, root));
}

/** The folders of a dataset's classes: those with pictures in them. */
export function classFolders(folder: string): string[] {
  const root = fs.realpathSync(folder);
  return fs
    .readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !isHidden(entry.name))
    .map(({ name }) => name)
    .filter((name) => picturesInside(path.join(folder, name), root).length > 0)
    .sort(byCodePoint);
}

/** The names of classes by their folders. @throws UsageError for a line that names no folder, or gives no name */
function classNamesOf(folder: string, folders: string[]): string[] {
  const file = path.join(folder, spelling);
  if (!fs.existsSync(file)) return folders;
  const names = new Map<string, string>();
  // A folder's name may begin with that of another ("bee", "bee eater"): the longest that fits is meant. macOS may
  // store the accents of a folder's name as characters of their own, which editors do not write: both are composed
  // (NFC).
  const longestFirst = folders
    .map((name) => ({ name, composed: name.normalize("NFC") }))
    .sort((a, b) => b.composed.length - a.composed.length);
  const lines = fs
    .readFileSync(file, "utf8")
    .replace(/^\ufeff/, "")
    .split(/\r?\n/);
  for (const [i, raw] of lines.entries()) {
    const line = raw.normalize("NFC");
    if (line.trim() === "") continue;
    const place = longestFirst.find(
      ({ composed }) => line.startsWith(composed) && /^[ \t]/.test(line.slice(composed.length)),
    );
    if (!place)
      throw new UsageError(`${file}, line ${i + 1}: "${line}" does not begin with a folder of pictures and a space`);
    const name = line.slice(place.composed.length).trim();
    if (name === "") throw new UsageError(`${file}, line ${i + 1}: no class name follows the folder "${place.name}"`);
    names.set(place.name, name);
  }
  return folders.map((name) => names.get(name) ?? name);
}

/** The seed of a split that is drawn. @throws UsageError where the split has another name than seed1, seed2 ... */
export function seedOf(split: string, where: string): number {
  const seed = /^seed(\d{1,9})$/.exec(split)?.[1];
  if (seed === undefined) {
    throw new UsageError(
      `${where} has no split file: its split is drawn, and named seed1, seed2 ...; "${split}" is not`,
    );
  }
  return Number(seed);
}

/**
 * Splits the pictures of each class (classes in the order of their labels, pictures in a fixed order) at random.
 * @param placeOf names a class in errors
 * @throws UsageError where a class has one picture: it could not be both trained and tested
 */
export function drawParts(classes: Item[][], seed: number, placeOf: (label: number) => string): Lists {
  const random = pythonRandom(seed);
  const lists: Lists = { train: [], val: [], test: [] };
  for (const [label, all] of classes.entries()) {
    const items = [...all];
    if (items.length < 2) {
      throw new UsageError(`${placeOf(label)} has 1 picture: a class needs 2 or more, to train and to test`);
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

/** The three parts of a folder of pictures. */
export function photoLists(folder: string, seed: number): Lists {
  const root = fs.realpathSync(folder);
  const folders = classFolders(folder);
  const classNames = classNamesOf(folder, folders);
  const classes = folders.map((name, label) =>
    picturesInside(path.join(folder, name), root).map(
      (file): Item => ({ path: file, label, className: classNames[label] }),
    ),
  );
  return drawParts(classes, seed, (label) => path.join(folder, folders[label]));
}
