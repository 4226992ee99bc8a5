/**
 * The fifteen datasets of CoOp's benchmarks (Zhou et al. 2022; PromptSRC docs/DATASETS.md and datasets/*.py): where
 * each lies under a data root, which files list its pictures and class names, its sentence in zero-shot CLIP (CoOp
 * trainers/zsclip.py, CUSTOM_TEMPLATES), its name in the paper's tables, and the published numbers of pictures (CoOp,
 * table "Datasets statistics"). A new dataset with a split file is one more record.
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

export type CoopDataset = {
  /** The name of PromptSRC's configs/datasets. */
  name: string;
  /** The folder under the data root. */
  folder: string;
  /** The folder of pictures, below `folder`. */
  images: string;
  /** The file of Zhou's split, below `folder`; without it, `read` makes the lists. */
  splitFile?: string;
  read?(folder: string): Lists;
  /** The files that `read` depends on, besides the folders of pictures. */
  files?: string[];
  template: string;
  /** The name in the tables of the paper (data/paper.json). */
  paper: string;
  published: { classes: number; train: number; val: number; test: number };
  /** Where a person gets it. */
  source: string;
};

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
const testOnly =
  (images: string, folderOf = byId as (id: string, i: number) => string) =>
  (folder: string): Lists => ({
    train: [],
    val: [],
    test: foldersOfClasses(folder, images, "classnames.txt", folderOf),
  });

/** ImageNet has no labelled test pictures: the official code tests and validates on its validation pictures. */
function readImageNet(folder: string): Lists {
  const part = (name: string) => foldersOfClasses(folder, path.join("images", name), "classnames.txt", byId);
  const test = part("val");
  return { train: part("train"), val: test, test };
}

/**
 * images_variant_<part>.txt has the picture's id and its class in each line; the order of variants.txt is the label.
 */
