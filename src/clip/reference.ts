/**
 * CLIP's two encoders as the papers write them: every token in every block, one operation a line, gradients by
 * TensorFlow.js's tape. This is the file to read beside section 3.1 of PromptSRC (Khattak et al. 2023, arXiv
 * 2307.06948) and CLIP (Radford et al. 2021, arXiv 2103.00020; openai/CLIP clip/model.py; transformers
 * models/clip/modeling_clip.py, whose names the weights have). The encoders of fast/ give the same numbers with less
 * work, for prompts alone. A method that does anything else to the tokens uses this file.
 * Shapes: B images (in a block: sequences), C classes, T tokens, N image tokens (CLS + patches), P prompt tokens, D
 * width, H heads, E joint embedding, R pixels a side.
 */
import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tf } from "../engine/tf";
import type { Additions } from "./additions";
import type { Clip } from "./model";
import {
  type Attention,
  type Block,
  type LayerNorm,
  type Linear,
  type Mlp,
  referenceWeights,
} from "./referenceWeights";

/** What a method changes inside an encoder; without hooks it is plain CLIP. */
export type Hooks = {
  /**
   * Changes the input tokens: of texts [C,T,D] before the positional embeddings are added, of images [B,N,D] after they
   * are added and before the first layer norm. Token 0 is the start token, or CLS.
   */
  input?(x: Tensor3D): Tensor3D;
  /**
   * Changes the tokens [B,T,D] before block i (from 0): tokens may enter, be replaced, or leave. In a text the end
   * token must keep its distance from the last position, so tokens enter or leave before it.
   */
  before?(i: number, x: Tensor3D): Tensor3D;
  /** The adapter of block i, if it has one. */
  adapter?(i: number): Adapter | undefined;
  /** What is added inside the blocks, as the fast encoders take it. */
  additions?: Additions;
};

/**
 * Changes what a block adds to its residual stream: each function takes the output y [B,T,D] of attention or MLP, and
 * the stream x [B,T,D] that it is about to be added to, and returns what is added instead.
 */
export type Adapter = { attention?(y: Tensor3D, x: Tensor3D): Tensor3D; mlp?(y: Tensor3D, x: Tensor3D): Tensor3D };

/**
 * features [C,E] or [B,E], not normalised; tokens [C,T,D] or [B,T,D] are all tokens after the last block, before the
 * last layer norm.
 */
type Encoded = { features: Tensor2D; tokens: Tensor3D };

/**
 * Encodes texts. @param ids of C texts, each from its start token to its end token (`tokenise` of fast/text.ts).
 * The feature is read at the end token.
 */
export function referenceText(clip: Clip, ids: number[][], hooks: Hooks = {}): Encoded {
  const { text_model: p, text_projection: projection } = referenceWeights(clip);
  const { token_embedding: tokens, position_embedding: positions } = p.embeddings;
  const [C, T] = [ids.length, positions.weight.shape[0]];
  const padded = ids.flatMap((row) => [...row, ...new Array(T - row.length).fill(0)]);
  const gathered = tf.gather(tokens.weight, tf.tensor1d(padded, "int32")); // (C * T, D)
  const embedded = tf.reshape(gathered, [C, T, -1]) as Tensor3D; // (C, T, D)
  let x: Tensor3D = tf.add(hooks.input?.(embedded) ?? embedded, positions.weight);
  x = transformer(p.encoder.layers, x, hooks, true); // (C, T, D), T with the tokens that entered
  const y = layerNorm(p.final_layer_norm, x);
  const entered = y.shape[1] - T;
  const ends = ids.map((row, c) => tf.slice(y, [c, entered + row.length - 1, 0], [1, 1, -1])); // C times (1, 1, D)
  return { features: linear(projection, tf.reshape(tf.concat(ends, 0), [C, -1]) as Tensor2D), tokens: x };
}

