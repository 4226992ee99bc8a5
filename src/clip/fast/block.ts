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

import { recording } from "../../engine/autograd";
import type { Raw } from "../../engine/backend";
import * as k from "../../engine/backend";
import {
  addLinear,
  type LinearMap,
  linearGradient,
  type Mlp,
  mlp,
  mlpGradient,
  mlpHidden,
  readLinear,
  readLinearGradient,
} from "../../engine/fusedOps";
import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from "../../engine/tf";
import { tf } from "../../engine/tf";
import { attend, attendGradient, type Padding, type Seen, type Sequences, weights } from "./attention";
import type { Block } from "./foldConstants";

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

/** Sees what goes into each block of a tower, for looking inside (src/analysis/attention.ts). */
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
  if (inputs.length === 0 || !recording()) return k.scope(() => ({ value: forward(w, x, groups, around, false).value })).value as Tensor2D;
  return tf.customGrad((...args: any[]) => {
    const save = args[args.length - 1];
    const { padding, prompts, constant, mask, pick, projected, fixed, frugal } = around;
    // What a gradient needs whichever way: arrays that the caller may free meanwhile.
    const given = { x: fixed && !frugal ? undefined : x, prompts, constant, mask, pick, places: padding?.places, starts: padding?.starts };
    const { value, ...kept } = k.scope(() => {
      const { value, saved } = forward(w, x, groups, around, !frugal);
      return frugal ? { value, ...given, projected } : { value, ...given, ...saved };
    });
    const names = Object.keys(kept).filter((name) => kept[name as keyof typeof kept]);
    save(names.map((name) => kept[name as keyof typeof kept]));
    const gradFunc = (dvalue: any, tensors: any) => {
      const there = Object.fromEntries(names.map((name, i) => [name, tensors[i]])) as any;
      const then = { ...around, ...there, padding: padding && { ...padding, places: there.places, starts: there.starts } };
      const gradients = k.scope(() => {
        const saved = frugal ? again(w, there.x, groups, then) : (there as Saved);
        return backward(w, x.shape[0], groups, then, there.x, dvalue, saved);
      });
      return [...(fixed ? [] : [gradients.x]), ...(prompts ? [gradients.prompts] : [])];
    };
    return { value, gradFunc } as any;
  })(...(inputs as any)) as Tensor2D;
}

/** Queries, keys and values [R,3D] of tokens [R,D]. */
export const project = (w: Block, x: Tensor2D): Tensor2D => k.scope(() => ({ all: readLinear(x, qkvOf(w), w.epsilon1) })).all as Tensor2D;

/** Attention weights [H,G,Q,K] of a block; for looking at, not differentiable. */
export const attention = (w: Block, x: Tensor2D, groups: number, around: Surroundings = {}): Tensor4D =>
  k.scope(() => ({ p: weights(seen(w, x, around), sequences(w, groups, around)) })).p as Tensor4D;

/** What a gradient needs besides the inputs: what attention saw, the stream after it, and the MLP's hidden layer before its non-linearity. */
type Saved = { own: Raw; queries?: Raw; theirs?: Raw; x1: Raw; a: Raw };

/** What is saved is empty unless it is kept. */
function forward(w: Block, x: Raw, G: number, around: Surroundings, keep: boolean): { value: Raw; saved: Partial<Saved> } {
  const { x1, ...seen } = k.within((): Partial<Saved> => {
    const attended = throughAttention(w, x, G, around);
    return keep ? attended : { x1: attended.x1 };
  });
  const { y, a } = mlp(x1 as Raw, mlpOf(w), keep);
  return { value: y, saved: keep ? { ...seen, x1, a } : {} };
}

/** What `forward` saves, computed again. */
const again = (w: Block, x: Raw, G: number, around: Surroundings): Saved =>
  k.within(() => {
    const attended = throughAttention(w, x, G, around);
    return { ...attended, a: mlpHidden(attended.x1, mlpOf(w)) };
  });

/** x + Attention(LayerNorm(x)), and what attention saw. */
function throughAttention(w: Block, x: Raw, G: number, around: Surroundings): Omit<Saved, "a"> {
  return k.within(() => {
    const { own, queries, theirs, ...rest } = seen(w, x, around);
    const mixed = attend({ own, queries, theirs, ...rest }, sequences(w, G, around));
    return { own, queries, theirs, x1: addLinear(around.pick ? k.rows(x, around.pick) : x, mixed, { ...w.out, turned: w.turned?.out }) };
  });
}

/** The maps of x and of the prompts read LayerNorm + 1: their biases are within the weights (fold.ts). */
function seen(w: Block, x: Raw, { prompts, constant, mask, pick, projected }: Surroundings): Seen {
  const theirs = prompts && readLinear(prompts, keysAndValues(w), w.epsilon1);
  if (!pick) return { own: projected ?? readLinear(x, qkvOf(w), w.epsilon1), theirs, constant, mask };
  const asking = k.rows(x, pick);
  return { own: readLinear(x, keysAndValues(w), w.epsilon1), queries: readLinear(asking, queries(w), w.epsilon1), theirs, constant, mask };
}

const sequences = (w: Block, groups: number, { sets = 1, padding }: Surroundings): Sequences => ({ heads: w.heads, groups, sets, padding });

/** Gradients of x (unless fixed) and of the prompts (if there are any). `rows` is R. */
function backward(w: Block, rows: number, G: number, around: Surroundings, x: Raw | undefined, dvalue: Raw, saved: Saved) {
  const { prompts, constant, mask, pick, fixed = false } = around;
  const dx1 = mlpGradient(dvalue, saved.x1, saved.a, mlpOf(w));
  const d = k.within(() => {
    const { own, queries, theirs } = saved;
    const dmixed = linearGradient(dx1, w.out);
    return attendGradient({ own, queries, theirs, constant, mask }, sequences(w, G, around), fixed, dmixed);
  });
  const back = (dy: Raw | undefined, x: Raw | undefined, map: LinearMap, residual?: Raw): Raw =>
    readLinearGradient(dy as Raw, x as Raw, map, w.epsilon1, residual);
  let dx: Raw | undefined;
  if (pick && x && !fixed) {
    const byQueries = back(d.queries, k.rows(x, pick), queries(w), dx1);
    dx = back(d.own, x, keysAndValues(w), k.placeRows(byQueries, pick, rows));
  } else if (!fixed) dx = back(d.own, x, qkvOf(w), dx1);
  return { x: dx, prompts: prompts && back(d.theirs, prompts, keysAndValues(w)) };
}

const qkvOf = (w: Block): LinearMap => ({ weight: w.qkv, turned: w.turned?.qkv });
const queries = ({ qkv }: Block): LinearMap => ({ weight: qkv, columns: { begin: 0, count: qkv.shape[0] } });
const keysAndValues = ({ qkv }: Block): LinearMap => ({ weight: qkv, columns: { begin: qkv.shape[0], count: 2 * qkv.shape[0] } });

const mlpOf = ({ up, down, turned, activation, epsilon2 }: Block): Mlp => ({
  up: { weight: up, turned: turned?.up },
  down: { ...down, turned: turned?.down },
  activation,
  epsilon: epsilon2,
});
