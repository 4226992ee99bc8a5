/**
 * CLIP as plain records of frozen tensors. Shape alphabet of this folder: B images, C classes (or texts), T text
 * tokens, N image tokens (CLS + patches), P prompt tokens, D width, H heads, E joint embedding, S suffix tokens, R
 * pixels a side.
 */
import type { Norm } from "../engine/autograd";
import type { Tensor2D } from "../engine/tf";
import type { Preprocess } from "../io/preprocess";
import type { FoldedBlock } from "./fast/foldConstants";
import type { Tokenizer } from "./tokenizer";

export type TextTower = {
  /** Token embeddings [vocabulary, D]. */
  tokens: Tensor2D;
  /** Positional embeddings [context, D]. */
  positions: Tensor2D;
  blocks: FoldedBlock[];
  final: Norm;
  /** [D,E] */
  projection: Tensor2D;
  /**
   * Keys and values of the start token in each block, [1,2D]: it sees only itself, so they are constants of the model.
   */
  startKV: Tensor2D[];
  width: number;
  context: number;
};

export type ImageTower = {
  /** Patch embedding [3 * patch * patch, D]; rows ordered channel, row, column. */
  patches: Tensor2D;
  /** CLS token with its position [1,D], positions of the patches [N-1,D]. */
  cls: Tensor2D;
  positions: Tensor2D;
  pre: Norm;
  blocks: FoldedBlock[];
  post: Norm;
  /** [D,E] */
  projection: Tensor2D;
  width: number;
  /** Pixels a side of the picture and of a patch. */
  size: number;
  patch: number;
};

/** A frozen CLIP: both encoders, tokenizer and preprocessing, with a fingerprint of its files. */
export type Clip = {
  name: string;
  /** The folder or file that it was read from. */
  path: string;
  text: TextTower;
  image: ImageTower;
  /** Width E of the joint embedding. */
  embed: number;
  /** Already the exponential: what cosines are multiplied by (100 in OpenAI's models). */
  logitScale: number;
  tokenizer: Tokenizer;
  preprocess: Preprocess;
  /**
   * Which settings fit this model (configs/presets.ts): those that its folder names in `promptsrc.json`, else the
   * paper's.
   */
  preset: "paper" | "embedded";
  /** sha256 over weights, config and tokenizer. */
  fingerprint: string;
  /** What a user should know of how it was read, such as defaults that were used. */
  notes: string[];
};
