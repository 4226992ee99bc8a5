/**
 * Multi-head attention of the fast encoders, softmax(q k^T) v, and its backward pass. The scale 1/sqrt(d) is in the
 * query weights (foldConstants.ts). The fused kernel computes it for one head of one sequence at a time, within the
 * processor's cache (src/engine/native/kernels.cc); without it the operations below compute it for all heads of all
 * sequences at once, padded to one length. Only the inputs are kept for the backward pass, which computes the
 * attention weights again.
 *
 * Shapes: G sequences, S tokens each, Q queries each (S, or 1), P prompt tokens, K keys, D width, H heads, d = D/H.
 * The tokens of all sequences are rows of one matrix: R = G*S rows where all have the same length, fewer otherwise.
 */
import type { AttentionGradients, RawTensor } from "../../engine/backend";
import { backend } from "../../engine/dispatch";
import type { Tensor1D } from "../../engine/tf";

/**
 * Layout of sequences of unequal length. Padded to `maxLength` they would fill [G*maxLength] rows: row r of the matrix
 * is row `scatterIndices[r]` of these, and sequence g has the rows rowSplits[g] up to rowSplits[g+1].
 */
export type RaggedLayout = { maxLength: number; scatterIndices: Tensor1D; rowSplits: Tensor1D };

/** In a row queries come first, then keys, then values. Keys stand in the order prefix, prompts, tokens. */
export type AttentionInputs = {
  /** Queries, keys and values of the tokens [R,3D]; their keys and values [R,2D] where `queries` is given. */
  tokens: RawTensor;
  /** Queries of one token of each sequence [G,D]. */
  queries?: RawTensor;
  /** Keys and values of prompts [promptSets*P,2D]; each set is seen by G/promptSets consecutive sequences. */
  promptKV?: RawTensor;
  /** Keys and values [k,2D] that every sequence sees. */
  prefixKV?: RawTensor;
  /** Added to the scores: [Q,K], or [G,1,K] where `queries` is given. */
  mask?: RawTensor;
};

export type AttentionLayout = { heads: number; sequences: number; promptSets: number; ragged?: RaggedLayout };

/** softmax(q k^T + mask) v, the heads side by side: [R,D], or [G,D] where `queries` is given. */
export function fastAttention(inputs: AttentionInputs, layout: AttentionLayout): RawTensor {
  const { fused, matMul } = backend();
  if (fused) return fused.attention(fusedInputs(inputs, layout));
  const { p, values } = scores(inputs, layout);
  return mergeHeads(matMul(p, values), inputs.queries ? undefined : layout.ragged);
}

/** Gradients of tokens, queries (both absent where the tokens are frozen) and promptKV, from that of the output. */
export function attentionBackward(
  inputs: AttentionInputs,
  layout: AttentionLayout,
  frozenInput: boolean,
  dy: RawTensor,
): AttentionGradients {
  const { fused, matMul, mul, sub, sumLast, concat, slice } = backend();
  if (fused) return fused.attentionBackward(fusedInputs(inputs, layout), frozenInput, dy);
  const { ragged, sequences: G, heads: H, promptSets } = layout;
  const { p, q, keys, values } = scores(inputs, layout);
  const dout = splitHeads(dy, H, G, inputs.queries ? undefined : ragged); // [H,G,Q,d]
  const dp = matMul(dout, values, false, true); // [H,G,Q,K]
  const dscores = mul(p, sub(dp, sumLast(mul(dp, p))));
  const dkv = concat([matMul(dscores, q, true, false), matMul(p, dout, true, false)], 0); // [2H,G,K,d]
  const prefix = inputs.prefixKV?.shape[0] ?? 0;
  const P = (inputs.promptKV?.shape[0] ?? 0) / promptSets;
  const keyRange = (begin: number, count: number): RawTensor => slice(dkv, [0, 0, begin, 0], [-1, -1, count, -1]);
  const promptKV = P > 0 ? mergeHeads(sumOverSets(keyRange(prefix, P), promptSets)) : undefined;
  if (frozenInput) return { promptKV };
  const dq = matMul(dscores, keys);
  const dtokens = keyRange(prefix + P, dkv.shape[2] - prefix - P);
  if (inputs.queries) return { tokens: mergeHeads(dtokens, ragged), queries: mergeHeads(dq), promptKV };
  return { tokens: mergeHeads(concat([dq, dtokens], 0), ragged), promptKV };
}

