/** The readers of files that come from elsewhere, each with real files that it reads. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { checkModel } from "../../src/clip/load";
import { loadTokenizer } from "../../src/clip/tokenizer";
import { loadDataset } from "../../src/datasets/split";
import { readPrompts } from "../../src/experiments/trainedPrompts";
import { openSharded, openTensors } from "../../src/io/openTensors";
import { decode } from "../../src/io/preprocess";
import { readJson } from "../../src/io/readJson";
import { readSealed, writeSealed } from "../../src/io/safetensors";
import { storedOutputs } from "../../src/notebook/storedOutputs";
import { shippedRuns } from "../../src/results/store";

/** `folder` is the place of the file called `name`; `read` reads that file, or the folder around it. */
export type Reader = {
  name: string;
  file: string;
  corpus: Buffer[];
  /** Puts the other files into place, once. */
  prepare?(folder: string): void;
  read(path: string): unknown;
  /** Bytes that a reader may take besides four times the file, such as those of the decoded picture. */
  allowance?: number;
};

const bytesOf = (...paths: string[]) => paths.map((path) => readFileSync(path));
const text = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const inFolder = (folder: string, test: RegExp) =>
  readdirSync(folder)
    .filter((name) => test.test(name))
    .map((name) => join(folder, name));

function readAll(path: string): void {
  const file = openTensors(path);
  try {
    for (const name of file.names) {
      file.shape(name);
      file.dtype(name);
      file.read(name);
    }
  } finally {
    file.close();
  }
}

const pictures = ["grey.png", "rgb.png", "rgba.png"].map((name) => join("test/pictures", name));

/** Three pictures in `images/`, for the lists of datasets. */
function copyPictures(folder: string): void {
  mkdirSync(join(folder, "images", "cat"), { recursive: true });
  for (const path of pictures) copyFileSync(path, join(folder, "images", "cat", basename(path)));
}

const [first, second, third] = pictures.map((path) => `cat/${basename(path)}`);
const split = { train: [[first, 0, "cat"]], val: [[second, 0, "cat"]], test: [[third, 0, "cat"]] };

/** The golden model's folder, in which one file is damaged. */
const model = (file: string): Reader => ({
  name: `model folder with another ${file}`,
  file: join("model", file),
  corpus: bytesOf(join("test/golden", file)),
  prepare: (folder) => {
    for (const name of ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"]) {
      if (name !== file) symlinkSync(resolve("test/golden", name), join(folder, "model", name));
    }
  },
  read: (path) => checkModel(dirname(path)),
  allowance: 4 * 4_300_000, // that of the weights beside it
});

const openClip = readFileSync("test/models/open_clip-gelu/open_clip_config.json");
const vocabulary = () => {
  const { vocab, merges } = JSON.parse(readFileSync("test/golden/tokenizer.json", "utf8")).model;
  const lines = merges.map((merge: string | string[]) => (Array.isArray(merge) ? merge.join(" ") : merge));
  return { vocab: text(vocab), merges: text(`#version: 0.2\n${lines.join("\n")}\n`) };
};

/** vocab.json and merges.txt, of which one is damaged. */
const tokenizer = (file: "vocab.json" | "merges.txt"): Reader => ({
  name: `tokenizer with another ${file}`,
  file: join("tokenizer", file),
  corpus: [file === "vocab.json" ? vocabulary().vocab : vocabulary().merges],
  prepare: (folder) => {
    const { vocab, merges } = vocabulary();
    if (file === "vocab.json") writeFileSync(join(folder, "tokenizer", "merges.txt"), merges);
    else writeFileSync(join(folder, "tokenizer", "vocab.json"), vocab);
  },
  read: (path) => loadTokenizer(dirname(path)).encode("a photo of a dog."),
});

function sealed(): Buffer {
  const path = join(process.env.PROMPTSRC_FUZZ ?? ".", "sealed");
  writeSealed(path, { a: { shape: [2, 3], data: new Float32Array(6) } }, { epoch: "1", history: "[]" });
  return readFileSync(path);
}

