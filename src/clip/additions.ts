/**
 * What a method adds inside the blocks of an encoder: low-rank maps beside those of the attention (LoRA), adapters
 * beside a whole block. The reference encoder and the fast ones take the same record, so that a method states it once.
 * Shapes: R rows (the tokens of all sequences), D width.
 */
import type { Tensor2D } from "../engine/tf";

/**
 * Each function gets the number of a block, from 0, and y [R,D], the output of the block's first layer norm for all
 * tokens; it is differentiable in y and in whatever parameters it uses. Blocks without an addition give undefined.
 */
export type Additions = {
  /** Added to the queries, keys and values of the block, each [R,D]. */
  attention?(block: number, y: Tensor2D): { query: Tensor2D; key: Tensor2D; value: Tensor2D } | undefined;
  /** Added to the output of the block, [R,D]. */
  output?(block: number, y: Tensor2D): Tensor2D | undefined;
};
