/**
 * CLIP's image encoder, plain or with deep prompts (the last V tokens), doing only the work that reaches CLS. It gives
 * the numbers of ../reference.ts; test/clip/encoders.test.ts compares the two. It assumes that
 * - prompts are contiguous at the end of the sequence, and from the first block with prompts on without gaps: each set
 *   replaces the one before, all of one length;
 * - the outputs of prompts that the next block replaces are not read;
 * - only CLS is read after the last block, and perhaps the last prompts;
 * - weights are frozen: gradients flow to prompts and to what a method adds (../additions.ts).
 * A method that needs more than that takes the reference. What is saved by it:
 * - patch embedding, ln_pre and block 0's queries, keys and values of the image tokens (`imageFront`) are the same for
 *   the frozen and the prompted pass, and no gradient flows to them;
 * - of prompts whose outputs the next block replaces only keys and values are needed, and these are the same for all
 *   images;
 * - blocks before the first that a method changes run once, for the frozen pass and for its own (`imageFront`);
 * - in the last block only CLS is a query.
 */
import { frozenLayerNorm, repeat } from "../../engine/autograd";
import type { Tensor1D, Tensor2D, Tensor3D, Tensor4D } from "../../engine/tf";
import { tf } from "../../engine/tf";
import type { Additions } from "../additions";
import type { ImageTower } from "../model";
import { type BlockObserver, blocksWithoutRecompute, blockWithAdditions, fastBlock, projectQKV } from "./block";
import type { Prompts } from "./text";

/** For the backward pass; a batch of 4 pictures of ViT-B/16 asks for 267. */
const savedMegabytes = 288;

/** Image tokens before a block [B*N,D], and their queries, keys and values in it [B*N,3D]. */
export type ImageFront = { x: Tensor2D; images: number; qkv: Tensor2D; block: number };

/**
 * From normalised pixels [B,3,R,R]: what goes into block `block`; the blocks before it are frozen.
 * @returns tensors that the caller disposes with `tf.dispose`.
 */
export function imageFront(tower: ImageTower, pixels: Tensor4D, block = 0): ImageFront {
  const { size, patch, width } = tower;
  const [B, channels, height, breadth] = pixels.shape;
  if (channels !== 3 || height !== size || breadth !== size) {
    throw new Error(`pixels have the shape [${pixels.shape}], the model takes [B,3,${size},${size}]`);
  }
  const { x, qkv } = tf.tidy(() => {
    const n = Math.floor(size / patch); // pixels that fill no whole patch are left out, as by torch's convolution
    const covered = n * patch === size ? pixels : tf.slice(pixels, [0, 0, 0, 0], [-1, -1, n * patch, n * patch]);
    // [B*3*n, n, patch, patch]
    const strips = tf.transpose(tf.reshape(covered, [B * 3 * n, patch, n, patch]), [0, 2, 1, 3]);
    const patches = tf.transpose(tf.reshape(strips, [B, 3, n * n, patch * patch]), [0, 2, 1, 3]);
    const embedded = tf.reshape(tf.matMul(tf.reshape(patches, [B * n * n, -1]) as Tensor2D, tower.patches), [
      B,
      n * n,
      width,
    ]);
    const cls = tf.tile(tf.reshape(tower.cls, [1, 1, width]), [B, 1, 1]);
    const tokens = frozenLayerNorm(tf.concat([cls, tf.add(embedded, tower.positions)], 1), tower.pre);
    const x = tf.reshape(tokens, [-1, width]) as Tensor2D;
    return { x, qkv: projectQKV(tower.blocks[0], x) };
  });
  const front = { x, images: B, qkv, block: 0 };
  if (block === 0) return front;
  const later = laterFront(tower, front, block);
  tf.dispose([x, qkv]);
  return later;
}

/** What goes into a later block, from what goes into an earlier one. */
export function laterFront(tower: ImageTower, front: ImageFront, block: number): ImageFront {
  const { x, qkv } = tf.tidy(() => {
    let x = front.x;
    for (let i = front.block; i < block; i++) {
      x = fastBlock(tower.blocks[i], x, front.images, i === front.block ? { frozenInput: true, qkv: front.qkv } : {});
    }
    return { x, qkv: projectQKV(tower.blocks[block], x) };
  });
  return { x, qkv, images: front.images, block };
}

