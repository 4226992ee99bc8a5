/**
 * One residual block of CLIP's towers (openai/CLIP model.py, ResidualAttentionBlock), with its gradient written by hand:
 *
 *   x <- x + Attention(LayerNorm(x));   x <- x + MLP(LayerNorm(x))
 *
 * Weights are frozen: gradients flow to tokens only. Scales and shifts are inside the maps (fold.ts).
 *
 * Shapes: G sequences (images or classes), S tokens each, Q of them ask (all, or one), P prompt tokens, K keys, D width, H heads.
 * The stream is [R,D], the sequences one behind the other: R = G*S where all have the same length, else fewer (attention.ts).
 */
import type { Raw } from "../kernels";
import * as k from "../kernels";
import { recording } from "../ops";
import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from "../tf";
import { tf } from "../tf";
import { attend, attendGradient, type Padding, type Seen, type Sequences, weights } from "./attention";
import type { Activation, Block, Linear } from "./fold";

export type Surroundings = {
  /** Without it all sequences have the same length. What stands at the places that it leaves empty `mask` has to hide. */
  padding?: Padding;
  /**
   * Tokens that only give keys and values, [sets*P,D]; differentiable. One set (the default) is seen by all sequences, several by as many
   * runs of consecutive sequences: with as many sets as sequences each has its own.
   */
  prompts?: Tensor2D;
  sets?: number;
  /** Keys and values of frozen tokens, the same for all sequences: [k,2D]. */
  constant?: Tensor2D;
  /** Added to the scores: [S,K], or [G,1,K] with `pick`; keys in the order constant, prompts, own. */
  mask?: Tensor;
  /** The one token of each sequence that asks, as rows of the stream, int32 [G]; without it all ask. */
  pick?: Tensor1D;
  /** The block's tokens do not depend on anything learnt: no gradient is made for them. */
  fixed?: boolean;
  /** What `project` gave for these tokens, if it is known already; only with `fixed`. */
  projected?: Tensor2D;
  /** Keeps nothing for the gradient but the inputs, and computes the rest again when it is asked for. */
  frugal?: boolean;
};

/** Sees what goes into each block of a tower, for looking inside (src/inside/attention.ts). */
export type Watch = (w: Block, x: Tensor2D, groups: number, around: Surroundings) => void;

/**
 * How many blocks of a tower may keep what their gradient needs, about nine arrays of the size of the stream; the others are `frugal`.
 * @param megabytes that all of them may take.
 */
export const blocksThatKeep = (rows: number, width: number, megabytes: number): number =>
  Math.floor((megabytes * 2 ** 20) / (9 * 4 * rows * width));

/**
 * [R,D] -> [R,D], or [G,D] with `pick`. Differentiable in x and in `around.prompts`.
 * @param groups number G of sequences.
 */
export function block(w: Block, x: Tensor2D, groups: number, around: Surroundings = {}): Tensor2D {
  const inputs: Tensor[] = [...(around.fixed ? [] : [x]), ...(around.prompts ? [around.prompts] : [])];
  if (inputs.length === 0 || !recording()) return k.scope(() => ({ value: forward(w, x, groups, around).value })).value as Tensor2D;
  return tf.customGrad((...args: any[]) => {
    const save = args[args.length - 1];
    const { padding, prompts, constant, mask, pick, projected, fixed, frugal } = around;
    // What a gradient needs whichever way: arrays that the caller may free meanwhile.
    const given = { x: fixed && !frugal ? undefined : x, prompts, constant, mask, pick, places: padding?.places, starts: padding?.starts };
    const { value, ...kept } = k.scope(() => {
      const { value, saved } = forward(w, x, groups, around);
      return frugal ? { value, ...given, projected } : { value, ...given, ...saved };
    });
    const names = Object.keys(kept).filter((name) => kept[name as keyof typeof kept]);
    save(names.map((name) => kept[name as keyof typeof kept]));
    const gradFunc = (dvalue: any, tensors: any) => {
      const there = Object.fromEntries(names.map((name, i) => [name, tensors[i]])) as any;
      const again = { ...around, ...there, padding: padding && { ...padding, places: there.places, starts: there.starts } };
      const gradients = k.scope(() => {
        const saved = frugal ? k.within(() => upToMlp(w, there.x, groups, again)) : (there as Saved);
        return backward(w, x.shape[0], groups, again, there.x, dvalue, saved);
      });
      return [...(fixed ? [] : [gradients.x]), ...(prompts ? [gradients.prompts] : [])];
    };
    return { value, gradFunc } as any;
  })(...(inputs as any)) as Tensor2D;
}

/** Queries, keys and values [R,3D] of tokens [R,D]. */
export const project = (w: Block, x: Tensor2D): Tensor2D =>
  k.scope(() => ({ all: product(k.layerNorm(x, w.epsilon1, 1), w.qkv, w.turned?.qkv) })).all as Tensor2D;

/** Attention weights [H,G,Q,K] of a block; for looking at, not differentiable. */
export const attention = (w: Block, x: Tensor2D, groups: number, around: Surroundings = {}): Tensor4D =>
  k.scope(() => ({ p: weights(seen(w, x, around), sequences(w, groups, around)) })).p as Tensor4D;

