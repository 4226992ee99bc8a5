/**
 * A residual block's weights as checkpoints have them, and as they are computed with. What multiplies or shifts every row alike is moved
 * into the weights at load, which changes no number beyond rounding:
 * - all that reads the stream x is a LayerNorm, which subtracts the row's mean: so the maps that write to the stream write rows of mean 0,
 *   and LayerNorm has next to nothing to subtract, and to round;
 * - LayerNorm's gain and bias go into the linear map that follows;
 * - that map's own bias goes into its weights, W <- W less the mean of each column + bias/D in every row: centring changes nothing for a
 *   row y of mean 0, and (y + 1) W then is y W + bias. Gradients get a part along (1,1,...) by it, which LayerNorm's gradient takes off;
 * - attention's 1/sqrt(d) goes into the query map; the key bias adds the same to all scores of a query, and softmax ignores it;
 *   the value bias passes attention unchanged (its weights sum to 1) into the output bias;
 * - QuickGELU's 1.702 goes into both maps of the MLP: 1.702 a sigmoid(1.702 a) = a' sigmoid(a').
 * Shapes: D width.
 */
import type { Norm } from "../../engine/autograd";
import type { Activation } from "../../engine/fusedOps";
import type { Tensor, Tensor1D, Tensor2D } from "../../engine/tf";
import { tf } from "../../engine/tf";

/** y = x weight + bias, weight [in,out]. */
export type Linear = { weight: Tensor2D; bias: Tensor1D };

/** A block as checkpoints have it. */
export type PlainBlock = {
  norm1: Norm;
  query: Linear;
  key: Linear;
  value: Linear;
  out: Linear;
  norm2: Norm;
  up: Linear;
  down: Linear;
  heads: number;
  activation: Activation;
};

/** A block as it is computed: qkv [D,3D] and up [D,hidden] with their biases inside, out [D,D], down [hidden,D]. */
export type Block = {
  qkv: Tensor2D;
  out: Linear;
  up: Tensor2D;
  down: Linear;
  /** qkv and the weights of out, up and down a second time, [out,in]. */
  turned?: Record<"qkv" | "out" | "up" | "down", Tensor2D>;
  heads: number;
  epsilon1: number;
  epsilon2: number;
  activation: Activation;
};

/** Moves all constants into the weights (see above). The plain weights stay the caller's. */
export function foldBlock(plain: PlainBlock): Block {
  return tf.tidy(() => {
    const { heads } = plain;
    const width = plain.query.weight.shape[0];
    const row = (bias: Tensor) => tf.reshape(bias, [1, -1]) as Tensor2D;
    const flat = (bias: Tensor) => tf.reshape(bias, [-1]) as Tensor1D;
    // Each in a tidy of its own: a large model's weights are never held three times.
    const reading = ({ gain, bias }: Norm, { weight, bias: shift }: Linear, factor = 1): Linear =>
      tf.tidy(() => {
        const scaled = tf.mul(weight, tf.mul(tf.reshape(gain, [-1, 1]), factor));
        const offset = tf.mul<Tensor1D>(tf.add(flat(tf.matMul(row(bias), weight)), shift), factor);
        return { weight: tf.sub(scaled, tf.mean(scaled, 0, true)), bias: offset } as any;
      });
    const writing = ({ weight, bias }: Linear, factor = 1): Linear =>
      tf.tidy(() => ({ weight: tf.mul(tf.sub(weight, tf.mean(weight, 1, true)), factor), bias: tf.sub(bias, tf.mean(bias)) }) as any);
    const inside = ({ weight, bias }: Linear) => tf.add(weight, tf.div(bias, width));
    const query = reading(plain.norm1, plain.query, 1 / Math.sqrt(width / heads));
    const key = reading(plain.norm1, plain.key);
    const value = reading(plain.norm1, plain.value);
    const passed = flat(tf.matMul(row(value.bias), plain.out.weight));
    const steepness = plain.activation === "quick_gelu" ? 1.702 : 1;
    return {
      qkv: tf.concat([inside(query), key.weight, value.weight], 1),
      out: writing({ weight: plain.out.weight, bias: tf.add(plain.out.bias, passed) }),
      up: tf.tidy(() => inside(reading(plain.norm2, plain.up, steepness))),
      down: writing(plain.down, 1 / steepness),
      heads,
      epsilon1: plain.norm1.epsilon,
      epsilon2: plain.norm2.epsilon,
      activation: plain.activation,
    } as any;
  });
}

/** Keeps the weights turned too, for products of few rows (block.ts, `product`); once, for the life of the block. */
export function turn(w: Block): void {
  const turned = (x: Tensor2D) => tf.keep(tf.transpose(x));
  w.turned ??= { qkv: turned(w.qkv), out: turned(w.out.weight), up: turned(w.up), down: turned(w.down.weight) };
}
