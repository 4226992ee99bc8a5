/**
 * The lists of pictures of CoOp's datasets: from Zhou's split files, from folders of classes with CoOp's classnames.txt
 * (ImageNet and its variants), and from FGVC-Aircraft's own lists.
 */
import fs from "node:fs";
import path from "node:path";
import { isPictureName } from "../io/identify";
import { readJson } from "../io/readJson";
import { UsageError } from "../util/errors";

/**
 * One labelled picture; `path` is ready to open. `hash` is that of the file when the dataset was loaded: a file that
 * has changed since is an error where it is read, so that a result never stands under the fingerprint of other
 * pictures.
 */
export type Item = { path: string; label: number; className: string; hash?: string };

/** Labelled pictures in three parts, not checked yet. */
export type Lists = { train: Item[]; val: Item[]; test: Item[] };

const lines = (file: string): string[] => {
  if (!fs.existsSync(file)) throw new UsageError(`${file} is missing`);
  return fs
    .readFileSync(file, "utf8")
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "");
};

/** CoOp's classnames.txt: a WordNet id and a class name in each line. */
function readClassNames(file: string): [wordNetId: string, className: string][] {
  return lines(file).map((line, i) => {
    const [, id, name] = /^(\S+)\s+(.+)$/.exec(line) ?? [];
    if (!id) throw new UsageError(`${file}, line ${i + 1}: expected a folder and a class name; it is "${line}"`);
    return [id, name];
  });
}

const picturesIn = (folder: string): string[] => {
  if (!fs.existsSync(folder)) throw new UsageError(`${folder} is missing`);
  return fs.readdirSync(folder).filter(isPictureName).sort();
};

/**
 * One folder for each class, as in ImageNet; `label` is the order in classnames.txt among the folders that are there.
 */
function foldersOfClasses(
  folder: string,
  images: string,
  classFile: string,
  folderOf: (id: string, i: number) => string,
): Item[] {
  const classes = readClassNames(path.join(folder, classFile));
  const present = classes
    .map(([id, className], i) => ({ id: folderOf(id, i), className }))
    .filter(({ id }) => fs.existsSync(path.join(folder, images, id)));
  if (present.length === 0)
    throw new UsageError(`${path.join(folder, images)} has none of the folders of ${classFile}`);
  return present.flatMap(({ id, className }, label) =>
    picturesIn(path.join(folder, images, id)).map((name) => ({
      path: path.join(folder, images, id, name),
      label,
      className,
    })),
  );
}

const byId = (id: string) => id;

/** A dataset that is only tested. */
export const testOnly =
  (images: string, folderOf = byId as (id: string, i: number) => string) =>
  (folder: string): Lists => ({
    train: [],
    val: [],
    test: foldersOfClasses(folder, images, "classnames.txt", folderOf),
  });

/** ImageNet has no labelled test pictures: the official code tests and validates on its validation pictures. */
export function readImageNet(folder: string): Lists {
  const part = (name: string) => foldersOfClasses(folder, path.join("images", name), "classnames.txt", byId);
  const test = part("val");
  return { train: part("train"), val: test, test };
}

/**
 * images_variant_<part>.txt has the picture's id and its class in each line; the order of variants.txt is the label.
 */
export function readAircraft(folder: string): Lists {
  const classNames = lines(path.join(folder, "variants.txt"));
  const part = (name: string): Item[] =>
    lines(path.join(folder, `images_variant_${name}.txt`)).map((line) => {
      const [id, ...words] = line.split(" ");
      const className = words.join(" ");
      const label = classNames.indexOf(className);
      if (label < 0)
        throw new UsageError(`${folder}: "${className}" of images_variant_${name}.txt is not in variants.txt`);
      return { path: path.join(folder, "images", `${id}.jpg`), label, className };
    });
  return { train: part("train"), val: part("val"), test: part("test") };
}

/** The lists of a split file whose paths are below `images`: [[path, label, class name], ...] for each part. */
export function readLists(file: string, images: string): Lists {
  const json = readJson(file);
  const items = (part: string): Item[] => {
    const list = json?.[part] ?? [];
    if (!Array.isArray(list)) throw new Error(`${file}: "${part}" should be a list of [path, label, class name]`);
    return list.map((entry, i) => {
      const [relative, label, className] = Array.isArray(entry) ? entry : [];
      const valid = typeof relative === "string" && Number.isInteger(label) && label >= 0;
      if (!valid || typeof className !== "string" || className === "") {
        throw new Error(`${file}: ${part}[${i}] should be [path, label, class name]; it is ${JSON.stringify(entry)}`);
      }
      if (path.isAbsolute(relative) || relative.split(/[\\/]/).includes("..")) {
        throw new Error(`${file}: ${part}[${i}] "${relative}" leaves the folder of pictures`);
      }
      return { path: path.join(images, relative), label, className };
    });
  };
  return { train: items("train"), val: items("val"), test: items("test") };
}
