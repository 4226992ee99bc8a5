/**
 * The fifteen datasets of CoOp's benchmarks (Zhou et al. 2022; PromptSRC docs/DATASETS.md and datasets/*.py): where
 * each lies under a data root, which files list its pictures and class names, its sentence in zero-shot CLIP (CoOp
 * trainers/zsclip.py, CUSTOM_TEMPLATES), its name in the paper's tables, and the published numbers of pictures (CoOp,
 * table "Datasets statistics"). A new dataset with a split file is one more record.
 */
import fs from "node:fs";
import path from "node:path";
import { type Lists, readAircraft, readImageNet, testOnly } from "./lists";

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