const run = () => JSON.parse(readFileSync("runs/base-to-novel.jsonl", "utf8").split("\n", 1)[0]);

export const readers = (): Reader[] => [
  {
    name: "safetensors",
    file: "a.safetensors",
    corpus: bytesOf("test/golden/coop_end.safetensors", "test/golden/kgcoop.safetensors"),
    read: readAll,
  },
  { name: "sealed safetensors", file: "b.safetensors", corpus: [sealed()], read: readSealed },
  {
    name: "torch (zip and pickle)",
    file: "a.pt",
    corpus: bytesOf(
      ...inFolder("test/checkpoints/prompt_learner", /pth/),
      ...inFolder("test/checkpoints/scheduler", /pth/),
    ),
    read: readAll,
  },
  {
    name: "torch (scripted module)",
    file: "b.pt",
    corpus: bytesOf("test/models/openai/ViT-tiny.pt"),
    read: (path) => checkModel(path),
    allowance: 4 * 4_300_000,
  },
  {
    name: "trained prompts",
    file: "c.pth",
    corpus: bytesOf(
      ...inFolder("test/checkpoints/prompt_learner", /pth/),
      ...inFolder("test/checkpoints/VLPromptLearner", /pth/),
    ),
    read: (path) => readPrompts(path, "coop"),
  },
  {
    name: "index of shards",
    file: "model.safetensors.index.json",
    corpus: [text({ metadata: {}, weight_map: { a: "x.safetensors", b: "y.safetensors" } })],
    read: (path) => openSharded(path).close(),
  },
  model("config.json"),
  model("preprocessor_config.json"),
  model("tokenizer.json"),
  {
    name: "open_clip_config.json",
    file: "open_clip/open_clip_config.json",
    corpus: [openClip],
    prepare: (folder) =>
      symlinkSync(
        resolve("test/models/open_clip-gelu/open_clip_model.safetensors"),
        join(folder, "open_clip", "open_clip_model.safetensors"),
      ),
    read: (path) => checkModel(dirname(path)),
    allowance: 4 * 4_300_000,
  },
  tokenizer("vocab.json"),
  tokenizer("merges.txt"),
  {
    name: "split file",
    file: "set/split_renders.json",
    corpus: [text(split)],
    prepare: (folder) => copyPictures(join(folder, "set")),
    read: (path) => loadDataset(dirname(path), "renders"),
  },
  {
    name: "CSV table",
    file: "table/photos.csv",
    corpus: [
      text(`path,label,part\r\nimages/${first},cat,train\nimages/${second},"cat",val\r\nimages/${third},cat,test\n`),
      text(`\ufeffpath,label\nimages/${first},"a ""cat"", black"\nimages/${second},dog\n`),
    ],
    prepare: (folder) => copyPictures(join(folder, "table")),
    read: (path) => loadDataset(path),
  },
  {
    name: "classnames.txt",
    file: "imagenet-adversarial/classnames.txt",
    corpus: [text("cat a black cat\ndog dog\n")],
    prepare: (folder) => {
      const images = join(folder, "imagenet-adversarial", "imagenet-a", "cat");
      mkdirSync(images, { recursive: true });
      copyFileSync(pictures[0], join(images, "0.png"));
    },
    read: (path) => loadDataset(dirname(path)),
  },
  { name: "results", file: "runs/a.jsonl", corpus: [text(run())], read: (path) => shippedRuns(dirname(path)) },
  {
    name: "notebook",
    file: "a.ipynb",
    corpus: [text({ nbformat: 4, cells: [{ cell_type: "code", outputs: [{ data: { "text/html": ["<b>"] } }] }] })],
    read: storedOutputs,
  },
  { name: "any JSON", file: "a.json", corpus: bytesOf("test/golden/meta.json"), read: readJson },
  {
    name: "picture",
    file: "a.png",
    corpus: bytesOf(...inFolder("test/pictures", /\.(png|jpg|gif|webp|tif|bmp)$/)),
    read: decode,
    allowance: 64 * 2 ** 20,
  },
];
