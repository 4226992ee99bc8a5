/**
 * The layouts in which CLIP models are found on disk, each read as one record: weights under Hugging Face's names,
 * sizes, tokenizer, preprocessing.
 * - Hugging Face: config.json with model.safetensors, pytorch_model.bin, or shards of these with their index;
 *   tokenizer.json or vocab.json with merges.txt; preprocessor_config.json, processor_config.json or neither.
 * - open_clip: open_clip_config.json with open_clip_model.safetensors, open_clip_pytorch_model.bin and the like.
 * - OpenAI: ViT-B-16.pt and its like (a scripted module), or the same tensors as a state dict or a safetensors file.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { identify, kindWords } from "../io/identify";
import { openSharded, openTensors } from "../io/openTensors";
import { type Preprocess, readPreprocess } from "../io/preprocess";
import { readJson } from "../io/readJson";
import type { TensorFile } from "../io/tensors";
import { UsageError } from "../util/errors";
import { type ClipConfig, readConfig, readOpenClipConfig } from "./config";
import { configOfShapes, hasOpenaiNames, huggingFaceNames } from "./openaiNames";
import { loadTokenizer, type Tokenizer } from "./tokenizer";

export type ModelFiles = {
  /** In words: "a Hugging Face folder", "an open_clip folder", "OpenAI's checkpoint". */
  layout: string;
  config: ClipConfig;
  /** Under Hugging Face's names. The caller closes it. */
  weights: TensorFile;
  tokenizer: Tokenizer;
  preprocess: Preprocess;
  /** The files that the model's numbers depend on. */
  files: string[];
  /** What a user should know, such as defaults that were used. */
  notes: string[];
};

/** CLIP's own byte-pair vocabulary, for models that come without one. */
const clipVocabulary = join("weights", "clip-bpe");

/** The first of these files of a folder that is there. */
const firstOf = (folder: string, ...names: string[]): string | undefined =>
  names.map((name) => join(folder, name)).find((path) => existsSync(path));

const isWeights = (name: string) => /\.(safetensors|bin|pt|pth)$/.test(name);

/**
 * Opens a model folder, or a single checkpoint of OpenAI's layout.
 * @throws UsageError saying what the path is, what would work, and what to do
 */
export function openModel(path: string): ModelFiles {
  const kind = identify(path);
  if (kind === "missing") throw new UsageError(`there is no model ${path}: ${wanted}`);
  if (kind !== "folder") return openCheckpoint(path);
  if (existsSync(join(path, "open_clip_config.json"))) return openOpenClip(path);
  if (existsSync(join(path, "config.json"))) return openHuggingFace(path);
  const names = readdirSync(path).filter(isWeights).sort();
  if (names.length === 1) return openCheckpoint(join(path, names[0]));
  const found =
    names.length > 1 ? `${names.length} weight files (${names.join(", ")}): name one of them` : listing(path);
  throw new UsageError(`${path} is no model folder: it holds ${found}. ${wanted}`);
}

const wanted =
  "a Hugging Face folder of a CLIPModel (config.json, model.safetensors), an open_clip folder (open_clip_config.json), " +
  "or OpenAI's ViT-B-16.pt is wanted";

function listing(folder: string): string {
  const names = readdirSync(folder).slice(0, 6);
  return names.length === 0 ? "nothing" : names.join(", ");
}

function openHuggingFace(folder: string): ModelFiles {
  const configFile = join(folder, "config.json");
  const config = readConfig(configFile);
  const notes: string[] = [];
  const weightFile = firstOf(
    folder,
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
  );
  if (!weightFile) {
    throw new UsageError(
      `${folder} has a config.json and no weights (model.safetensors, pytorch_model.bin, or shards with their index); ` +
        `it holds ${listing(folder)}. Download them too`,
    );
  }
  const tokenizerFiles = tokenizerFilesOf(folder);
  const tokenizer = loadTokenizer(folder, config.text.endId);
  const preprocessFile = firstOf(folder, "preprocessor_config.json", "processor_config.json");
  if (!preprocessFile) {
    notes.push(`${folder} has no preprocessor_config.json: pictures are resized, cropped and normalised as CLIP's own`);
  }
  const json: any = preprocessFile ? readJson(preprocessFile) : clipPreprocess(config.image.size);
  const preprocess = readPreprocess(json?.image_processor ?? json, preprocessFile ?? `${folder}: CLIP's preprocessing`);
  const weights = weightFile.endsWith(".index.json") ? openSharded(weightFile) : openTensors(weightFile);
  return {
    layout: "a Hugging Face folder",
    config,
    weights,
    tokenizer,
    preprocess,
    // In this order since the first version: the fingerprints of stored runs are hashes of it.
    files: [weightFile, configFile, ...tokenizerFiles, ...(preprocessFile ? [preprocessFile] : [])],
    notes,
  };
}

