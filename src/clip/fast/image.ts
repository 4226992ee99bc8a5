/**
 * CLIP's image encoder, plain or with deep prompts (the last V tokens), doing only the work that reaches CLS. It gives
 * the numbers of ../reference.ts; test/clip/encoders.test.ts compares the two. It assumes that
 * - prompts are contiguous at the end of the sequence, and from block 0 on: sets 0, 1 ... without gaps, all of one
 *   length;
 * - the outputs of prompts that the next block replaces are not read;
 * - only CLS is read after the last block;
 * - weights are frozen: gradients flow to prompts alone.
 * A method that needs more than that takes the reference. What is saved by it:
 * - patch embedding, ln_pre and block 0's queries, keys and values of the image tokens (`imageFront`) are the same for
 *   the frozen and the prompted pass, and no gradient flows to them;
 * - of prompts whose outputs the next block replaces only keys and values are needed, and these are the same for all
 *   images;
 * - in the last block only CLS is a query.
 */
import { frozenLayerNorm, repeat } from "../../engine/autograd";
import type { Tensor1D, Tensor2D, Tensor4D } from "../../engine/tf";
import { tf } from "../../engine/tf";
import type { ImageTower } from "../model";
import { type BlockObserver, blocksWithoutRecompute, fastBlock, projectQKV } from "./block";
import type { Prompts } from "./text";

/** For the backward pass; a batch of 4 pictures of ViT-B/16 asks for 267. */
const savedMegabytes = 288;

/** Image tokens before block 0 [B*N,D], and their queries, keys and values in it [B*N,3D]. */
export type ImageFront = { x: Tensor2D; images: number; qkv: Tensor2D };

/** From normalised pixels [B,3,R,R]. @returns tensors that the caller disposes with `tf.dispose`. */
export function imageFront(tower: ImageTower, pixels: Tensor4D): ImageFront {
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
  return { x, images: B, qkv };
}

/**
 * Features [B,E], not normalised; differentiable in the prompts.
 * @param prompts one set [V,D] for each prompted block, the first for the input (ln_pre is applied to it here, no
 *   position is added); none for plain CLIP
 */
export function encodeImage(
  tower: ImageTower,
  { x: front, images: B, qkv }: ImageFront,
  prompts: Prompts,
  observe?: BlockObserver,
): Tensor2D {
  const depth = prompts.length;
  const recomputed = tower.blocks.length - blocksWithoutRecompute(front.shape[0], tower.width, savedMegabytes);
  let x = front;
  tower.blocks.forEach((w, i) => {
    const last = i === tower.blocks.length - 1;
    let keyValuePrompts: Tensor2D | undefined;
    if (i < depth) {
      const tokens = i === 0 ? frozenLayerNorm(prompts[0], tower.pre) : prompts[i];
      if (i < depth - 1 || last) keyValuePrompts = tokens;
      else x = appendTokens(x, B, tokens); // The blocks from here on transform them like the other tokens.
    }
    const isFront = x === front;
    const input = x;
    const inputs = {
      prompts: keyValuePrompts,
      queryRows: last ? clsRows(B, x.shape[0] / B) : undefined,
      frozenInput: depth === 0 || isFront,
      qkv: isFront ? qkv : undefined,
      recompute: i < recomputed,
    };
    observe?.(w, x, B, inputs);
    x = fastBlock(w, x, B, inputs);
    if (!isFront) input.dispose(); // The block has saved what its backward pass needs of it.
  });
  return tf.matMul(frozenLayerNorm(x, tower.post), tower.projection);
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
