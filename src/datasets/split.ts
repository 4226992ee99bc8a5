/**
 * Datasets in the CoOp layout: a folder of pictures and split files {"train": [[path, label, class name], ...], "val",
 * "test"}. One folder may hold several split files, split_<name>.json, each with another choice of what is trained on
 * and what is tested.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { contentHashes } from "../io/contentHash";
import { readJson } from "../io/readJson";
import { oneOf, UsageError } from "../util/errors";

/**
 * One labelled picture; `path` is ready to open. `hash` is that of the file when the dataset was loaded: a file that
 * has changed since is an error where it is read, so that a result never stands under the fingerprint of other
 * pictures.
 */
export type Item = { path: string; label: number; className: string; hash?: string };

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
  /** Hash of the content of the pictures and of the split, see `makeDataset`; kept by `baseNovel` and `fewShot`. */
  fingerprint: string;
};

export const parts = ["train", "val", "test"] as const;

/** Reads <folder>/split_<name>.json, whose paths are relative to <folder>/images. */
export function loadDataset(folder: string, split = "renders"): Dataset {
  const splits = listSplits(folder);
  if (splits.length === 0) throw new UsageError(`${folder} has no split file (split_<name>.json)`);
  oneOf(`split of ${folder}`, split, splits);
  return readSplit({
    name: path.basename(path.resolve(folder)),
    folder,
    split,
    splitFile: `split_${split}.json`,
    images: "images",
  });
}

/**
 * The splits for which a folder has a split file, sorted. @throws UsageError naming the folders there are, if this one
 * is not
 */
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

/**
 * Names of the folders in `folder` that have pictures and a split file of this split. @throws UsageError if there is
 * none
 */
export function datasetNames(folder: string, split = "renders"): string[] {
  if (!fs.existsSync(folder))
    throw new UsageError(`there is no folder ${folder}; npm run setup makes the embedded datasets in data`);
  const withPictures = fs.readdirSync(folder).filter((name) => fs.existsSync(path.join(folder, name, "images")));
  const withSplit = withPictures.filter((name) => fs.existsSync(path.join(folder, name, `split_${split}.json`)));
  if (withSplit.length > 0) return withSplit;
  const splits = [...new Set(withPictures.flatMap((name) => listSplits(path.join(folder, name))))];
  if (splits.length > 0) oneOf("split", split, splits);
  throw new UsageError(
    `${folder} holds no dataset (a folder with images/ and split_${split}.json); npm run setup makes the embedded ones`,
  );
}

/** All datasets of a folder that have training pictures. */
export const trainableDatasets = (folder: string, split = "renders"): Dataset[] =>
  datasetNames(folder, split)
    .map((name) => loadDataset(path.join(folder, name), split))
    .filter(({ train }) => train.length > 0);

/** Where a dataset's split file and pictures lie; `splitFile` and `images` are relative to `folder`. */
export type Layout = { name: string; folder: string; split: string; splitFile: string; images: string };

/** Reads a split file of any layout. Keys other than train, val and test are allowed, and change the fingerprint. */
export function readSplit({ name, folder, split, splitFile, images }: Layout): Dataset {
  const file = path.join(folder, splitFile);
  const json = readJson(file);
  const items = (part: string): Item[] => {
    const list = json?.[part] ?? [];
    if (!Array.isArray(list)) throw new Error(`${file}: "${part}" should be a list of [path, label, class name]`);
    return list.map((entry, i) => {
      const [relative, label, className] = Array.isArray(entry) ? entry : [];
      if (
        typeof relative !== "string" ||
        !Number.isInteger(label) ||
        label < 0 ||
        typeof className !== "string" ||
        className === ""
      ) {
        throw new Error(`${file}: ${part}[${i}] should be [path, label, class name]; it is ${JSON.stringify(entry)}`);
      }
      if (path.isAbsolute(relative) || relative.split(/[\\/]/).includes("..")) {
        throw new Error(`${file}: ${part}[${i}] "${relative}" leaves the folder of pictures`);
      }
      return { path: path.join(folder, images, relative), label, className };
    });
  };
  return makeDataset(
    { name, folder, split, train: items("train"), val: items("val"), test: items("test") },
    fs.readFileSync(file),
    file,
  );
}

