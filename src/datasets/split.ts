/**
 * Datasets: labelled pictures in three parts, read in place from a folder with `images/` and split files
 * {"train": [[path, label, class name], ...], "val", "test"}, or from one of CoOp's fifteen (coop.ts). One folder may
 * hold several split files, split_<name>.json, each with another choice of what is trained on and what is tested.
 * Pictures of one's own are a folder for each class (photoFolder.ts) or a CSV table (photoTable.ts).
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { contentHashes } from "../io/contentHash";
import { pictureNames } from "../io/identify";
import { oneOf, UsageError } from "../util/errors";
import { type CoopDataset, coopDataset, coopDatasets, listFiles, missingLists } from "./coop";
import { type Item, type Lists, readLists } from "./lists";
import { classFolders, photoLists, seedOf } from "./photoFolder";
import { isTableName, splitOfTable, tableLists } from "./photoTable";

export type { Item } from "./lists";

/** Labelled pictures in three parts, with their class names; see `makeDataset` for what is checked. */
export type Dataset = {
  name: string;
  folder: string;
  /** Which of the folder's splits this is. */
  split: string;
  /** By label: classNames[item.label] === item.className. */
  classNames: string[];
  train: Item[];
  val: Item[];
  test: Item[];
  /**
   * Hash of the content of the pictures and of the split, see `makeDataset`; kept by `baseNovel`. `drawFewShot` adds
   * the content of what it draws where the training pictures are too many to be read.
   */
  fingerprint: string;
  /** The sentence of zero-shot CLIP for this dataset, and its name in the paper's tables, where it is one of them. */
  template?: string;
  paper?: string;
};

/** The folders of the datasets that come with the kit. */
export type EmbeddedFolder = `data/${
  | "animals"
  | "atlas"
  | "faces"
  | "flags"
  | "food"
  | "generic"
  | "generic-hard"
  | "generic-rendition"
  | "generic-sketch"
  | "generic-v2"
  | "kinds"
  | "objects"
  | "people"
  | "places"
  | "sports"
  | "vehicles"}`;

export const parts = ["train", "val", "test"] as const;

/**
 * Reads a dataset in place. A folder with `images/` and `split_<name>.json` files has one split for each of them
 * ("renders" by default); a folder of one of the fifteen datasets of CoOp (coop.ts), under its name or that of its
 * folder, has its official split. A folder with a folder of pictures for each class, or a table of paths and class
 * names (photos.csv), is split at random ("seed1" by default) unless the table names the parts ("lists").
 * @throws UsageError naming the splits or the datasets there are, or the file that is missing
 */
export function loadDataset(folder: EmbeddedFolder | (string & {}), split?: string): Dataset {
  if (isTableName(folder) && !fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    const { lists, split: chosen } = tableLists(folder, split);
    return photoDataset(path.dirname(folder), chosen, lists, folder);
  }
  const record = coopDataset(path.basename(path.resolve(folder)));
  const coopFolder = record && path.join(path.dirname(folder), record.folder);
  if (record && coopFolder && missingLists(record, coopFolder).length === 0 && (split ?? coopSplit) === coopSplit) {
    return readCoop(record, coopFolder);
  }
  const splits = listSplits(folder);
  if (splits.length === 0 && classFolders(folder).length > 0) {
    const seed = seedOf(split ?? "seed1", folder);
    return photoDataset(folder, split ?? "seed1", photoLists(folder, seed), folder);
  }
  if (splits.length === 0) {
    throw new UsageError(
      `${folder} has neither a split file (split_<name>.json) nor a folder of pictures for each class ` +
        `(${pictureNames})`,
    );
  }
  const chosen = split ?? (splits.includes("renders") || splits.length > 1 ? "renders" : splits[0]);
  oneOf(`split of ${folder}`, chosen, splits);
  const file = path.join(folder, `split_${chosen}.json`);
  const lists = readLists(file, path.join(folder, "images"));
  const name = path.basename(path.resolve(folder));
  return makeDataset({ name, folder, split: chosen, ...lists }, fs.readFileSync(file), file);
}

/** The name of the split that CoOp's datasets have. */
const coopSplit = "coop";

