/**
 * One residual block of CLIP's encoders (openai/CLIP model.py, ResidualAttentionBlock), with its gradient written by
 * hand:
 *
 *   x <- x + Attention(LayerNorm(x));   x <- x + MLP(LayerNorm(x))
 *
 * Weights are frozen, so gradients flow to tokens and prompts alone. Gains, biases and scales are folded into the
 * weights (foldConstants.ts). ../reference.ts has the block as the papers write it.
 *
 * Shapes: G sequences (images or texts), S tokens each, Q queries each (S, or 1), P prompt tokens, K keys, D width, H
 * heads. The tokens of all sequences are rows of one matrix [R,D] (attention.ts).
 */

import { frozenLayerNorm, gatherRows, recording, scale } from "../../engine/autograd";
import type { RawTensor } from "../../engine/backend";
import { compiled } from "../../engine/compiled";
import { backend } from "../../engine/dispatch";
import {
  type LinearMap,
  layerNormLinear,
  layerNormLinearBackward,
  linearBackward,
  type MlpMaps,
  mlpBackward,
  mlpForward,
  mlpHidden,
  residualLinear,
} from "../../engine/fusedOps";
import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from "../../engine/tf";
import { tf } from "../../engine/tf";
import type { Additions } from "../additions";
import {
  type AttentionInputs,
  type AttentionLayout,
  attentionBackward,
  attentionWeights,
  fastAttention,
  type RaggedLayout,
} from "./attention";
import { type FoldedBlock, queryScale, type TransposedWeights } from "./foldConstants";

export type BlockInputs = {
  /** Layout of sequences of unequal length; omit it if all have the same. `mask` must hide the padded positions. */
  ragged?: RaggedLayout;
  /**
   * Prompt tokens, used as keys and values only: [promptSets*P,D], differentiable. Set s serves the sequences
   * s*G/promptSets up to (s+1)*G/promptSets; there is one set by default.
   */
  prompts?: Tensor2D;
  promptSets?: number;
  /** Keys and values [k,2D] of frozen tokens that all sequences see. */
  prefixKV?: Tensor2D;
  /** Added to the scores: [S,K], or [G,1,K] with `queryRows`. Keys stand in the order prefix, prompts, tokens. */
  mask?: Tensor;
  /** The row of one token of each sequence, int32 [G], if the outputs of the others are not needed. */
  queryRows?: Tensor1D;
  /**
   * Added to queries, keys and values, differentiable: `tokens` [R,3D]; with `queryRows` it is added to keys and values
   * [R,2D], and `queries` [G,D] to the queries. Queries are in units of the folded weights (`queryScale`).
   */
  added?: { tokens: Tensor2D; queries?: Tensor2D };
  /** The tokens do not depend on anything that is trained, so they get no gradient. */
  frozenInput?: boolean;
  /** `projectQKV` of the tokens, if it is known already; only with `frozenInput`. */
  qkv?: Tensor2D;
  /** Gradient checkpointing: keep only the inputs for the backward pass, and recompute the rest in it. */
  recompute?: boolean;
  /** The block's weights transposed, for fewer rows (`transposeBlock`). */
  transposed?: TransposedWeights;
};

/** Is called with what goes into each block of an encoder (src/analysis/attention.ts). */
export type BlockObserver = (w: FoldedBlock, x: Tensor2D, sequences: number, inputs: BlockInputs) => void;

/**
 * How many blocks of an encoder may keep what their backward pass needs, about nine arrays of the size of x; the
 * others recompute it.
 * @param megabytes for all blocks together
 */
export const blocksWithoutRecompute = (rows: number, width: number, megabytes: number): number =>
  Math.floor((megabytes * 2 ** 20) / (9 * 4 * rows * width));

/**
 * [R,D] -> [R,D], or [G,D] with `queryRows`. Differentiable in x, and in `prompts` and `added` of the inputs.
 * @param sequences their number G
 */
