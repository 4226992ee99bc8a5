/**
 * What the kit and PyTorch both work on in the bench: a model folder, class names, pictures, and the file with their
 * common inputs.
 */
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { paper } from "../src/configs/presets";
import type { Preset } from "../src/configs/settings";
import { type ModelName, mixedTokens, type Shape } from "../src/results/benchFile";
import { seeded } from "../src/util/random";
import { writeRandomClip } from "./randomClip";

export const cacheFolder = join("bench", ".cache");

const folders: Record<ModelName, string> = {
  "ViT-B/16": join(cacheFolder, "vit-b-16"),
  "mini-clip": join("weights", "mini-clip"),
};

/** The model's folder. ViT-B/16 gets random weights (600 MB), which are written on the first call. */
export function modelFolder(name: ModelName): string {
  const folder = folders[name];
  if (!existsSync(folder)) {
    console.error(`writing random weights of ${name} to ${folder}`);
    const part = `${folder}.${process.pid}.part`;
    mkdirSync(part, { recursive: true });
    const towers = {
      vision: 768,
      visionLayers: 12,
      visionHeads: 12,
      text: 512,
      textLayers: 12,
      textHeads: 8,
      embed: 512,
    };
    const inputs = { size: 224, patch: 16, context: 77, vocabulary: 49408, endId: 49407 };
    writeRandomClip({ ...towers, ...inputs }, part, join("weights", "clip-bpe", "tokenizer.json"));
    renameSync(part, folder);
  }
  return folder;
}

/**
 * Settings of a job: the paper's, but with a single text template, because the frozen text target is computed before
 * the first step and is no part of what is timed.
 */
export const settings = ({ depth, batch }: Shape): Preset & { consistency: "l1"; oneTemplate: boolean } => ({
  ...paper.baseToNovel,
  depth: { text: depth, image: depth },
  batch,
  textTargetTemplates: ["a photo of a {}."],
  consistency: "l1",
  oneTemplate: false,
});

/** Class names that are all different, of `nameTokens` words each; every word is a single token. */
export function classNames({ model, classes, nameTokens }: Shape): string[] {
  const { vocab } = JSON.parse(readFileSync(join(folders[model], "tokenizer.json"), "utf8")).model as {
    vocab: Record<string, number>;
  };
  const words = Object.keys(vocab).flatMap((token) => /^([a-z]{3,})<\/w>$/.exec(token)?.[1] ?? []);
  const random = seeded("class names", nameTokens);
  return Array.from({ length: classes }, (_, c) => {
    const count = nameTokens === "mixed" ? mixedTokens[c % mixedTokens.length] : nameTokens;
    return Array.from({ length: count }, (_, k) => (k === 0 ? words[c % words.length] : random.pick(words))).join(" ");
  });
}

/** Random normalised pixels [B,3,R,R] and random labels; for timing, any values serve. */
export function pictures(batch: number, size: number, classes: number): { pixels: Float32Array; labels: Int32Array } {
  const random = seeded("pictures", batch, size);
  return {
    pixels: Float32Array.from({ length: batch * 3 * size * size }, () => random.normal()),
    labels: Int32Array.from({ length: batch }, () => random.int(classes)),
  };
}

/** The file with the inputs and initial parameters that the kit and PyTorch start from. */
export function inputsFile({ model, classes, batch, depth, nameTokens }: Shape): string {
  const name = [model.replace("/", ""), classes, batch, depth, nameTokens].join("-");
  return join(cacheFolder, "inputs", `${name}.safetensors`);
}