/** Attention weights [H,G,Q,K], for the analysis of a model. */
export const attentionWeights = (inputs: AttentionInputs, layout: AttentionLayout): RawTensor =>
  scores(inputs, layout).p;

const fusedInputs = (inputs: AttentionInputs, { heads, sequences, promptSets, ragged }: AttentionLayout) => ({
  ...inputs,
  rowSplits: ragged?.rowSplits,
  heads,
  sequences,
  promptSets,
});

/** Queries [H,G,Q,d], keys and values [H,G,K,d], and the attention weights p [H,G,Q,K]. */
function scores(
  { tokens, queries, promptKV, prefixKV, mask }: AttentionInputs,
  { heads: H, sequences: G, promptSets, ragged }: AttentionLayout,
) {
  const { concat, matMul, add, softmax } = backend();
  const all = splitHeads(tokens, (queries ? 2 : 3) * H, G, ragged);
  const q = queries ? splitHeads(queries, H, G) : headRange(all, 0, H);
  const before = [
    ...(prefixKV ? [repeatSets(splitHeads(prefixKV, 2 * H, 1), G)] : []),
    ...(promptKV ? [repeatSets(splitHeads(promptKV, 2 * H, promptSets), G)] : []),
  ];
  const tokenKV = queries ? all : headRange(all, H, 2 * H); // [2H,G,S,d]
  const kv = before.length > 0 ? concat([...before, tokenKV], 2) : tokenKV; // [2H,G,K,d]
  const [keys, values] = [headRange(kv, 0, H), headRange(kv, H, H)];
  const products = matMul(q, keys, false, true);
  return { q, keys, values, p: softmax(mask ? add(products, mask) : products) };
}

/** `count` entries of the first axis, from `first`. */
const headRange = (x: RawTensor, first: number, count: number): RawTensor =>
  backend().slice(x, [first, 0, 0, 0], [count, -1, -1, -1]);

/** [R, n*d] -> [n,G,S,d]; sequences of unequal length are padded with zeros. */
function splitHeads(x: RawTensor, n: number, sequences: number, ragged?: RaggedLayout): RawTensor {
  const { scatterRows, reshape, transpose } = backend();
  const padded = ragged ? scatterRows(x, ragged.scatterIndices, sequences * ragged.maxLength) : x;
  const [rows, width] = padded.shape;
  return transpose(reshape(padded, [sequences, rows / sequences, n, width / n]), [2, 0, 1, 3]);
}

/** [n,G,S,d] -> [R, n*d] */
function mergeHeads(x: RawTensor, ragged?: RaggedLayout): RawTensor {
  const { reshape, transpose, gatherRows } = backend();
  const [n, sequences, tokens, d] = x.shape;
  const padded = reshape(transpose(x, [1, 2, 0, 3]), [sequences * tokens, n * d]);
  return ragged ? gatherRows(padded, ragged.scatterIndices) : padded;
}

/** [n,sets,S,d] -> [n,G,S,d]: each set is repeated for the sequences that see it. */
function repeatSets(x: RawTensor, sequences: number): RawTensor {
  const { reshape, tile } = backend();
  const [n, sets, tokens, d] = x.shape;
  if (sets === sequences) return x;
  const repeated = tile(reshape(x, [n * sets, 1, tokens * d]), [1, sequences / sets, 1]);
  return reshape(repeated, [n, sequences, tokens, d]);
}

/** [n,G,S,d] -> [n,sets,S,d]: the sum over the sequences that see a set, the backward pass of `repeatSets`. */
function sumOverSets(x: RawTensor, sets: number): RawTensor {
  const { reshape, sum } = backend();
  const [n, sequences, tokens, d] = x.shape;
  if (sets === sequences) return x;
  return reshape(sum(reshape(x, [n * sets, sequences / sets, tokens * d]), 1), [n, sets, tokens, d]);
}