export function fastBlock(w: FoldedBlock, x: Tensor2D, sequences: number, inputs: BlockInputs = {}): Tensor2D {
  const { runRaw } = backend();
  const { ragged, prompts, prefixKV, mask, queryRows, qkv, added, frozenInput, recompute } = inputs;
  const named = { x: frozenInput ? undefined : x, prompts, addedTokens: added?.tokens, addedQueries: added?.queries };
  const wanted = (Object.keys(named) as (keyof typeof named)[]).filter((name) => named[name]);
  const differentiable = wanted.map((name) => named[name] as Tensor);
  if (differentiable.length === 0 || !recording()) {
    return runRaw(() => forward({ w, x, sequences, inputs, keep: false })).value as Tensor2D;
  }
  return tf.customGrad((...args: any[]) => {
    const save = args[args.length - 1];
    // The backward pass needs these in any case, and the caller may dispose them before it.
    const given = {
      x: frozenInput && !recompute ? undefined : x,
      prompts,
      prefixKV,
      mask,
      queryRows,
      scatterIndices: ragged?.scatterIndices,
      rowSplits: ragged?.rowSplits,
      addedTokens: recompute ? added?.tokens : undefined,
      addedQueries: recompute ? added?.queries : undefined,
    };
    const { value, ...saved } = runRaw(() => {
      const computed = forward({ w, x, sequences, inputs, keep: !recompute });
      return recompute ? { ...computed, ...given, qkv } : { ...computed, ...given };
    });
    const names = Object.keys(saved).filter((name) => saved[name as keyof typeof saved]);
    save(names.map((name) => saved[name as keyof typeof saved]));
    const gradFunc = (dvalue: any, tensors: any) => {
      const restored = Object.fromEntries(names.map((name, i) => [name, tensors[i]])) as any;
      const { scatterIndices, rowSplits, prompts, prefixKV, mask, queryRows, qkv, addedTokens } = restored;
      const again: BlockInputs = {
        ...inputs,
        ...{ prompts, prefixKV, mask, queryRows, qkv },
        ragged: ragged && { ...ragged, scatterIndices, rowSplits },
        added: addedTokens && { tokens: addedTokens, queries: restored.addedQueries },
      };
      const { tokens, queries, promptKV, x1, hidden } = restored;
      const saved = recompute ? undefined : { tokens, queries, promptKV, x1, hidden };
      const of = Object.fromEntries(wanted.map((name) => [name, true]));
      const sizes = { rows: x.shape[0], sequences };
      const gradients = runRaw(() => backward({ w, ...sizes, inputs: again, x: restored.x, dvalue, saved, of }));
      return wanted.map((name) => gradients[name]);
    };
    return { value, gradFunc } as any;
  })(...(differentiable as any)) as Tensor2D;
}

/** `fastBlock` of block i with what a method adds to it; differentiable in that, too. */
export function blockWithAdditions(
  additions: Additions | undefined,
  i: number,
  w: FoldedBlock,
  x: Tensor2D,
  sequences: number,
  inputs: BlockInputs,
): Tensor2D {
  if (!additions) return fastBlock(w, x, sequences, inputs);
  const { queryRows } = inputs;
  const chosen = (rows: Tensor2D) => (queryRows ? gatherRows(rows, queryRows) : rows);
  const y = frozenLayerNorm(x, w.norm1); // (R, D)
  const attention = additions.attention?.(i, y);
  const output = additions.output?.(i, chosen(y));
  let added: BlockInputs["added"];
  if (attention) {
    const query = scale(chosen(attention.query), queryScale(w));
    const keyValue = [attention.key, attention.value];
    added = queryRows
      ? { tokens: tf.concat(keyValue, 1), queries: query }
      : { tokens: tf.concat([query, ...keyValue], 1) };
  }
  const z = fastBlock(w, x, sequences, { ...inputs, added });
  return output ? tf.add(z, output) : z;
}

const project = compiled("projectQKV", ({ w, x }: { w: FoldedBlock; x: RawTensor }) => ({
  qkv: layerNormLinear(x, qkvMap(w), w.epsilon1),
}));

/** Queries, keys and values [R,3D] of tokens [R,D]. */
export const projectQKV = (w: FoldedBlock, x: Tensor2D): Tensor2D =>
  backend().runRaw(() => project({ w, x })).qkv as Tensor2D;

/** Attention weights [H,G,Q,K] of a block, for the analysis of a model; not differentiable. */
export const blockAttention = (w: FoldedBlock, x: Tensor2D, sequences: number, inputs: BlockInputs = {}): Tensor4D =>
  backend().runRaw(() => ({ p: attentionWeights(inputsOfAttention(w, x, inputs), layoutOf(w, sequences, inputs)) }))
    .p as Tensor4D;

/** What the backward pass needs besides the inputs: those of attention, x after it, and the MLP's hidden layer. */
type Saved = { tokens: RawTensor; queries?: RawTensor; promptKV?: RawTensor; x1: RawTensor; hidden: RawTensor };

type ForwardArgs = { w: FoldedBlock; x: RawTensor; sequences: number; inputs: BlockInputs; keep: boolean };

/** The block's output, and with `keep` what its backward pass needs. */
const forward = compiled("blockForward", ({ w, x, sequences, inputs, keep }: ForwardArgs) => {
  const { x1, ...attended } = backend().tidyRaw((): Partial<Saved> => {
    const result = attentionResidual(w, x, sequences, inputs);
    return keep ? result : { x1: result.x1 };
  });
  const { y, hidden } = mlpForward(x1 as RawTensor, mlpMap(w, inputs), keep);
  return { value: y, ...(keep ? { ...attended, x1, hidden } : {}) };
});

/** What `forward` saves, computed again. */
const recomputeSaved = (w: FoldedBlock, x: RawTensor, sequences: number, inputs: BlockInputs): Saved =>
  backend().tidyRaw(() => {
    const attended = attentionResidual(w, x, sequences, inputs);
    return { ...attended, hidden: mlpHidden(attended.x1, mlpMap(w, inputs)) };
  });