export type EncodeImageOptions = {
  observe?: BlockObserver;
  /** What a method adds inside the blocks from the front's on. */
  additions?: Additions;
};

/**
 * Features [B,E], not normalised; differentiable in the prompts and in what is added.
 * @param prompts one set [V,D] for each prompted block, the first for the input (ln_pre is applied to it here, no
 *   position is added) or for the front's block; none for plain CLIP
 */
export const encodeImage = (
  tower: ImageTower,
  front: ImageFront,
  prompts: Prompts,
  options: EncodeImageOptions = {},
): Tensor2D => tf.matMul(lastTokens(tower, front, prompts, options, false), tower.projection);

/**
 * As `encodeImage`, for methods that read the outputs of the prompts of the last block, too: these after the last layer
 * norm, [B,V,D]. The last block then runs for all tokens, since several are read.
 */
export function encodeImageAndPrompts(
  tower: ImageTower,
  front: ImageFront,
  prompts: Prompts,
  options: EncodeImageOptions = {},
): { features: Tensor2D; outputs: Tensor3D } {
  const V = (prompts[prompts.length - 1] as Tensor2D).shape[0];
  const y = tf.reshape(lastTokens(tower, front, prompts, options, true), [front.images, -1, tower.width]) as Tensor3D;
  const [N, D] = y.shape.slice(1);
  const cls = tf.reshape(tf.slice(y, [0, 0, 0], [-1, 1, -1]), [-1, D]) as Tensor2D;
  return { features: tf.matMul(cls, tower.projection), outputs: tf.slice(y, [0, N - V, 0], [-1, -1, -1]) };
}

/** After the last layer norm: CLS of each image [B,D], or all tokens and the last block's prompts [B*(N+V),D]. */
function lastTokens(
  tower: ImageTower,
  { x: front, images: B, qkv, block: first }: ImageFront,
  prompts: Prompts,
  { observe, additions }: EncodeImageOptions,
  readPrompts: boolean,
): Tensor2D {
  const depth = prompts.length;
  const recomputed = tower.blocks.length - blocksWithoutRecompute(front.shape[0], tower.width, savedMegabytes);
  let x = front;
  tower.blocks.forEach((w, i) => {
    if (i < first) return;
    const last = i === tower.blocks.length - 1;
    const set = prompts[i];
    let keyValuePrompts: Tensor2D | undefined;
    if (set) {
      const tokens = i === 0 ? frozenLayerNorm(set, tower.pre) : set;
      if (i < depth - 1 || (last && !readPrompts)) keyValuePrompts = tokens;
      else x = appendTokens(x, B, tokens); // The blocks from here on transform them like the other tokens.
    }
    const isFront = x === front;
    const input = x;
    const inputs = {
      prompts: keyValuePrompts,
      queryRows: last && !readPrompts ? clsRows(B, x.shape[0] / B) : undefined,
      frozenInput: isFront || (depth === 0 && !additions),
      qkv: isFront ? qkv : undefined,
      recompute: i < recomputed,
    };
    observe?.(w, x, B, inputs);
    x = blockWithAdditions(additions, i, w, x, B, inputs);
    if (!isFront) input.dispose(); // The block has saved what its backward pass needs of it.
  });
  return frozenLayerNorm(x, tower.post);
}

/** Appends the same tokens [V,D] to those of every image: [B*N,D] -> [B*(N+V),D]. */
function appendTokens(x: Tensor2D, images: number, tokens: Tensor2D): Tensor2D {
  const [V, D] = tokens.shape;
  const perImage = tf.reshape(x, [images, -1, D]);
  return tf.reshape(tf.concat([perImage, repeat(tf.reshape(tokens, [1, V, D]), images)], 1), [-1, D]);
}

/** Rows of the CLS tokens in [B*N,D]. */
const clsRows = (images: number, tokens: number): Tensor1D =>
  tf.tensor1d(
    Int32Array.from({ length: images }, (_, b) => b * tokens),
    "int32",
  );