/** Encodes normalised pixels [B,3,R,R]. The feature is read at CLS, token 0. */
export function referenceImage(clip: Clip, pixels: Tensor4D, hooks: Hooks = {}): Encoded {
  const { vision_model: p, visual_projection: projection } = referenceWeights(clip);
  const { patch_embedding: patches, position_embedding: positions, class_embedding: cls } = p.embeddings;
  const [B, D] = [pixels.shape[0], cls.shape[0]];
  const kernel = tf.transpose(patches.weight, [2, 3, 1, 0]); // (D, 3, size, size) -> (size, size, 3, D)
  const channelsLast = tf.transpose(pixels, [0, 2, 3, 1]); // (B, R, R, 3)
  const embedded = tf.reshape(tf.conv2d(channelsLast, kernel, kernel.shape[0], "valid"), [B, -1, D]); // (B, N - 1, D)
  const first = broadcast(tf.reshape(cls, [1, D]) as Tensor2D, B);
  let x: Tensor3D = tf.concat([first, embedded as Tensor3D], 1); // (B, N, D)
  x = tf.add(x, positions.weight);
  x = layerNorm(p.pre_layrnorm, hooks.input?.(x) ?? x);
  x = transformer(p.encoder.layers, x, hooks, false); // (B, N, D), N with the tokens that entered
  const y = layerNorm(p.post_layernorm, tf.slice(x, [0, 0, 0], [-1, 1, -1])); // (B, 1, D)
  return { features: linear(projection, tf.reshape(y, [B, D]) as Tensor2D), tokens: x };
}

/** All blocks, one after another. Causal: a token attends to itself and those before it. [B,T,D] -> [B,T,D] */
function transformer(layers: Block[], x: Tensor3D, hooks: Hooks, causal: boolean): Tensor3D {
  layers.forEach((p, i) => {
    x = hooks.before?.(i, x) ?? x;
    x = block(
      p,
      x,
      causal ? causalAttentionMask(x.shape[1]) : undefined,
      hooks.adapter?.(i),
      addedIn(i, hooks.additions),
    );
  });
  return x;
}

/** What is added in one block, from the output y [B,T,D] of its first layer norm. */
type Added = (y: Tensor3D) => { attention?: Record<"query" | "key" | "value", Tensor3D>; output?: Tensor3D };

/** The additions of block i, for tokens [B,T,D] instead of rows. */
const addedIn =
  (i: number, additions: Additions = {}): Added =>
  (y) => {
    const rows = tf.reshape(y, [-1, y.shape[2]]) as Tensor2D;
    const tokens = (added: Tensor2D) => tf.reshape(added, y.shape) as Tensor3D;
    const qkv = additions.attention?.(i, rows);
    const output = additions.output?.(i, rows);
    return {
      attention: qkv && { query: tokens(qkv.query), key: tokens(qkv.key), value: tokens(qkv.value) },
      output: output && tokens(output),
    };
  };

/** One residual block. [B,T,D] -> [B,T,D] @param mask [T,T] is added to the attention scores. */
export function block(
  p: Block,
  x: Tensor3D,
  mask?: Tensor2D,
  adapter: Adapter = {},
  additions: Added = () => ({}),
): Tensor3D {
  const { attention: adaptAttention = (y) => y, mlp: adaptMlp = (y) => y } = adapter;
  const y = layerNorm(p.layer_norm1, x);
  const added = additions(y);
  x = tf.add(x, adaptAttention(attention(p.self_attn, y, mask, added.attention), x));
  x = tf.add(x, adaptMlp(mlp(p.mlp, layerNorm(p.layer_norm2, x)), x));
  return added.output ? tf.add(x, added.output) : x;
}

/**
 * Multi-head self-attention: softmax(q k^T / sqrt(D/H) + mask) v. [B,T,D] -> [B,T,D]
 * @param added is added to queries, keys and values, each [B,T,D]
 */
export function attention(
  p: Attention,
  x: Tensor3D,
  mask?: Tensor2D,
  added?: Record<"query" | "key" | "value", Tensor3D>,
): Tensor3D {
  const [B, T, D] = x.shape;
  const H = p.heads;
  // (B, T, D) -> (B, H, T, D/H)
  const split = (y: Tensor3D): Tensor4D => tf.transpose(tf.reshape(y, [B, T, H, D / H]), [0, 2, 1, 3]);
  const projected = (map: Linear, more?: Tensor3D) => split(more ? tf.add(linear(map, x), more) : linear(map, x));
  const q = projected(p.q_proj, added?.query);
  const k = projected(p.k_proj, added?.key);
  const v = projected(p.v_proj, added?.value);
  const scores = tf.div(tf.matMul(q, k, false, true), Math.sqrt(D / H)); // (B, H, T, T): query by key
  const weights = tf.softmax(mask ? tf.add(scores, mask) : scores);
  const mixed = tf.transpose(tf.matMul(weights, v), [0, 2, 1, 3]); // (B, H, T, D/H) -> (B, T, H, D/H)
  return linear(p.out_proj, tf.reshape(mixed, [B, T, D]) as Tensor3D);
}

