/**
 * PromptSRC's settings as a type, for editors and notebooks: completion and documentation of every field. The schemas
 * (settings.ts and the method's own file) validate them; test/configs/config.test.ts keeps both equal.
 */
import type { Ensemble } from "./settings";

/** The settings of PromptSRC. */
export type Config = {
  /** Tokens of a prompt in each encoder. */
  tokens: {
    /** prompt tokens of the text encoder */
    text: number;
    /** prompt tokens of the image encoder */
    image: number;
  };
  /** Blocks with prompts of their own, in each encoder. */
  depth: {
    /** blocks of the text encoder that have prompts of their own */
    text: number;
    /** blocks of the image encoder that have prompts of their own */
    image: number;
  };
  /** words whose token embeddings the text context starts from; empty: random, N(0, 0.02) */
  contextInit: string;
  /** weights of PromptSRC's consistency terms (equation 5) */
  lossWeights: {
    /** weight of L_SCL-text */
    text: number;
    /** weight of L_SCL-image */
    image: number;
    /** weight of L_SCL-logits */
    logits: number;
  };
  /** sentences whose mean feature is the frozen text target */
  textTargetTemplates: string[];
  /** what the consistency terms of the features measure */
  consistency?: "l1" | "mse" | "cosine";
  /** take one template by lot in each step as the frozen text target, instead of the mean of all */
  oneTemplate?: boolean;
  /** passes over the training pictures */
  epochs: number;
  /** pictures of a step */
  batch: number;
  /** Random crops and flips of training pictures. */
  augmentation: {
    /** share of the picture's area that a random crop covers */
    scale: [number, number];
    /** width over height of a random crop */
    ratio: [number, number];
    /** probability that a picture is mirrored */
    flip: number;
  };
  /** learning rate after the warm-up, before the cosine */
  lr: number;
  /** constant warm-up */
  warmup: {
    /** first epochs, at a constant rate */
    epochs: number;
    /** learning rate of the warm-up */
    lr: number;
  };
  /** momentum of SGD */
  momentum: number;
  /** weight decay; of SGD and Adam, added to the gradient */
  weightDecay: number;
  /** how the epochs' prompts are weighted in the result (GPA); null: the last epoch's */
  ensemble: Ensemble;
};