function tokenizerFilesOf(folder: string): string[] {
  const whole = firstOf(folder, "tokenizer.json");
  if (whole) return [whole];
  const parts = ["vocab.json", "merges.txt"].map((name) => join(folder, name));
  const missing = parts.filter((path) => !existsSync(path)).map((path) => basename(path));
  if (missing.length === 0) return parts;
  throw new UsageError(
    `${folder} has no tokenizer: neither tokenizer.json, nor ${missing.length === 2 ? "vocab.json with merges.txt" : missing[0]}. Download it too`,
  );
}

const clipPreprocess = (size: number) => ({ size: { shortest_edge: size }, crop_size: size });

function openOpenClip(folder: string): ModelFiles {
  const configFile = join(folder, "open_clip_config.json");
  const { config, preprocess, notes } = readOpenClipConfig(configFile);
  const weightFile = firstOf(
    folder,
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_model.bin",
  );
  if (!weightFile) {
    throw new UsageError(
      `${folder} is an open_clip folder without weights (open_clip_model.safetensors or open_clip_pytorch_model.bin); ` +
        `it holds ${listing(folder)}. Download them too`,
    );
  }
  const tokenizer = vocabularyFor(folder, config);
  const transform = readPreprocess({ ...clipPreprocess(config.image.size), ...preprocess }, configFile);
  return {
    layout: "an open_clip folder",
    config,
    weights: huggingFaceNames(openTensors(weightFile)), // opened last, so that no error above leaves it open
    tokenizer,
    preprocess: transform,
    files: [weightFile, configFile, ...vocabularyFiles(folder)],
    notes,
  };
}

/** OpenAI's checkpoint: sizes from the shapes, CLIP's vocabulary and preprocessing. */
function openCheckpoint(path: string): ModelFiles {
  const kind = identify(path);
  if (kind !== "torch" && kind !== "safetensors") throw new UsageError(`${path} is ${kindWords[kind]}. ${wanted}`);
  const file = openTensors(path);
  try {
    if (!hasOpenaiNames(file.names)) {
      const beside = firstOf(dirname(path), "config.json", "open_clip_config.json");
      const prompts = file.names.some((name) => /prompt_learner|^ctx$|prompt/.test(name));
      throw new UsageError(
        `${path} is ${kindWords[kind]}, but not OpenAI's CLIP: ` +
          (prompts ? "it holds prompts of a trained method, not a model" : `its tensors are ${some(file.names)}`) +
          (beside ? `. Name its folder instead: ${dirname(path)}` : `. ${wanted}`),
      );
    }
    const weights = huggingFaceNames(file);
    const config = configOfShapes(weights);
    const folder = dirname(path);
    return {
      layout: `OpenAI's checkpoint (${extname(path).slice(1)})`,
      config,
      weights,
      tokenizer: vocabularyFor(folder, config),
      preprocess: readPreprocess(clipPreprocess(config.image.size), `${path}: CLIP's preprocessing`),
      files: [path, ...vocabularyFiles(folder)],
      notes: [],
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

const some = (names: string[]) =>
  names.length === 0 ? "none" : `${names.slice(0, 3).join(", ")}${names.length > 3 ? " ..." : ""}`;

/** A tokenizer beside the weights, or CLIP's. */
const vocabularyFiles = (folder: string): string[] =>
  existsSync(join(folder, "tokenizer.json"))
    ? [join(folder, "tokenizer.json")]
    : [join(clipVocabulary, "tokenizer.json")];

const vocabularyFor = (folder: string, config: ClipConfig): Tokenizer =>
  loadTokenizer(dirname(vocabularyFiles(folder)[0]), config.text.endId);

/** Bytes of the files that a model is read from; shards are counted. */
export const bytesOf = (files: string[]): number => files.reduce((sum, path) => sum + statSync(path).size, 0);
