/**
 * The settings of training as schemas: types, ranges and meanings in one place. Each method puts together those that it has, and declares its
 * own numbers beside its code. `--set`, the check of what a notebook changes, and the table of settings in docs/settings.md are made of them.
 */
import { z } from "zod";

const wholeFrom = (least: number) => z.int().min(least);
const positive = z.number().positive();
const fraction = z.number().min(0).max(1);

/** Context tokens of the text encoder, and prompt tokens of the image encoder (N_CTX_TEXT, N_CTX_VISION). */
const textTokens = wholeFrom(1).max(64).describe("prompt tokens of the text encoder");
const imageTokens = wholeFrom(1).max(64).describe("prompt tokens of the image encoder");

/**
 * Prompt depth J: prompts enter at the input and before each of the blocks 1..J-1. A depth beyond the encoder's blocks means all of them.
 */
const textDepth = wholeFrom(1).describe("blocks of the text encoder that have prompts of their own");
const imageDepth = wholeFrom(1).describe("blocks of the image encoder that have prompts of their own");

export const contextInit = z
  .string()
  .describe("words whose token embeddings the text context starts from; empty: random, N(0, 0.02)");

const templateList = z
  .array(z.string().refine((text) => text.includes("{}"), "needs {} where the class name goes"))
  .min(1);
export const zeroShotTemplates = templateList.describe("sentences of zero-shot CLIP; of several, the mean feature");
export const textTargetTemplates = templateList.describe("sentences whose mean feature is the frozen text target");

/** A context of words at the input of the text encoder. */
export const textContext = { tokens: z.object({ text: textTokens }), contextInit };

/** Deep prompts in the text encoder, in the image encoder, or in both. */
export const textPrompts = { ...textContext, depth: z.object({ text: textDepth }) };
export const imagePrompts = { tokens: z.object({ image: imageTokens }), depth: z.object({ image: imageDepth }) };
export const bothPrompts = {
  tokens: z.object({ text: textTokens, image: imageTokens }),
  depth: z.object({ text: textDepth, image: imageDepth }),
  contextInit,
};

// The cast is for TypeScript 5.0.4 of the notebooks, which reads zod's type of a tuple as a list of optional numbers.
const range = (least: number, most: number) =>
  z
    .tuple([z.number().gt(least).max(most), z.number().gt(least).max(most)])
    .refine(([low, high]) => low <= high, "needs the smaller number first") as unknown as z.ZodType<[number, number]>;

/** Random crops and mirroring of training pictures, as torchvision's RandomResizedCrop and RandomHorizontalFlip. */
const augmentation = z.object({
  scale: range(0, 1).describe("share of the picture's area that a random crop covers"),
  ratio: range(0, 100).describe("width over height of a random crop"),
  flip: fraction.describe("probability that a picture is mirrored"),
});

/** What every method that is trained by steps has. */
export const optimisation = {
  epochs: wholeFrom(1).describe("passes over the training pictures"),
  batch: wholeFrom(1).describe("pictures of a step"),
  augmentation,
  lr: positive.describe("learning rate after the warm-up, before the cosine"),
  warmup: z
    .object({
      epochs: wholeFrom(0).describe("first epochs, at a constant rate"),
      lr: positive.describe("learning rate of the warm-up"),
    })
    .describe("constant warm-up"),
  momentum: z.number().min(0).lt(1).describe("momentum of SGD"),
  weightDecay: z.number().min(0).describe("weight decay of SGD, added to the gradient"),
};

/**
 * Weights of the epochs' prompts in the result: a Gaussian over the epochs (GPA, equation 6), or an exponential moving average without bias to
 * its start, in which each epoch weighs `decay` times as much as the next one (1: all alike); null: the last epoch's prompts.
 */
export const ensemble = z
  .union([
    z.strictObject({
      mean: z.number().describe("epoch on which the Gaussian lies"),
      std: positive.describe("its standard deviation, in epochs"),
    }),
    z.strictObject({ decay: fraction.describe("decay of an exponential moving average") }),
  ])
  .nullable()
  .describe("how the epochs' prompts are weighted in the result (GPA); null: the last epoch's");
/** A weighting of the epochs: a Gaussian `{ mean, std }` (GPA, equation 6), a moving average `{ decay }`, or null for the last epoch. */
export type Ensemble = z.infer<typeof ensemble>;

export type Augmentation = z.infer<typeof augmentation>;
export type Optimisation = z.infer<z.ZodObject<typeof optimisation>>;

/** The settings that a method takes from a preset; a method has a part of them, and numbers of its own. */
export const common = {
  ...bothPrompts,
  ...optimisation,
  lossWeights: z
    .object({
      text: z.number().min(0).describe("weight of L_SCL-text"),
      image: z.number().min(0).describe("weight of L_SCL-image"),
      logits: z.number().min(0).describe("weight of L_SCL-logits"),
    })
    .describe("weights of PromptSRC's consistency terms (equation 5)"),
  ensemble,
  textTargetTemplates,
  zeroShotTemplates,
};

/** A preset: numbers for every method of a benchmark. */
export type Preset = z.infer<z.ZodObject<typeof common>>;