function readAircraft(folder: string): Lists {
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

const collection = "https://huggingface.co/zhengli97/prompt_learning_dataset (all but ImageNet, with the split files)";
const imageNetSource = "https://image-net.org, and CoOp's classnames.txt (see CoOp's DATASETS.md)";
const imageNetVariant = (where: string) => `${where}, and CoOp's classnames.txt (see CoOp's DATASETS.md)`;

export const coopDatasets: CoopDataset[] = [
  {
    name: "imagenet",
    folder: "imagenet",
    images: "images",
    read: readImageNet,
    files: ["classnames.txt"],
    template: "a photo of a {}.",
    paper: "ImageNet",
    published: { classes: 1000, train: 1_281_167, val: 50_000, test: 50_000 },
    source: imageNetSource,
  },
  {
    name: "caltech101",
    folder: "caltech-101",
    images: "101_ObjectCategories",
    splitFile: "split_zhou_Caltech101.json",
    template: "a photo of a {}.",
    paper: "Caltech101",
    published: { classes: 100, train: 4128, val: 1649, test: 2465 },
    source: collection,
  },
  {
    name: "oxford_pets",
    folder: "oxford_pets",
    images: "images",
    splitFile: "split_zhou_OxfordPets.json",
    template: "a photo of a {}, a type of pet.",
    paper: "OxfordPets",
    published: { classes: 37, train: 2944, val: 736, test: 3669 },
    source: collection,
  },
  {
    name: "stanford_cars",
    folder: "stanford_cars",
    images: "",
    splitFile: "split_zhou_StanfordCars.json",
    template: "a photo of a {}.",
    paper: "StanfordCars",
    published: { classes: 196, train: 6509, val: 1635, test: 8041 },
    source: collection,
  },
  {
    name: "oxford_flowers",
    folder: "oxford_flowers",
    images: "jpg",
    splitFile: "split_zhou_OxfordFlowers.json",
    template: "a photo of a {}, a type of flower.",
    paper: "Flowers102",
    published: { classes: 102, train: 4093, val: 1633, test: 2463 },
    source: collection,
  },
  {
    name: "food101",
    folder: "food-101",
    images: "images",
    splitFile: "split_zhou_Food101.json",
    template: "a photo of {}, a type of food.",
    paper: "Food101",
    published: { classes: 101, train: 50_500, val: 20_200, test: 30_300 },
    source: collection,
  },
  {
    name: "fgvc_aircraft",
    folder: "fgvc_aircraft",
    images: "images",
    read: readAircraft,
    files: ["variants.txt", "images_variant_train.txt", "images_variant_val.txt", "images_variant_test.txt"],
    template: "a photo of a {}, a type of aircraft.",
    paper: "FGVCAircraft",
    published: { classes: 100, train: 3334, val: 3333, test: 3333 },
    source: `${collection}; or the data folder of https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft`,
  },
  {
    name: "sun397",
    folder: "sun397",
    images: "SUN397",
    splitFile: "split_zhou_SUN397.json",
    template: "a photo of a {}.",
    paper: "SUN397",
    published: { classes: 397, train: 15_880, val: 3970, test: 19_850 },
    source: collection,
  },
  {
    name: "dtd",
    folder: "dtd",
    images: "images",
    splitFile: "split_zhou_DescribableTextures.json",
    template: "{} texture.",
    paper: "DTD",
    published: { classes: 47, train: 2820, val: 1128, test: 1692 },
    source: collection,
  },
  {
    name: "eurosat",
    folder: "eurosat",
    images: "2750",
    splitFile: "split_zhou_EuroSAT.json",
    template: "a centered satellite photo of {}.",
    paper: "EuroSAT",
    published: { classes: 10, train: 13_500, val: 5400, test: 8100 },
    source: collection,
  },
  {
    name: "ucf101",
    folder: "ucf101",
    images: "UCF-101-midframes",
    splitFile: "split_zhou_UCF101.json",
    template: "a photo of a person doing {}.",
    paper: "UCF101",
    published: { classes: 101, train: 7639, val: 1898, test: 3783 },
    source: collection,
  },
  {
    name: "imagenetv2",
    folder: "imagenetv2",
    images: "imagenetv2-matched-frequency-format-val",
    read: testOnly("imagenetv2-matched-frequency-format-val", (_, i) => `${i}`),
    files: ["classnames.txt"],
    template: "a photo of a {}.",
    paper: "ImageNetV2",
    published: { classes: 1000, train: 0, val: 0, test: 10_000 },
    source: imageNetVariant("https://huggingface.co/datasets/vaishaal/ImageNetV2"),
  },
  {
    name: "imagenet_sketch",
    folder: "imagenet-sketch",
    images: "images",
    read: testOnly("images"),
    files: ["classnames.txt"],
    template: "a photo of a {}.",
    paper: "ImageNet-Sketch",
    published: { classes: 1000, train: 0, val: 0, test: 50_889 },
    source: imageNetVariant("https://github.com/HaohanWang/ImageNet-Sketch"),
  },
  {
    name: "imagenet_a",
    folder: "imagenet-adversarial",
    images: "imagenet-a",
    read: testOnly("imagenet-a"),
    files: ["classnames.txt"],
    template: "a photo of a {}.",
    paper: "ImageNet-A",
    published: { classes: 200, train: 0, val: 0, test: 7500 },
    source: imageNetVariant("https://github.com/hendrycks/natural-adv-examples"),
  },
  {
    name: "imagenet_r",
    folder: "imagenet-rendition",
    images: "imagenet-r",
    read: testOnly("imagenet-r"),
    files: ["classnames.txt"],
    template: "a photo of a {}.",
    paper: "ImageNet-R",
    published: { classes: 200, train: 0, val: 0, test: 30_000 },
    source: imageNetVariant("https://github.com/hendrycks/imagenet-r"),
  },
];

/** The files with the lists or class names that a dataset needs. */
export const listFiles = ({ splitFile, files = [] }: CoopDataset): string[] => (splitFile ? [splitFile] : files);

/** Those of them that a folder lacks. */
export const missingLists = (record: CoopDataset, folder: string): string[] =>
  listFiles(record).filter((file) => !fs.existsSync(path.join(folder, file)));

/** The record of a dataset by its name or its folder. */
export const coopDataset = (name: string): CoopDataset | undefined =>
  coopDatasets.find((record) => record.name === name || record.folder === name);

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
