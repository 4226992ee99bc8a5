/**
 * One residual block of CLIP's towers (openai/CLIP model.py, ResidualAttentionBlock), with its gradient written by hand:
 *
 *   x <- x + Attention(LayerNorm(x));   x <- x + MLP(LayerNorm(x))
 *
 * Weights are frozen: gradients flow to tokens only. Rows of the stream have mean 0, and scales and shifts are inside the maps (fold.ts).
 *
 * Shapes: G sequences (images or classes), S tokens each, Q of them ask (all, or one), P prompt tokens, K keys, D width, H heads, d = D/H.
 * The stream is [R,D], the sequences one behind the other: R = G*S where all have the same length, else fewer, and only attention pads them.
 * Queries, keys and values lie together as [3H,G,S,d], queries first.
 */
import type { Raw } from "../kernels";
import * as k from "../kernels";
import { recording } from "../ops";
import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from "../tf";
import { tf } from "../tf";
import type { Activation, Block, Linear } from "./fold";

/** Sequences of unequal length: row r of the stream is row `places[r]` of the [G*tokens] rows that attention sees; int32 [R]. */
export type Padding = { tokens: number; places: Tensor1D };

export type Surroundings = {
  /** Without it all sequences have the same length. What is seen at the places that it leaves empty is 0: `mask` has to hide them. */
  padding?: Padding;
  /**
   * Tokens that only give keys and values, [sets*P,D]; differentiable. One set (the default) is seen by all sequences, several by as many
   * runs of consecutive sequences: with as many sets as sequences each has its own.
   */
  prompts?: Tensor2D;
  sets?: number;
  /** Keys and values of frozen tokens, the same for all sequences: [2H,1,k,d]. */
  constant?: Tensor4D;
  /** Added to the scores, broadcast to [H,G,Q,K]; keys in the order constant, prompts, own. */
  mask?: Tensor;
  /** The one token of each sequence that asks, as rows of the stream, int32 [G]; without it all ask. */
  pick?: Tensor1D;
  /** The block's tokens do not depend on anything learnt: no gradient is made for them. */
  fixed?: boolean;
  /** What `project` gave for these tokens, if it is known already; only with `fixed` and without `pick`. */
  projected?: Tensor4D;
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
 * [R,D] -> [R,D], or [G,D] with `pick`; rows of mean 0. Differentiable in x and in `around.prompts`.
 * @param groups number G of sequences.
 */
export function block(w: Block, x: Tensor2D, groups: number, around: Surroundings = {}): Tensor2D {
  const inputs: Tensor[] = [...(around.fixed ? [] : [x]), ...(around.prompts ? [around.prompts] : [])];
  if (inputs.length === 0 || !recording()) return k.scope(() => ({ value: forward(w, x, groups, around, false).value })).value as Tensor2D;
  return tf.customGrad((...args: any[]) => {
    const save = args[args.length - 1];
    const { padding, prompts, mask, pick, projected, frugal } = around;
    const places = padding?.places;
    const { value, ...kept } = k.scope(() => {
      if (frugal) return { value: forward(w, x, groups, around, false).value, x, places, prompts, mask, pick, projected };
      const { value, saved } = forward(w, x, groups, around, true);
      return { value, ...saved };
    });
    const names = Object.keys(kept).filter((name) => kept[name as keyof typeof kept]);
    save(names.map((name) => kept[name as keyof typeof kept]));
    const gradFunc = (dvalue: any, tensors: any) => {
      const given = Object.fromEntries(names.map((name, i) => [name, tensors[i]])) as any;
      const there = { ...around, padding: padding && { ...padding, places: given.places } };
      const gradients = k.scope(() => {
        const saved = frugal ? k.within(() => upToMlp(w, given.x, groups, { ...there, ...given }, true).saved) : (given as Saved);
        return backward(w, x.shape[0], groups, there, dvalue, saved);
      });
      return [...(around.fixed ? [] : [gradients.x]), ...(prompts ? [gradients.prompts] : [])];
    };
    return { value, gradFunc } as any;
  })(...(inputs as any)) as Tensor2D;
}

/** Queries, keys and values [3H,G,S,d] of tokens [R,D] with rows of mean 0. */
export const project = (w: Block, x: Tensor2D, groups: number, padding?: Padding): Tensor4D =>
  k.scope(() => ({ all: toHeads(read(scaleRows(x, w.epsilon1, w.average).y, w.qkv), 3 * w.heads, groups, padding) })).all as Tensor4D;

/** Attention weights [H,G,Q,K] of a block; for looking at, not differentiable. */
export const attention = (w: Block, x: Tensor2D, groups: number, around: Surroundings = {}): Tensor4D =>
  k.scope(() => ({ p: attend(w, x, groups, around).p })).p as Tensor4D;

/** What a gradient needs: y and factor of each `scaleRows`, keys and values [2H,..] before they stand together, attention weights p. */
type Saved = {
  y1?: Raw;
  factor1?: Raw;
  yPrompts?: Raw;
  factorPrompts?: Raw;
  q: Raw;
  own: Raw;
  theirs?: Raw;
  p: Raw;
  pick?: Raw;
  places?: Raw;
  y2: Raw;
  factor2: Raw;
  slope?: Raw;
};

/** @param keep whether the gradient will need what is saved. */
function forward(w: Block, x: Raw, G: number, around: Surroundings, keep: boolean): { value: Raw; saved: Saved } {
  const { value, ...saved } = k.within(() => {
    const { x1, hidden, saved } = upToMlp(w, x, G, around, keep);
    return { value: k.add(x1, linear(hidden, w.down, w.turned?.down)), ...saved };
  });
  return { value, saved };
}

/** All but the last map: the stream after attention, and the MLP's hidden layer. */
function upToMlp(w: Block, x: Raw, G: number, around: Surroundings, keep: boolean): { x1: Raw; hidden: Raw; saved: Saved } {
  const { x1, ...attended } = k.within(() => attend(w, x, G, around));
  const { hidden, ...mlp } = k.within(() => {
    const { y: y2, factor: factor2 } = scaleRows(x1, w.epsilon2, w.average);
    const { value, slope } = activations[w.activation](read(y2, w.up, w.turned?.up), keep);
    return { hidden: value, y2, factor2, slope };
  });
  return { x1, hidden, saved: { ...attended, ...mlp } };
}

function attend(w: Block, x: Raw, G: number, around: Surroundings) {
  const { padding, prompts, mask, pick, projected, sets = 1 } = around;
  const H = w.heads;
  let all = projected as Raw | undefined; // [3H,G,S,d]; where few ask, keys and values only
  let q: Raw; // [H,G,Q,d]
  const { y: y1, factor: factor1 } = all && !pick ? { y: undefined, factor: undefined } : scaleRows(x, w.epsilon1, w.average);
  if (y1 && pick) {
    q = toHeads(read(k.rows(y1, pick), queries(w)), H, G);
    all = toHeads(read(y1, keysAndValues(w)), 2 * H, G, padding);
  } else {
    all ??= toHeads(read(y1 as Raw, w.qkv, w.turned?.qkv), 3 * H, G, padding);
    q = heads(all, 0, H);
  }
  const own = heads(all, all.shape[0] - 2 * H, 2 * H); // [2H,G,S,d]
  const set = prompts && scaleRows(centreRows(prompts, w.average), w.epsilon1, w.average);
  const theirs = set && toHeads(read(set.y, keysAndValues(w)), 2 * H, sets); // [2H,sets,P,d]

  const { keys, values } = together(H, G, around, { own, theirs });
  const scores = k.matMul(q, keys, false, true); // [H,G,Q,K]
  const p = k.softmax(mask ? k.add(scores, mask) : scores);
  const mixed = fromHeads(k.matMul(p, values), pick ? undefined : padding); // [R,D], or [G,D]
  const x1 = k.add(pick ? k.rows(x, pick) : x, linear(mixed, w.out, w.turned?.out));
  return { x1, y1, factor1, yPrompts: set?.y, factorPrompts: set?.factor, q, own, theirs, p, pick, places: padding?.places };
}

/** Keys and values of all that a sequence sees, [H,G,K,d] each. */
function together(H: number, G: number, { constant }: Surroundings, { own, theirs }: Pick<Saved, "own" | "theirs">) {
  const before = [constant, theirs].flatMap((t) => (t ? [spread(t, G)] : []));
  const both = before.length > 0 ? k.concat([...before, own], 2) : own;
  return { keys: heads(both, 0, H), values: heads(both, H, H) };
}

/** Gradients of x (unless fixed) and of the prompts (if there are any). `rows` is R. */
function backward(w: Block, rows: number, G: number, around: Surroundings, dvalue: Raw, saved: Saved): { x?: Raw; prompts?: Raw } {
  const { padding, prompts, constant, fixed, sets = 1 } = around;
  const { p, q, y1, factor1, yPrompts, factorPrompts, pick } = saved;
  const [H, , , K] = p.shape;

  const { dx1 } = k.within(() => {
    const dhidden = k.mul(k.matMul(dvalue, w.down.weight, false, true), saved.slope as Raw);
    return { dx1: k.add(dvalue, unscaleRows(k.matMul(dhidden, w.up, false, true), saved.y2, saved.factor2, w.average)) };
  });
  const dmixed = toHeads(k.matMul(dx1, w.out.weight, false, true), H, G, pick ? undefined : padding); // [H,G,Q,d]
  const { dscores, dq } = k.within(() => {
    const { keys, values } = together(H, G, around, saved);
    const dp = k.matMul(dmixed, values, false, true); // [H,G,Q,K]
    const dscores = k.mul(p, k.sub(dp, k.sumLast(k.mul(dp, p))));
    return { dscores, dq: fixed ? undefined : k.matMul(dscores, keys) };
  });

  const dkv = k.concat([k.matMul(dscores, q, true, false), k.matMul(p, dmixed, true, false)], 0); // [2H,G,K,d]

  let dx: Raw | undefined;
  if (dq) {
    const S = saved.own.shape[2];
    const own = S === K ? dkv : k.slice(dkv, [0, 0, K - S, 0], [-1, -1, S, -1]);
    let dy: Raw;
    if (pick) {
      const place = (t: Raw) => k.placeRows(t, pick, rows);
      const byQueries = place(k.matMul(fromHeads(dq), queries(w), false, true));
      dy = k.add(k.matMul(fromHeads(own, padding), keysAndValues(w), false, true), byQueries);
      dx = place(dx1);
    } else {
      dy = k.matMul(fromHeads(k.concat([dq, own], 0), padding), w.qkv, false, true);
      dx = dx1;
    }
    dx = k.add(dx, unscaleRows(dy, y1 as Raw, factor1 as Raw, w.average));
  }
  if (!prompts) return { x: dx };

  const P = prompts.shape[0] / sets;
  const theirs = k.slice(dkv, [0, 0, constant ? constant.shape[2] : 0, 0], [-1, -1, P, -1]); // [2H,G,P,d]
  const dy = k.matMul(fromHeads(gathered(theirs, sets)), keysAndValues(w), false, true); // [sets*P,D]
  return { x: dx, prompts: centreRows(unscaleRows(dy, yPrompts as Raw, factorPrompts as Raw, w.average), w.average) };
}

const linear = (x: Raw, { weight, bias }: Linear, turned?: Raw): Raw => k.addBias(product(x, weight, turned), bias);

/** A map that reads the stream: y of mean 0, the bias within the weights. */
const read = (y: Raw, weight: Raw, turned?: Raw): Raw => product(k.add(y, 1), weight, turned);

/** Of two small sides oneDNN reads the weights as they lie; then it is up to twice as fast if they lie turned (fold.ts, `turn`). */
const product = (x: Raw, weight: Raw, turned?: Raw): Raw =>
  turned && 1 / x.shape[0] + 1 / weight.shape[1] > 0.0038 ? k.matMul(x, turned, false, true) : k.matMul(x, weight);

const queries = ({ qkv }: Block): Raw => k.slice(qkv, [0, 0], [-1, qkv.shape[0]]);
const keysAndValues = ({ qkv }: Block): Raw => k.slice(qkv, [0, qkv.shape[0]], [-1, 2 * qkv.shape[0]]);

/** x less the mean of each row. */
const centreRows = (x: Raw, average: Tensor2D): Raw => k.sub(x, k.matMul(x, average));

/** LayerNorm of rows of mean 0, without gain and bias: y = x * factor, factor = 1/sqrt(mean(x^2) + epsilon) [rows,1]. */
function scaleRows(x: Raw, epsilon: number, average: Tensor2D): { y: Raw; factor: Raw } {
  const factor = k.rsqrt(k.add(k.matMul(k.square(x), average), epsilon));
  return { y: k.mul(x, factor), factor };
}

/** Its backward pass, up to the mean of each row. */
const unscaleRows = (dy: Raw, y: Raw, factor: Raw, average: Tensor2D): Raw =>
  k.mul(k.sub(dy, k.mul(y, k.matMul(k.mul(dy, y), average))), factor);

/** `count` of the first axis from `first`: heads, or queries, keys or values of all heads. */
const heads = (x: Raw, first: number, count: number): Raw => k.slice(x, [first, 0, 0, 0], [count, -1, -1, -1]);

/** [R, n*d] -> [n,G,S,d]. */
function toHeads(x: Raw, n: number, groups: number, padding?: Padding): Raw {
  const padded = padding ? k.placeRows(x, padding.places, groups * padding.tokens) : x;
  const [rows, width] = padded.shape;
  return k.transpose(k.reshape(padded, [groups, rows / groups, n, width / n]), [2, 0, 1, 3]);
}

/** [n,G,S,d] -> [R, n*d]. */
function fromHeads(x: Raw, padding?: Padding): Raw {
  const [n, groups, tokens, d] = x.shape;
  const padded = k.reshape(k.transpose(x, [1, 2, 0, 3]), [groups * tokens, n * d]);
  return padding ? k.rows(padded, padding.places) : padded;
}

/** [n,sets,S,d], each set repeated for its run of sequences: [n,G,S,d]. */
function spread(x: Raw, groups: number): Raw {
  const [n, sets, tokens, d] = x.shape;
  if (sets === groups) return x;
  return k.reshape(k.tile(k.reshape(x, [n * sets, 1, tokens * d]), [1, groups / sets, 1]), [n, groups, tokens, d]);
}

/** The sum over each set's run of sequences, [n,G,S,d] -> [n,sets,S,d]. */
function gathered(x: Raw, sets: number): Raw {
  const [n, groups, tokens, d] = x.shape;
  if (sets === groups) return x;
  return k.reshape(k.sum(k.reshape(x, [n * sets, groups / sets, tokens * d]), 1), [n, sets, tokens, d]);
}

/** Value, and where it will be needed the derivative, of the MLP's non-linearity. QuickGELU's scale is in the weights. */
const activations: Record<Activation, (a: Raw, wantSlope: boolean) => { value: Raw; slope?: Raw }> = {
  quick_gelu: (a, wantSlope) => {
    const gate = k.sigmoid(a);
    return { value: k.mul(a, gate), slope: wantSlope ? k.add(gate, k.sigmoidGradient(gate, a)) : undefined };
  },
  gelu: (a, wantSlope) => {
    const gate = k.mul(k.add(k.erf(k.mul(a, Math.SQRT1_2)), 1), 0.5); // the normal distribution function
    const density = () => k.mul(k.exp(k.mul(k.square(a), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    return { value: k.mul(a, gate), slope: wantSlope ? k.add(gate, k.mul(a, density())) : undefined };
  },
};