/**
 * A dataset from its lists, checked: labels are 0..n-1 with one name each, no picture stands twice or on two sides of
 * the split, every class that is trained can be tested, every picture is there. `source` (a split file's bytes, or what
 * else made the lists) and each picture's path within the folder and content make the fingerprint. `where` names the
 * split in errors.
 */
export function makeDataset(
  dataset: Omit<Dataset, "classNames" | "fingerprint">,
  source: string | Uint8Array,
  where: string,
): Dataset {
  const all = parts.flatMap((part) => dataset[part].map((item) => ({ part, item })));
  if (all.length === 0) throw new Error(`${where}: no pictures in "train", "val" or "test"`);

  const classNames: string[] = [];
  for (const { part, item } of all) {
    const known = (classNames[item.label] ??= item.className);
    if (known !== item.className)
      throw new Error(`${where}: label ${item.label} is "${known}" and, in "${part}", "${item.className}"`);
  }
  for (let label = 0; label < classNames.length; label++) {
    if (classNames[label] === undefined)
      throw new Error(`${where}: labels go up to ${classNames.length - 1}, but ${label} has no picture`);
  }

  const sides = new Map<string, string>();
  for (const { part, item } of all) {
    if (part === "val" && dataset.val === dataset.test) continue; // ImageNet: the official code validates on the test pictures
    const other = sides.get(item.path);
    if (other)
      throw new Error(`${where}: ${item.path} stands in "${other}" and ${other === part ? "again" : `in "${part}"`}`);
    sides.set(item.path, part);
  }
  if (dataset.train.length > 0 && dataset.test.length > 0) {
    for (const part of ["train", "test"] as const) {
      const present = new Set(dataset[part].map((item) => item.label));
      const label = classNames.findIndex((_, i) => !present.has(i));
      if (label >= 0)
        throw new Error(`${where}: class "${classNames[label]}" (label ${label}) has no picture in "${part}"`);
    }
  }

  const files = [...sides.keys()];
  const hashes = new Map(contentHashes(dataset.folder, files).map((hash, i) => [files[i], hash]));
  const fingerprint = createHash("sha256").update(source);
  for (const [file, hash] of hashes) fingerprint.update(`\n${path.relative(dataset.folder, file)} ${hash}`);
  const missing = files.filter((file) => hashes.get(file) === undefined);
  if (missing.length > 0) {
    const more = missing.length > 1 ? ` and ${missing.length - 1} more of ${sides.size} pictures are` : " is";
    throw new Error(`${where}: ${missing[0]}${more} missing`);
  }
  const hashed = (items: Item[]): Item[] => items.map((item) => ({ ...item, hash: hashes.get(item.path) }));
  const [train, test] = [hashed(dataset.train), hashed(dataset.test)];
  const val = dataset.val === dataset.test ? test : hashed(dataset.val);
  return { ...dataset, train, val, test, classNames, fingerprint: fingerprint.digest("hex").slice(0, 16) };
}

/**
 * The two halves of the classes (Dassl/CoOp subsample_classes): labels sorted, the first ceil(n / 2) are base, the rest
 * novel, relabelled from 0 in that order, in all three parts. Draw few shots before this, from all classes, as the
 * official code does.
 */
export function baseNovel(dataset: Dataset): { base: Dataset; novel: Dataset } {
  const n = dataset.classNames.length;
  if (n < 2) throw new Error(`${dataset.name} has ${n} class; base and novel need 2 or more`);
  const middle = Math.ceil(n / 2);
  return { base: keepClasses(dataset, 0, middle), novel: keepClasses(dataset, middle, n) };
}

function keepClasses(dataset: Dataset, first: number, end: number): Dataset {
  const keep = (items: Item[]) =>
    items.filter(({ label }) => label >= first && label < end).map((item) => ({ ...item, label: item.label - first }));
  return {
    ...dataset,
    classNames: dataset.classNames.slice(first, end),
    train: keep(dataset.train),
    val: keep(dataset.val),
    test: keep(dataset.test),
  };
}
