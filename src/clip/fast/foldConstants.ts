/**
 * A residual block's weights as checkpoints have them, and folded as the fast encoders use them. Folding moves what
 * multiplies or shifts every row alike into the weights once, at load. Outputs are unchanged up to rounding:
 * - Residual writes are centred: each row that `out` and `down` add to x has mean 0. Every reader of x is a layer norm,
 *   which removes the mean anyway, and has less to subtract and to round.
 * - The gain and bias of a layer norm go into the linear map that follows it.
 * - That map's own bias goes into its weight: W becomes W - (mean of each column) + bias/D. A row y that comes out of a
 *   layer norm has mean 0, so (y + 1) W = y W + bias. The gradient of y gets a term along (1,1,...), which the
 *   backward pass of the layer norm removes.
 * - Attention's 1/sqrt(d) goes into the query weight. The key bias adds the same number to all scores of a query and
 *   has no effect on the softmax. The value bias passes through attention unchanged (the weights of a query sum to 1)
 *   and goes into the output bias.
 * - QuickGELU's 1.702 goes into both maps of the MLP: 1.702 a sigmoid(1.702 a) = a' sigmoid(a') for a' = 1.702 a.
 * Shapes: D width.
 */
import type { Norm } from "../../engine/autograd";
import type { Activation } from "../../engine/fusedOps";
import type { Tensor, Tensor1D, Tensor2D } from "../../engine/tf";
import { tf } from "../../engine/tf";

/** y = x weight + bias, weight [in,out]. */
export type LinearWeights = { weight: Tensor2D; bias: Tensor1D };

/** A block as checkpoints have it. */
export type PlainBlock = {
  norm1: Norm;
  query: LinearWeights;
  key: LinearWeights;
  value: LinearWeights;
  out: LinearWeights;
  norm2: Norm;
  up: LinearWeights;
  down: LinearWeights;
  heads: number;
  activation: Activation;
};

/** A block with its constants folded: qkv [D,3D] and up [D,hidden] include their biases; out [D,D], down [hidden,D]. */
export type FoldedBlock = {
  qkv: Tensor2D;
  out: LinearWeights;
  up: Tensor2D;
  down: LinearWeights;
  /** The first layer norm, whose gain and bias are in `qkv`: what is added to a block reads its output. */
  norm1: Norm;
  heads: number;
  epsilon1: number;
  epsilon2: number;
  activation: Activation;
};

/** Folds all constants into the weights (see above). The caller keeps and disposes the plain weights. */
export function foldBlock(plain: PlainBlock): FoldedBlock {
  return tf.tidy(() => {
    const { heads } = plain;
    const width = plain.query.weight.shape[0];
    const asRow = (bias: Tensor) => tf.reshape(bias, [1, -1]) as Tensor2D;
    const asVector = (bias: Tensor) => tf.reshape(bias, [-1]) as Tensor1D;
    // A tidy for each map, so that a large model's weights are never in memory three times.
    const afterLayerNorm = ({ gain, bias }: Norm, { weight, bias: shift }: LinearWeights, factor = 1): LinearWeights =>
      tf.tidy(() => {
        const scaled = tf.mul(weight, tf.mul(tf.reshape(gain, [-1, 1]), factor));
        const offset = tf.mul<Tensor1D>(tf.add(asVector(tf.matMul(asRow(bias), weight)), shift), factor);
        return { weight: tf.sub(scaled, tf.mean(scaled, 0, true)), bias: offset } as any;
      });
    const centredOutput = ({ weight, bias }: LinearWeights, factor = 1): LinearWeights =>
      tf.tidy(
        () =>
          ({
            weight: tf.mul(tf.sub(weight, tf.mean(weight, 1, true)), factor),
            bias: tf.sub(bias, tf.mean(bias)),
          }) as any,
      );
    const biasInWeight = ({ weight, bias }: LinearWeights) => tf.add(weight, tf.div(bias, width));
    const query = afterLayerNorm(plain.norm1, plain.query, 1 / Math.sqrt(width / heads));
    const key = afterLayerNorm(plain.norm1, plain.key);
    const value = afterLayerNorm(plain.norm1, plain.value);
    const valueBias = asVector(tf.matMul(asRow(value.bias), plain.out.weight));
    const quickGeluScale = plain.activation === "quick_gelu" ? 1.702 : 1;
    return {
      qkv: tf.concat([biasInWeight(query), key.weight, value.weight], 1),
      out: centredOutput({ weight: plain.out.weight, bias: tf.add(plain.out.bias, valueBias) }),
      up: tf.tidy(() => biasInWeight(afterLayerNorm(plain.norm2, plain.up, quickGeluScale))),
      down: centredOutput(plain.down, 1 / quickGeluScale),
      norm1: plain.norm1,
      heads,
      epsilon1: plain.norm1.epsilon,
      epsilon2: plain.norm2.epsilon,
      activation: plain.activation,
    } as any;
  });
}

/**
 * The block with maps [D,D] added to those of queries, keys and values. The biases that the layer norm's own bias gives
 * go into the weight. @returns a block that shares all tensors with w but `qkv`, which the caller disposes
 */
export const foldAttention = (w: FoldedBlock, added: Record<"query" | "key" | "value", Tensor2D>): FoldedBlock => {
  const { gain, bias } = w.norm1;
  const width = w.qkv.shape[0];
  const fold = (map: Tensor2D, factor = 1): Tensor2D => {
    const scaled = tf.mul(map, tf.mul(tf.reshape(gain, [-1, 1]), factor));
    const offset = tf.mul(tf.matMul(tf.reshape(bias, [1, -1]) as Tensor2D, map), factor / width);
    return tf.add(tf.sub(scaled, tf.mean(scaled, 0, true)), offset);
  };
  const parts = () => [fold(added.query, queryScale(w)), fold(added.key), fold(added.value)];
  return { ...w, qkv: tf.tidy(() => tf.add(w.qkv, tf.concat(parts(), 1))) };
};

/** Attention's 1/sqrt(d), which is in the query weights. */
export const queryScale = ({ qkv, heads }: FoldedBlock): number => 1 / Math.sqrt(qkv.shape[0] / heads);

/** The four weights of a block as [out,in]. */
export type TransposedWeights = Record<"qkv" | "out" | "up" | "down", Tensor2D>;

/**
 * A block's weights transposed: with few rows oneDNN multiplies by these faster (`matMulWeight` in
 * engine/fusedOps.ts). @returns tensors that the caller disposes.
 */
export const transposeBlock = ({ qkv, out, up, down }: FoldedBlock): TransposedWeights => ({
  qkv: tf.transpose(qkv),
  out: tf.transpose(out.weight),
  up: tf.transpose(up),
  down: tf.transpose(down.weight),
});
