/**
 * CLIP's image encoder, plain or with deep prompts (the last V tokens), doing only the work that reaches CLS:
 * - patch embedding, ln_pre and block 0's queries, keys and values of the image tokens (`imageFront`) are the same for the
 *   frozen and the prompted pass, and no gradient flows to them;
 * - prompts whose outputs the next block replaces need keys and values only, and these are the same for all images;
 * - in the last block only CLS asks.
 */
import { layerNorm, repeat } from "../ops";
import type { Tensor2D, Tensor3D, Tensor4D } from "../tf";
import { tf } from "../tf";
import type { Projected } from "./block";
import { block, project } from "./block";
import type { ImageTower } from "./model";
import type { Prompts } from "./text";

/** Image tokens before block 0 [B,N,D] and what block 0 makes of them. */
export type ImageFront = { x: Tensor3D; projected: Projected };

/** From normalised pixels [B,3,R,R]. @returns tensors that the caller disposes with `tf.dispose`. */
export function imageFront(tower: ImageTower, pixels: Tensor4D): ImageFront {
  const { size, patch, width } = tower;
  const [B, channels, height, breadth] = pixels.shape;
  if (channels !== 3 || height !== size || breadth !== size) {
    throw new Error(`pixels have the shape [${pixels.shape}], the model takes [B,3,${size},${size}]`);
  }
  return tf.tidy(() => {
    const n = Math.floor(size / patch); // pixels that fill no whole patch are left out, as by torch's convolution
    const covered = n * patch === size ? pixels : tf.slice(pixels, [0, 0, 0, 0], [-1, -1, n * patch, n * patch]);
    const strips = tf.transpose(tf.reshape(covered, [B * 3 * n, patch, n, patch]), [0, 2, 1, 3]); // [B*3*n, n, patch, patch]
    const patches = tf.transpose(tf.reshape(strips, [B, 3, n * n, patch * patch]), [0, 2, 1, 3]);
    const embedded = tf.reshape(tf.matMul(tf.reshape(patches, [B * n * n, -1]) as Tensor2D, tower.patches), [B, n * n, width]);
    const cls = tf.tile(tf.reshape(tower.cls, [1, 1, width]), [B, 1, 1]);
    const x = layerNorm(tf.concat([cls, tf.add(embedded, tower.positions)], 1), tower.pre) as Tensor3D;
    return { x, projected: project(tower.blocks[0], x) };
  });
}

/**
 * Features [B,E], not normalised; differentiable in the prompts.
 * @param prompts one set [V,D] per prompted block, the first for the input (ln_pre is applied to it here, no position is added);
 *   none for plain CLIP.
 */
export function encodeImage(tower: ImageTower, { x: front, projected }: ImageFront, prompts: Prompts): Tensor2D {
  const [B, , D] = front.shape;
  const depth = prompts.length;
  let x = front;
  tower.blocks.forEach((w, i) => {
    const last = i === tower.blocks.length - 1;
    let keyValueOnly: Tensor3D | undefined;
    if (i < depth) {
      const V = prompts[i].shape[0];
      const set = tf.reshape(i === 0 ? layerNorm(prompts[0], tower.pre) : prompts[i], [1, V, D]) as Tensor3D;
      if (i < depth - 1 || last) keyValueOnly = set;
      else x = tf.concat([x, repeat(set, B)], 1); // from here on they run along as tokens
    }
    const own = x === front;
    x = block(w, x, {
      prompts: keyValueOnly,
      pick: last ? firstToken(B, x.shape[1]) : undefined,
      fixed: depth === 0 || own,
      projected: own ? projected : undefined,
    });
  });
  return tf.matMul(layerNorm(tf.reshape(x, [B, D]), tower.post) as Tensor2D, tower.projection);
}

/** One-hot rows [B,1,tokens] that pick CLS. */
const firstToken = (B: number, tokens: number): Tensor3D =>
  tf.tensor3d(
    Float32Array.from({ length: B * tokens }, (_, i) => (i % tokens === 0 ? 1 : 0)),
    [B, 1, tokens],
  );