/** Reads one of the fifteen datasets from its folder. */
function readCoop(record: CoopDataset, folder: string): Dataset {
  const { name, images, splitFile, read, template, paper } = record;
  const lists = splitFile
    ? readLists(path.join(folder, splitFile), path.join(folder, images))
    : (read?.(folder) ?? { train: [], val: [], test: [] });
  const source = createHash("sha256");
  for (const file of listFiles(record)) source.update(fs.readFileSync(path.join(folder, file)));
  const where = path.join(folder, listFiles(record)[0]);
  return { ...makeDataset({ name, folder, split: coopSplit, ...lists }, source.digest(), where), template, paper };
}

/**
 * Pictures without a split file: the parts, labels and class names themselves go into the fingerprint. `place` is the
 * folder or the table, whose name is that of the dataset.
 */
function photoDataset(folder: string, split: string, lists: Lists, place: string): Dataset {
  const source = JSON.stringify(lists, (key, value) => (key === "path" ? path.relative(folder, value) : value));
  return makeDataset({ name: path.basename(path.resolve(place)), folder, split, ...lists }, source, place);
}

/** The splits that a folder has, sorted. @throws UsageError naming the folders there are, if this one is not */
export function listSplits(folder: string): string[] {
  const parent = path.dirname(path.resolve(folder));
  if (!fs.existsSync(parent)) throw new UsageError(`there is no folder ${parent}`);
  const folders = fs.readdirSync(parent, { withFileTypes: true }).filter((entry) => !entry.isFile());
  oneOf(
    `dataset of ${parent}`,
    path.basename(path.resolve(folder)),
    folders.map((entry) => entry.name),
  );
  return fs
    .readdirSync(folder)
    .flatMap((file) => /^split_(.+)\.json$/.exec(file)?.[1] ?? [])
    .sort();
}

/** Whether a folder has two or more folders of pictures, one for each class, and is not one of CoOp's datasets. */
function isPhotoFolder(folder: string): boolean {
  if (!fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory() || coopDataset(path.basename(folder)))
    return false;
  return !fs.existsSync(path.join(folder, "images")) && classFolders(folder).length > 1;
}

/** Whether a file is a table of pictures that has this split (any, if none is named). */
function hasSplit(table: string, split?: string): boolean {
  if (!fs.statSync(table, { throwIfNoEntry: false })?.isFile()) return false;
  const own = splitOfTable(table);
  return own !== undefined && (split === undefined || split === own || (own === "seed1" && split.startsWith("seed")));
}

/**
 * Names of the datasets of a data root: folders with pictures and a file of this split (any, if none is named), the
 * datasets of CoOp that are there, folders with a folder of pictures for each class, and tables of pictures.
 * @throws UsageError where there is none
 */
export function datasetNames(root: string, split?: string): string[] {
  if (!fs.existsSync(root)) {
    throw new UsageError(`there is no folder ${root}; npm run setup makes the embedded datasets in data`);
  }
  const coop =
    split === undefined || split === coopSplit
      ? coopDatasets.filter((record) => missingLists(record, path.join(root, record.folder)).length === 0)
      : [];
  const coopFolders = new Set(coop.map(({ folder }) => folder));
  const withPictures = fs
    .readdirSync(root)
    .filter((name) => !coopFolders.has(name) && fs.existsSync(path.join(root, name, "images")));
  const splitsOf = new Map(withPictures.map((name) => [name, listSplits(path.join(root, name))]));
  const chosen = withPictures.filter((name) => {
    const splits = splitsOf.get(name) ?? [];
    return split === undefined ? splits.length > 0 : splits.includes(split);
  });
  const photoFolders =
    split === undefined || split.startsWith("seed")
      ? fs.readdirSync(root).filter((name) => isPhotoFolder(path.join(root, name)))
      : [];
  const tables = fs.readdirSync(root).filter((name) => isTableName(name) && hasSplit(path.join(root, name), split));
  const names = [...chosen, ...coop.map(({ name }) => name), ...photoFolders, ...tables];
  if (names.length > 0) return names;
  const splits = [...new Set([...splitsOf.values()].flat())];
  if (splits.length > 0 && split !== undefined) oneOf("split", split, splits);
  throw new UsageError(
    `${root} holds no dataset: neither a folder with images/ and split_${split ?? "<name>"}.json, nor one of CoOp's ` +
      "fifteen (npm run promptsrc -- check shows what is missing); npm run setup makes the embedded ones",
  );
}

