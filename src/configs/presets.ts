/**
 * Settings by name. `paper` are the numbers of PromptSRC's official configurations (ViT-B/16), `embedded` those of the small model that comes
 * with the kit; a model's folder says which are its own (`promptsrc.json`), and any other CLIP gets the paper's. What a method's own paper
 * sets otherwise stands in the method's file.
 */
import type { Preset } from "./settings";
import { paperTemplates } from "./templates";

/** Dassl's "random_resized_crop" and "random_flip" with torchvision's defaults, as every official configuration uses them. */
export const officialAugmentation: Preset["augmentation"] = { scale: [0.08, 1], ratio: [3 / 4, 4 / 3], flip: 0.5 };

/** vit_b16_c2_ep20_batch4_4+4ctx.yaml of muzairkhattak/PromptSRC. */
const baseToNovel: Preset = {
  tokens: { text: 4, image: 4 },
  depth: { text: 9, image: 9 },
  contextInit: "a photo of a",
  epochs: 20,
  batch: 4,
  augmentation: officialAugmentation,
  lr: 0.0025,
  warmup: { epochs: 1, lr: 1e-5 },
  momentum: 0.9,
  weightDecay: 5e-4,
  lossWeights: { text: 25, image: 10, logits: 1 },
  ensemble: { mean: 15, std: 1 },
  textTargetTemplates: paperTemplates,
  zeroShotTemplates: ["a photo of a {}."],
};

/** Across datasets and domains the prompts are shallower (vit_b16_c2_ep20_batch4_4+4ctx_cross_datasets.yaml). */
const crossDataset: Preset = { ...baseToNovel, depth: { text: 3, image: 3 }, ensemble: { mean: 6, std: 10 } };

/** vit_b16_c2_ep50_batch4_4+4ctx_few_shot.yaml; `fewShotFine` is its commented pair, for Cars, Flowers, Aircraft, DTD and EuroSAT. */
const fewShot: Preset = { ...baseToNovel, epochs: 50, ensemble: { mean: 30, std: 30 } };
const fewShotFine: Preset = { ...fewShot, ensemble: { mean: 45, std: 5 } };

/** The paper's settings by benchmark (ViT-B/16). */
export const paper = { baseToNovel, crossDataset, domainGeneralisation: crossDataset, fewShot, fewShotFine };

/** Benchmarks that have settings of their own. */
export type BenchmarkSettings = keyof typeof paper;

/** For the embedded model: 6 blocks for images, 4 for text, pictures of 48 pixels, logit scale 17. */
const small = {
  batch: 32, // a step costs little more than with 4, and 20 epochs take seconds
  // A tenth of a 48-pixel picture shows nothing.
  augmentation: { ...officialAugmentation, scale: [0.5, 1] as [number, number] },
  lr: 0.03, // logits are five times less steep than with OpenAI's scale of 100
  // The mean of |f_p - f| over E elements of unit vectors goes as 1/sqrt(E), and E is 128, not 512: half the weight holds as hard.
  // (On validation pictures of six sets, seed 1: base 61.0 against 56.2 with 25 and 10, novel 36.8 against 37.3.)
  lossWeights: { text: 12.5, image: 5, logits: 1 },
};
/** 9 of 12 blocks are 4.5 of 6; of the 4 text blocks all. */
const deep = { text: 4, image: 5 };
/** A quarter of the blocks, as 3 of 12, would be the input alone; 2 is the least depth with a deep set. */
const shallow = { text: 2, image: 2 };

/** 20 epochs instead of 50, which are 1,000 steps at 40 classes and 16 shots; GPA at the same shares of them. */
const embeddedFewShot: Preset = { ...fewShot, ...small, depth: deep, epochs: 20, ensemble: { mean: 12, std: 12 } };
const embeddedCrossDataset: Preset = { ...crossDataset, ...small, depth: shallow };

export const embedded: Record<BenchmarkSettings, Preset> = {
  baseToNovel: { ...baseToNovel, ...small, depth: deep },
  crossDataset: embeddedCrossDataset,
  domainGeneralisation: embeddedCrossDataset,
  fewShot: embeddedFewShot,
  fewShotFine: { ...embeddedFewShot, ensemble: { mean: 18, std: 2 } },
};

/** All settings by name: of PromptSRC's paper (`paper`) and of the embedded model (`embedded`), each by benchmark. */
export const presets = { paper, embedded };
export type PresetName = keyof typeof presets;

/**
 * The datasets that take `fewShotFine`: the paper's five, whose classes the frozen model knows least, and of the embedded ones those
 * of which zero-shot CLIP gets fewest right. Where the frozen model is weak, the late epochs are the good ones.
 */
const fine = [
  "stanford_cars",
  "oxford_flowers",
  "fgvc_aircraft",
  "dtd",
  "eurosat",
  "faces",
  "kinds",
  "objects",
  "vehicles",
];
export const fewShotSettings = (dataset: string): "fewShot" | "fewShotFine" =>
  fine.includes(dataset) ? "fewShotFine" : "fewShot";
