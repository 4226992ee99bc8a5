/**
 * Attention of CLIP's blocks over rows: what each token takes from the values it sees, softmax(q k^T) v, and its gradient. The scale
 * 1/sqrt(d) is in the query map (fold.ts). On a CPU of the native engine one kernel does it sequence by sequence and head by head, within
 * the processor's cache (src/engine/native/kernels.cc); elsewhere the operations below do, over all at once and padded.
 * Nothing but the inputs is kept for the gradient, which computes the weights again.
 *
 * Shapes: G sequences, S tokens each, Q of them ask (all, or one), P prompt tokens, K keys, D width, H heads, d = D/H.
 * Rows of a stream of sequences: R = G*S where all have the same length, else fewer.
 */
import type { Raw } from "../../engine/backend";
import * as k from "../../engine/backend";
import type { Tensor1D } from "../../engine/tf";

/** Sequences of unequal length: row r of the stream is row `places[r]` of the [G*tokens] that they would fill; sequence g starts at `starts[g]`. */
export type Padding = { tokens: number; places: Tensor1D; starts: Tensor1D };

/** Keys and values lie side by side in a row, queries before them; seen in the order constant, theirs, own. */
export type Seen = {
  /** Queries, keys and values of the sequences' tokens [R,3D]; where one of each sequence asks, keys and values [R,2D]. */
  own: Raw;
  /** Of the one that asks [G,D]. */
  queries?: Raw;
  /** Keys and values of prompts [sets*P,2D], each set for a run of sequences. */
  theirs?: Raw;
  /** Keys and values that all see [k,2D]. */
  constant?: Raw;
  /** Added to the scores: [Q,K], or [G,1,K] where one asks. */
  mask?: Raw;
};

export type Sequences = { heads: number; groups: number; sets: number; padding?: Padding };

/** softmax(q k^T + mask) v of all heads side by side, [R,D], or [G,D] where one asks. */
export function attend(seen: Seen, among: Sequences): Raw {
  if (k.kernels.own()) return k.kernels.run("PromptsrcAttention", sharing(among), inputs(seen, among))[0];
  const { p, values } = stacked(seen, among);
  return fromHeads(k.matMul(p, values), seen.queries ? undefined : among.padding);
}

/** Gradients of own, and of queries where one asks (neither where the tokens are `fixed`), and of theirs. */
export type Gradients = { own?: Raw; queries?: Raw; theirs?: Raw };

export function attendGradient(seen: Seen, among: Sequences, fixed: boolean, dmixed: Raw): Gradients {
  if (k.kernels.own()) {
    const [own, queries, theirs] = k.kernels.run("PromptsrcAttentionGradient", sharing(among, fixed), [...inputs(seen, among), dmixed], 3);
    return { own, queries, theirs };
  }
  const { padding, groups: G, heads: H, sets } = among;
  const { p, q, keys, values } = stacked(seen, among);
  const dout = toHeads(dmixed, H, G, seen.queries ? undefined : padding); // [H,G,Q,d]
  const dp = k.matMul(dout, values, false, true); // [H,G,Q,K]
  const dscores = k.mul(p, k.sub(dp, k.sumLast(k.mul(dp, p))));
  const dkv = k.concat([k.matMul(dscores, q, true, false), k.matMul(p, dout, true, false)], 0); // [2H,G,K,d]
  const before = seen.constant?.shape[0] ?? 0;
  const P = (seen.theirs?.shape[0] ?? 0) / sets;
  const part = (from: number, count: number): Raw => k.slice(dkv, [0, 0, from, 0], [-1, -1, count, -1]);
  const theirs = P > 0 ? fromHeads(gathered(part(before, P), sets)) : undefined;
  if (fixed) return { theirs };
  const dq = k.matMul(dscores, keys);
  const own = part(before + P, dkv.shape[2] - before - P);
  if (seen.queries) return { own: fromHeads(own, padding), queries: fromHeads(dq), theirs };
  return { own: fromHeads(k.concat([dq, own], 0), padding), theirs };
}

/** The kernels' inputs and attributes (src/engine/native/operations.cc). */
const inputs = ({ own, queries, theirs, constant, mask }: Seen, { padding }: Sequences): Raw[] => [
  ...[own, queries, theirs, constant, mask].map((x) => x ?? k.nothing()),
  padding?.starts ?? k.noNumbers(),
];
const sharing = ({ heads, groups, sets }: Sequences, fixed = false) => [
  ...[k.whole("heads", heads), k.whole("sequences", groups), k.whole("sets", sets)],
  k.flag("fixed", fixed),
];

/** Attention weights [H,G,Q,K]; for looking at. */
export const weights = (seen: Seen, among: Sequences): Raw => stacked(seen, among).p;

/** Queries [H,G,Q,d], keys and values [H,G,K,d] of all that is seen, and the weights p. */
function stacked({ own, queries, theirs, constant, mask }: Seen, { heads: H, groups: G, sets, padding }: Sequences) {
  const all = toHeads(own, (queries ? 2 : 3) * H, G, padding);
  const q = queries ? toHeads(queries, H, G) : heads(all, 0, H);
  const before = [
    ...(constant ? [spread(toHeads(constant, 2 * H, 1), G)] : []),
    ...(theirs ? [spread(toHeads(theirs, 2 * H, sets), G)] : []),
  ];
  const mine = queries ? all : heads(all, H, 2 * H); // [2H,G,S,d]
  const both = before.length > 0 ? k.concat([...before, mine], 2) : mine;
  const [keys, values] = [heads(both, 0, H), heads(both, H, H)];
  const scores = k.matMul(q, keys, false, true);
  return { q, keys, values, p: k.softmax(mask ? k.add(scores, mask) : scores) };
}

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
