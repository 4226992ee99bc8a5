/**
 * The schemas of the training settings: types, ranges and descriptions in one place. Each method combines the schemas
 * of the settings that it reads, and declares further hyperparameters in its own file. The option `--set`, the
 * validation of settings that a notebook changes, and the table in docs/settings.md are all derived from these schemas.
 */
import { z } from "zod";

const integerFrom = (minimum: number) => z.int().min(minimum);
const positive = z.number().positive();
const fraction = z.number().min(0).max(1);

/** Number of prompt tokens in each encoder (official names: N_CTX_TEXT, N_CTX_VISION). */
const textTokens = integerFrom(1).max(64).describe("prompt tokens of the text encoder");
const imageTokens = integerFrom(1).max(64).describe("prompt tokens of the image encoder");

/**
 * Prompt depth J: prompts enter at the input and before each of the blocks 1..J-1. A depth larger than the number of
 * blocks means that all blocks have prompts.
 */
const textDepth = integerFrom(1).describe("blocks of the text encoder that have prompts of their own");
const imageDepth = integerFrom(1).describe("blocks of the image encoder that have prompts of their own");

export const contextInit = z
  .string()
  .describe("words whose token embeddings the text context starts from; empty: random, N(0, 0.02)");

const templateList = z
  .array(z.string().refine((text) => text.includes("{}"), "needs {} where the class name goes"))
  .min(1);
export const zeroShotTemplates = templateList.describe("sentences of zero-shot CLIP; of several, the mean feature");
export const textTargetTemplates = templateList.describe("sentences whose mean feature is the frozen text target");

/** A learnable context at the input of the text encoder. */
export const textContext = { tokens: z.object({ text: textTokens }), contextInit };

/** Deep prompts in the text encoder, in the image encoder, or in both. */
export const textPrompts = { ...textContext, depth: z.object({ text: textDepth }) };
export const imagePrompts = { tokens: z.object({ image: imageTokens }), depth: z.object({ image: imageDepth }) };
export const bothPrompts = {
  tokens: z.object({ text: textTokens, image: imageTokens }),
  depth: z.object({ text: textDepth, image: imageDepth }),
  contextInit,
};

// The notebooks' TypeScript 5.0.4 infers a list of optional numbers from zod's tuple type, hence the cast.
const range = (minimum: number, maximum: number) =>
  z
    .tuple([z.number().gt(minimum).max(maximum), z.number().gt(minimum).max(maximum)])
    .refine(([low, high]) => low <= high, "needs the smaller number first") as unknown as z.ZodType<[number, number]>;

/** Blocks `from` to `to`, counted from 1 as in the official configurations; an encoder with fewer ends with its last. */
export const blockRange = (from: number, to: number) =>
  z
    .object({
      from: integerFrom(1).default(from).describe("first block, from 1"),
      to: integerFrom(1).default(to).describe("last block, from 1"),
    })
    .refine((range) => range.from <= range.to, "needs `from` before `to`")
    .prefault({})
    .describe("blocks that the method changes");

/** Random crops and flips of training pictures, as in torchvision's RandomResizedCrop and RandomHorizontalFlip. */
const augmentation = z.object({
  scale: range(0, 1).describe("share of the picture's area that a random crop covers"),
  ratio: range(0, 100).describe("width over height of a random crop"),
  flip: fraction.describe("probability that a picture is mirrored"),
});

/** The settings of every method that is trained by gradient steps. */
export const optimisation = {
  epochs: integerFrom(1).describe("passes over the training pictures"),
  batch: integerFrom(1).describe("pictures of a step"),
  augmentation,
  lr: positive.describe("learning rate after the warm-up, before the cosine"),
  warmup: z
    .object({
      epochs: integerFrom(0).describe("first epochs, at a constant rate"),
      lr: positive.describe("learning rate of the warm-up"),
    })
    .describe("constant warm-up"),
  momentum: z.number().min(0).lt(1).describe("momentum of SGD"),
  weightDecay: z.number().min(0).describe("weight decay; of SGD and Adam, added to the gradient"),
};

const { momentum: _, warmup: __, ...anyOptimiser } = optimisation;
const beta = z.number().min(0).lt(1);
const adam = (decoupled: boolean, epsilon: number) =>
  z
    .object({
      decoupled: z.boolean().default(decoupled).describe("weight decay apart from the gradient (AdamW)"),
      beta1: beta.default(0.9).describe("decay of the mean gradient"),
      beta2: beta.default(0.999).describe("decay of the mean squared gradient"),
      epsilon: positive.max(1).default(epsilon).describe("added to the root of the mean squared gradient"),
    })
    .prefault({})
    .describe("Adam's numbers");

/** A warm-up after which the cosine may go on as if there had been none. */
export const recountedWarmup = optimisation.warmup.extend({
  recount: z
    .boolean()
    .default(true)
    .describe("after the warm-up the cosine starts from its beginning (Dassl's WARMUP_RECOUNT)"),
});

/** The settings of methods that are trained by Adam or AdamW (src/solvers/optimiser.ts) instead of SGD. */
export const adamOptimisation = (kind: "adam" | "adamw", epsilon = 1e-8) => ({
  ...anyOptimiser,
  warmup: recountedWarmup.describe("constant warm-up"),
  adam: adam(kind === "adamw", epsilon),
});

/** Adam or AdamW, with a cosine that falls in every step instead of every epoch, without a warm-up. */
export const adamByStep = (kind: "adam" | "adamw", epsilon = 1e-8) => ({
  ...anyOptimiser,
  adam: adam(kind === "adamw", epsilon),
  minimumLr: z.number().min(0).default(0).describe("learning rate to which the cosine falls, in every step"),
});

/**
 * How the prompts of the epochs are weighted in the result: by a Gaussian over the epochs (GPA, equation 6), or by an
 * exponential moving average without initialisation bias, in which the weight of each epoch is `decay` times that of
 * the next one (1: equal weights). With null the result is the last epoch's prompts.
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
/**
 * A weighting of the epochs: a Gaussian `{ mean, std }` (GPA, equation 6), a moving average `{ decay }`, or null for
 * the last epoch.
 */
export type Ensemble = z.infer<typeof ensemble>;

export type Augmentation = z.infer<typeof augmentation>;
/** What the training loop reads: of SGD and a warm-up, or of Adam (`adam`), or of a cosine by step (`minimumLr`). */
export type Optimisation = Omit<z.infer<z.ZodObject<typeof optimisation>>, "momentum" | "warmup"> & {
  momentum?: number;
  warmup?: { epochs: number; lr: number; recount?: boolean };
  adam?: { decoupled: boolean; beta1: number; beta2: number; epsilon: number };
  minimumLr?: number;
};

/** What is senseless of settings that are each in their range; undefined where nothing is. */
export function contradiction({ epochs, lr, warmup, minimumLr }: Partial<Optimisation>): string | undefined {
  if (warmup && epochs !== undefined && warmup.epochs > epochs)
    return `warmup.epochs: the warm-up of ${warmup.epochs} epochs is longer than the training of ${epochs} (epochs)`;
  if (minimumLr !== undefined && lr !== undefined && minimumLr > lr)
    return `minimumLr: the cosine falls from lr, ${lr}, to ${minimumLr}, which is larger`;
  return undefined;
}

/** The settings that presets define. A method reads a subset of them, and may have further settings. */
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

/** The settings of a preset for one benchmark, for all methods. */
export type Preset = z.infer<z.ZodObject<typeof common>>;