/**
 * fc2(activation(fc1(x))), with quick_gelu(a) = a sigmoid(1.702 a) or gelu(a) = a (1 + erf(a / sqrt 2)) / 2.
 * [B,T,D] -> [B,T,D]
 */
export function mlp(p: Mlp, x: Tensor3D): Tensor3D {
  const a = linear(p.fc1, x); // (B, T, 4D)
  return linear(p.fc2, tf.mul(a, p.activation === "gelu" ? standardNormalCdf(a) : tf.sigmoid(tf.mul(1.702, a))));
}

/** The share of a standard normal distribution below a: (1 + erf(a / sqrt 2)) / 2. */
const standardNormalCdf = (a: Tensor3D): Tensor3D => tf.mul(0.5, tf.add(1, tf.erf(tf.div(a, Math.SQRT2))));

/** Layer norm over the last axis: (x - mean) / sqrt(variance + epsilon) * weight + bias. [B,T,D] -> [B,T,D] */
export function layerNorm(p: LayerNorm, x: Tensor3D): Tensor3D {
  const centred = tf.sub(x, tf.mean(x, -1, true));
  const variance = tf.mean(tf.square(centred), -1, true);
  return tf.add(tf.mul(tf.div(centred, tf.sqrt(tf.add(variance, p.epsilon))), p.weight), p.bias);
}

/** x weight^T + bias over the last axis, weight [out,in] as torch stores it. [...,in] -> [...,out] */
export function linear<T extends Tensor>(p: Linear, x: T): T {
  const [out, into] = p.weight.shape;
  const y = tf.matMul(tf.reshape(x, [-1, into]) as Tensor2D, p.weight, false, true);
  return tf.reshape(p.bias ? tf.add(y, p.bias) : y, [...x.shape.slice(0, -1), out]) as T;
}

/** Adds -1e9 to the scores of all keys behind the query. [T,T] */
const causalAttentionMask = (T: number): Tensor2D =>
  tf.tensor2d(
    Array.from({ length: T }, (_, query) => Array.from({ length: T }, (_, key) => (key > query ? -1e9 : 0))),
    [T, T],
  );

/** The same tokens for each of B sequences. [P,D] -> [B,P,D] */
const broadcast = (tokens: Tensor2D | Tensor3D, B: number): Tensor3D => tf.add(tf.zeros([B, 1, 1]), tokens as Tensor3D);

/**
 * Puts the same tokens [P,D] into every sequence of x [B,T,D], or to each its own [B,P,D], in place of the `count`
 * tokens from position `start` on; a count of 0 inserts them there. @returns [B,T-count+P,D]
 */
export function replaceTokens(x: Tensor3D, start: number, count: number, tokens: Tensor2D | Tensor3D): Tensor3D {
  const [B, T] = x.shape;
  const parts = [tf.slice(x, [0, 0, 0], [-1, start, -1]), broadcast(tokens, B)];
  if (start + count < T) parts.push(tf.slice(x, [0, start + count, 0], [-1, -1, -1]));
  return tf.concat(parts, 1);
}

/**
 * Deep prompts of the text encoder (section 3.1): P prompt tokens stand at positions 1..P, behind the start token. Set
 * 0 takes these places at the input, set i before block i, and after the last set the prompts run on as tokens.
 * @param sets each [P,D]; the texts hold P tokens at these places, which the prompts replace.
 */
export const textPrompts = (sets: Tensor2D[]): Hooks =>
  deepPrompts(sets, (x, set) => replaceTokens(x, 1, set.shape[0], set));

/** Deep prompts of the image encoder: as `textPrompts`, but the P prompt tokens follow the N image tokens. */
export const imagePrompts = (sets: Tensor2D[]): Hooks =>
  deepPrompts(sets, (x, set, i) => {
    const count = i === 0 ? 0 : set.shape[0];
    return replaceTokens(x, x.shape[1] - count, count, set);
  });

const deepPrompts = (sets: Tensor2D[], put: (x: Tensor3D, set: Tensor2D, i: number) => Tensor3D): Hooks => ({
  input: (x) => (sets.length > 0 ? put(x, sets[0], 0) : x),
  before: (i, x) => (i > 0 && i < sets.length ? put(x, sets[i], i) : x),
});