/** All datasets of a data root that have training pictures. */
export const trainableDatasets = (root: string, split?: string): Dataset[] =>
  datasetNames(root, split)
    .map((name) => loadDataset(path.join(root, name), split))
    .filter(({ train }) => train.length > 0);

/**
 * Of longer lists of training pictures (ImageNet's 1.28 million, 140 GB) only the names are part of the fingerprint:
 * their content is read when few shots are drawn from them.
 */
const longestHashed = 100_000;

/** What to do about pictures of an embedded dataset, beside which the atlas lies that they were drawn from. */
export const drawnAgain = (folder: string): string =>
  fs.existsSync(path.join(folder, "..", "atlas", "atlas.json")) ? "; npm run promptsrc -- data draws them again" : "";

/**
 * A dataset from its lists, checked: labels are 0..n-1 with one name each, no picture stands twice or on two sides of
 * the split, every class that is trained can be tested, every picture is there. `source` (a split file's bytes, or what
 * else made the lists) and each picture's path within the folder and content make the fingerprint (but see `longestHashed`). `where` names the
 * split in errors.
 */
function makeDataset(
  dataset: Omit<Dataset, "classNames" | "fingerprint">,
  source: string | Uint8Array,
  where: string,
): Dataset {
  if (parts.every((part) => dataset[part].length === 0))
    throw new Error(`${where}: no pictures in "train", "val" or "test"`);

  const classNames: string[] = [];
  for (const part of parts) {
    for (const { label, className } of dataset[part]) {
      const known = (classNames[label] ??= className);
      if (known !== className)
        throw new Error(`${where}: label ${label} is "${known}" and, in "${part}", "${className}"`);
    }
  }
  for (let label = 0; label < classNames.length; label++) {
    if (classNames[label] === undefined)
      throw new Error(`${where}: labels go up to ${classNames.length - 1}, but ${label} has no picture`);
  }

  const sides = new Map<string, string>();
  for (const part of parts) {
    // ImageNet: the official code validates on the test pictures.
    if (part === "val" && dataset.val === dataset.test) continue;
    for (const { path: file } of dataset[part]) {
      const other = sides.get(file);
      if (other)
        throw new Error(`${where}: ${file} stands in "${other}" and ${other === part ? "again" : `in "${part}"`}`);
      sides.set(file, part);
    }
  }
  if (dataset.train.length > 0 && dataset.test.length > 0) {
    for (const part of ["train", "test"] as const) {
      const present = new Set(dataset[part].map((item) => item.label));
      const label = classNames.findIndex((_, i) => !present.has(i));
      if (label >= 0)
        throw new Error(`${where}: class "${classNames[label]}" (label ${label}) has no picture in "${part}"`);
    }
  }

  const isRead = ([, part]: [string, string]) => part !== "train" || dataset.train.length <= longestHashed;
  const files = [...sides].filter(isRead).map(([file]) => file);
  const hashes = new Map(contentHashes(dataset.folder, files).map((hash, i) => [files[i], hash]));
  const fingerprint = createHash("sha256").update(source);
  const place = path.join(dataset.folder, path.sep);
  for (const file of sides.keys()) {
    // Without path.relative, which takes ten seconds for ImageNet.
    const name = file.startsWith(place) ? file.slice(place.length) : path.relative(dataset.folder, file);
    fingerprint.update(`\n${name} ${hashes.get(file) ?? "not read"}`);
  }
  const missing = files.filter((file) => hashes.get(file) === undefined);
  if (missing.length > 0) {
    const more = missing.length > 1 ? ` and ${missing.length - 1} more of ${sides.size} pictures are` : " is";
    throw new Error(`${where}: ${missing[0]}${more} missing${drawnAgain(dataset.folder)}`);
  }
  const hashed = (items: Item[]): Item[] =>
    items.length > 0 && hashes.has(items[0].path)
      ? items.map((item) => ({ ...item, hash: hashes.get(item.path) }))
      : items;
  const [train, test] = [hashed(dataset.train), hashed(dataset.test)];
  const val = dataset.val === dataset.test ? test : hashed(dataset.val);
  return { ...dataset, train, val, test, classNames, fingerprint: fingerprint.digest("hex").slice(0, 16) };
}