/** x1 = x + Attention(LayerNorm(x)), and the inputs of attention. */
function attentionResidual(
  w: FoldedBlock,
  x: RawTensor,
  sequences: number,
  inputs: BlockInputs,
): Omit<Saved, "hidden"> {
  const { tidyRaw, gatherRows } = backend();
  return tidyRaw(() => {
    const { tokens, queries, promptKV, ...frozen } = inputsOfAttention(w, x, inputs);
    const y = fastAttention({ tokens, queries, promptKV, ...frozen }, layoutOf(w, sequences, inputs));
    const residual = inputs.queryRows ? gatherRows(x, inputs.queryRows) : x;
    return { tokens, queries, promptKV, x1: residualLinear(residual, y, outMap(w, inputs)) };
  });
}

function inputsOfAttention(w: FoldedBlock, x: RawTensor, inputs: BlockInputs): AttentionInputs {
  const { prompts, prefixKV, mask, queryRows, qkv, added } = inputs;
  const { add, gatherRows } = backend();
  const promptKV = prompts && layerNormLinear(prompts, keyValueMap(w), w.epsilon1);
  const plus = (y: RawTensor, more?: RawTensor) => (more ? add(y, more) : y);
  if (!queryRows) {
    const tokens = plus(qkv ?? layerNormLinear(x, qkvMap(w, inputs), w.epsilon1), added?.tokens);
    return { tokens, promptKV, prefixKV, mask };
  }
  const queries = plus(layerNormLinear(gatherRows(x, queryRows), queryMap(w), w.epsilon1), added?.queries);
  const tokens = plus(layerNormLinear(x, keyValueMap(w), w.epsilon1), added?.tokens);
  return { tokens, queries, promptKV, prefixKV, mask };
}

const layoutOf = (w: FoldedBlock, sequences: number, { promptSets = 1, ragged }: BlockInputs): AttentionLayout => ({
  heads: w.heads,
  sequences,
  promptSets,
  ragged,
});

type BackwardArgs = {
  w: FoldedBlock;
  /** R */
  rows: number;
  sequences: number;
  inputs: BlockInputs;
  x?: RawTensor;
  dvalue: RawTensor;
  /** Computed again where it is absent. */
  saved?: Saved;
  of: { x?: boolean; prompts?: boolean; addedTokens?: boolean; addedQueries?: boolean };
};

/** Gradients of what `of` names. */
const backward = compiled("blockBackward", ({ w, rows, sequences, inputs, x, dvalue, saved, of }: BackwardArgs) => {
  const { tidyRaw, gatherRows, scatterRows } = backend();
  const { prompts, prefixKV, mask, queryRows } = inputs;
  const { tokens, queries, promptKV, x1, hidden } = saved ?? recomputeSaved(w, x as RawTensor, sequences, inputs);
  const dx1 = mlpBackward(dvalue, x1, hidden, mlpMap(w, inputs));
  const d = tidyRaw(() => {
    const dattention = linearBackward(dx1, w.out);
    const attended = { tokens, queries, promptKV, prefixKV, mask };
    const promptsAlone = !of.x && !of.addedTokens;
    return attentionBackward(attended, layoutOf(w, sequences, inputs), promptsAlone, dattention);
  });
  const back = (dy: RawTensor | undefined, x: RawTensor | undefined, map: LinearMap, residual?: RawTensor): RawTensor =>
    layerNormLinearBackward(dy as RawTensor, x as RawTensor, map, w.epsilon1, residual);
  let dx: RawTensor | undefined;
  if (queryRows && x && of.x) {
    const fromQueries = back(d.queries, gatherRows(x, queryRows), queryMap(w), dx1);
    dx = back(d.tokens, x, keyValueMap(w), scatterRows(fromQueries, queryRows, rows));
  } else if (of.x) dx = back(d.tokens, x, qkvMap(w), dx1);
  return {
    x: dx,
    prompts: of.prompts ? back(d.promptKV, prompts, keyValueMap(w)) : undefined,
    addedTokens: of.addedTokens ? d.tokens : undefined,
    addedQueries: of.addedQueries ? d.queries : undefined,
  };
});

const qkvMap = ({ qkv }: FoldedBlock, { transposed }: BlockInputs = {}): LinearMap => ({
  weight: qkv,
  transposed: transposed?.qkv,
});
const queryMap = ({ qkv }: FoldedBlock): LinearMap => ({ weight: qkv, columns: { begin: 0, count: qkv.shape[0] } });
const keyValueMap = ({ qkv }: FoldedBlock): LinearMap => ({
  weight: qkv,
  columns: { begin: qkv.shape[0], count: 2 * qkv.shape[0] },
});
const outMap = ({ out }: FoldedBlock, { transposed }: BlockInputs) => ({ ...out, transposed: transposed?.out });

const mlpMap = ({ up, down, activation, epsilon2 }: FoldedBlock, { transposed }: BlockInputs): MlpMaps => ({
  up: { weight: up, transposed: transposed?.up },
  down: { ...down, transposed: transposed?.down },
  activation,
  epsilon: epsilon2,
});