/** What a gradient needs besides the inputs: what attention saw, the stream after it, and the MLP's hidden layer before its non-linearity. */
type Saved = { own: Raw; queries?: Raw; theirs?: Raw; x1: Raw; a: Raw };

function forward(w: Block, x: Raw, G: number, around: Surroundings): { value: Raw; saved: Saved } {
  const { value, ...saved } = k.within(() => {
    const saved = upToMlp(w, x, G, around);
    const { hidden } = k.within(() => ({ hidden: activations[w.activation].value(saved.a) }));
    return { value: addLinear(saved.x1, hidden, w.down, w.turned?.down), ...saved };
  });
  return { value, saved };
}

/** All but the MLP's second half. */
function upToMlp(w: Block, x: Raw, G: number, around: Surroundings): Saved {
  return k.within(() => {
    const { own, queries, theirs, ...rest } = seen(w, x, around);
    const { mixed } = k.within(() => ({ mixed: attend({ own, queries, theirs, ...rest }, sequences(w, G, around)) }));
    const x1 = addLinear(around.pick ? k.rows(x, around.pick) : x, mixed, w.out, w.turned?.out);
    return { own, queries, theirs, x1, a: product(k.layerNorm(x1, w.epsilon2, 1), w.up, w.turned?.up) };
  });
}

/** The maps of x and of the prompts read LayerNorm + 1: their biases are within the weights (fold.ts). */
function seen(w: Block, x: Raw, { prompts, constant, mask, pick, projected }: Surroundings): Seen {
  const theirs = prompts && k.matMul(k.layerNorm(prompts, w.epsilon1, 1), keysAndValues(w));
  if (!pick) return { own: projected ?? product(k.layerNorm(x, w.epsilon1, 1), w.qkv, w.turned?.qkv), theirs, constant, mask };
  const y = k.layerNorm(x, w.epsilon1, 1);
  return { own: k.matMul(y, keysAndValues(w)), queries: k.matMul(k.rows(y, pick), queries(w)), theirs, constant, mask };
}

const sequences = (w: Block, groups: number, { sets = 1, padding }: Surroundings): Sequences => ({ heads: w.heads, groups, sets, padding });

/** Gradients of x (unless fixed) and of the prompts (if there are any). `rows` is R. */
function backward(w: Block, rows: number, G: number, around: Surroundings, x: Raw | undefined, dvalue: Raw, saved: Saved) {
  const { prompts, constant, mask, pick, fixed = false } = around;
  const { dx1 } = k.within(() => {
    const da = activations[w.activation].gradient(saved.a, k.matMul(dvalue, w.down.weight, false, true));
    return { dx1: k.layerNormGradient(k.matMul(da, w.up, false, true), saved.x1, w.epsilon2, dvalue) };
  });
  const d = k.within(() => {
    const { own, queries, theirs } = saved;
    const dmixed = k.matMul(dx1, w.out.weight, false, true);
    return attendGradient({ own, queries, theirs, constant, mask }, sequences(w, G, around), fixed, dmixed);
  });
  let dx: Raw | undefined;
  if (!fixed) {
    const place = (t: Raw) => (pick ? k.placeRows(t, pick, rows) : t);
    const byOwn = k.matMul(d.own as Raw, pick ? keysAndValues(w) : w.qkv, false, true);
    const dy = pick ? k.add(byOwn, place(k.matMul(d.queries as Raw, queries(w), false, true))) : byOwn;
    dx = k.layerNormGradient(dy, x as Raw, w.epsilon1, place(dx1));
  }
  const dprompts = prompts && k.layerNormGradient(k.matMul(d.theirs as Raw, keysAndValues(w), false, true), prompts, w.epsilon1);
  return { x: dx, prompts: dprompts };
}

/** x + y weight + bias */
const addLinear = (x: Raw, y: Raw, { weight, bias }: Linear, turned?: Raw): Raw => k.addBiased(x, product(y, weight, turned), bias);

/** Of two small sides oneDNN reads the weights as they lie; then it is up to twice as fast if they lie turned (fold.ts, `turn`). */
const product = (x: Raw, weight: Raw, turned?: Raw): Raw =>
  turned && 1 / x.shape[0] + 1 / weight.shape[1] > 0.0038 ? k.matMul(x, turned, false, true) : k.matMul(x, weight);

const queries = ({ qkv }: Block): Raw => k.slice(qkv, [0, 0], [-1, qkv.shape[0]]);
const keysAndValues = ({ qkv }: Block): Raw => k.slice(qkv, [0, qkv.shape[0]], [-1, 2 * qkv.shape[0]]);

/** The MLP's non-linearity and the gradient of its argument. QuickGELU's scale is in the weights. */
const activations: Record<Activation, { value(a: Raw): Raw; gradient(a: Raw, dy: Raw): Raw }> = {
  quick_gelu: { value: k.silu, gradient: k.siluGradient },
  gelu: {
    value: (a) => k.mul(a, normal(a)),
    gradient: (a, dy) => {
      const density = k.mul(k.exp(k.mul(k.square(a), -0.5)), 1 / Math.sqrt(2 * Math.PI));
      return k.mul(dy, k.add(normal(a), k.mul(a, density)));
    },
  },
};

/** The normal distribution function. */
const normal = (a: Raw): Raw => k.mul(k.add(k.erf(k.mul(a, Math.SQRT1_2)), 1), 0.5);
