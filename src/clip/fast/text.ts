/**
 * CLIP's text encoder, plain or with deep prompts, doing only the work that reaches a text's feature. It gives the
 * numbers of ../reference.ts, which runs all positions through all blocks; test/clip/encoders.test.ts compares the two.
 * It assumes that
 * - prompts are contiguous from position 1 on, and from block 0 on: sets 0, 1 ... without gaps, all of one length;
 * - the outputs of prompts that the next block replaces are not read;
 * - only the end token is read after the last block;
 * - weights are frozen: gradients flow to prompts alone.
 * A method that needs more than that takes the reference. What is saved by it:
 * - tokens after the end token never reach it (causal mask): they are cut;
 * - the start token sees only itself: its keys and values are constants of the model (`TextTower.startKV`);
 * - prompts stand after the start token and see it and themselves: they are the same for all classes. Where the next
 *   block replaces them, only their keys and values matter; after the last replacement they run once, not once per
 *   class;
 * - so per class only the suffix runs (name, full stop, end token), and in the last block only its end token.
 */
import { frozenLayerNorm, permuteRows } from "../../engine/autograd";
import type { Tensor1D, Tensor2D, Tensor3D } from "../../engine/tf";
import { tf } from "../../engine/tf";
import { UsageError } from "../../util/errors";
import { cleanText } from "../cleanText";
import type { Clip, TextTower } from "../model";
import type { RaggedLayout } from "./attention";
import { type BlockObserver, blocksWithoutRecompute, fastBlock, projectQKV } from "./block";
import { type TransposedWeights, transposeBlock } from "./foldConstants";

/** A position of a text whose embedding is context token `slot`, instead of a token of the vocabulary. */
export type ContextSlot = { slot: number };

/** Suffixes of which the longest has S tokens; what precedes them (start token, prompts) is shared. */
export type SuffixGroup = {
  /** The index of each text of this group among all texts. */
  texts: number[];
  /** Token plus positional embeddings of all R tokens, one text after the other, [R,D]. */
  x: Tensor2D;
  /** Present where the texts have different lengths. */
  ragged?: RaggedLayout;
  /** Rows of the end tokens, int32 [C]. */
  endRows: Tensor1D;
  /**
   * Additive masks over the keys start, P prompts, suffix (padded): [S,K] for all tokens, [C,1,K] for the end tokens.
   */
  mask: Tensor2D;
  endMask: Tensor3D;
  /** Queries, keys and values of x in block 0 [R,3D], computed once where the group is used in every step. */
  qkv?: Tensor2D;
  /** Weights of every block transposed, where that is faster; all groups of a call share them. */
  transposed?: TransposedWeights[];
};

/** Deep prompts or contexts by block: entry i [P,D] replaces the prompt positions before block i. */
export type Prompts = Tensor2D[];

/** Added to the score of a key that is not seen. */
const masked = -1e9;

/** Ids of a text, cut after its end token. @throws where the text is longer than the model's context. */
export function tokenise(clip: Pick<Clip, "tokenizer" | "text">, text: string): number[] {
  const ids = clip.tokenizer.encode(cleanText(text));
  const cut = ids.slice(0, clip.tokenizer.end(ids) + 1);
  const { context } = clip.text;
  if (cut.length > context) {
    const start = text.length > 60 ? `${text.slice(0, 60)}...` : text;
    throw new UsageError(
      `a sentence has ${cut.length} tokens, the model takes at most ${context}: shorten the class name or the template ("${start}")`,
    );
  }
  return cut;
}

/**
 * Prepares the suffixes of texts whose first `1 + prompts` tokens are the start token and the prompts.
 * @param texts whole texts, cut after their end token. Tokens 1..prompts are ignored. Of a context slot only the
 *   position is embedded.
 * @param forTraining computes what is the same in every training step: block 0's projections, and, where it is faster,
 *   the transposed weights.
 * @returns groups that the caller disposes with `tf.dispose`
 */
export function suffixGroups(
  tower: TextTower,
  texts: (number | ContextSlot)[][],
  prompts: number,
  forTraining = false,
): SuffixGroup[] {
  const lengths = texts.map((text) => text.length - 1 - prompts);
  const short = lengths.findIndex((length) => length < 1);
  if (short >= 0) {
    const tokens = texts[short].length;
    throw new Error(`text ${short} has ${tokens} tokens: ${prompts} prompt tokens after the first leave nothing of it`);
  }
  const total = lengths.reduce((a, b) => a + b, 0);
  const transpose = forTraining && tower.width >= transposeFromWidth && total < transposeBelowTokens;
  const transposed = transpose ? tower.blocks.map(transposeBlock) : undefined;
  return groupByLength(lengths, maxGroupTokens(tower.width)).map((indices) => ({
    ...tf.tidy(() => suffixGroup(tower, texts, indices, prompts, forTraining)),
    transposed,
  }));
}

function suffixGroup(
  tower: TextTower,
  texts: (number | ContextSlot)[][],
  indices: number[],
  prompts: number,
  forTraining: boolean,
): SuffixGroup {
  const suffixes = indices.map((index) => texts[index].slice(1 + prompts));
  const C = indices.length;
  const S = Math.max(...suffixes.map((suffix) => suffix.length));
  const K = 1 + prompts + S;
  const tokens = suffixes.flatMap((suffix, c) => suffix.map((id, s) => ({ id, s, padded: c * S + s })));
  const int32 = (values: number[]): Tensor1D => tf.tensor1d(values, "int32");
  const isToken = tf.tensor2d(
    tokens.map(({ id }) => (typeof id === "number" ? 1 : 0)),
    [tokens.length, 1],
  );
  const ids = tokens.map(({ id }) => (typeof id === "number" ? id : 0));
  const positions = tf.gather(tower.positions, int32(tokens.map(({ s }) => 1 + prompts + s)));
  const x = tf.add<Tensor2D>(tf.mul(tf.gather(tower.tokens, int32(ids)), isToken), positions);
  const rowSplits = tokens.flatMap(({ s }, r) => (s === 0 ? [r] : [])).concat(tokens.length);
  const scatterIndices = tokens.map(({ padded }) => padded);
  const isRagged = tokens.length < C * S;
  const afterEnd = suffixes.flatMap(({ length }) =>
    Array.from({ length: K }, (_, key) => (key >= 1 + prompts + length ? masked : 0)),
  );
  return {
    texts: indices,
    x,
    ragged: isRagged ? { maxLength: S, scatterIndices: int32(scatterIndices), rowSplits: int32(rowSplits) } : undefined,
    endRows: int32(rowSplits.slice(1).map((next) => next - 1)),
    mask: causalMask(S, 1 + prompts),
    endMask: tf.tensor3d(afterEnd, [C, 1, K]),
    qkv: forTraining ? projectQKV(tower.blocks[0], x) : undefined,
  };
}

/** Additive mask [S, before + S]: token s sees the `before` keys that precede all tokens, and tokens 0 to s. */
export function causalMask(tokens: number, before: number): Tensor2D {
  const K = before + tokens;
  const values = Float32Array.from({ length: tokens * K }, (_, i) =>
    (i % K) - before > Math.floor(i / K) ? masked : 0,
  );
  return tf.tensor2d(values, [tokens, K]);
}

/**
 * Features [C,E] of all groups' texts, not normalised, in the order of the texts; differentiable in the prompts.
 * @param prompts one set for each prompted block, the first for the input (positions are added to it here); none for
 *   plain CLIP
 */
export function encodeText(tower: TextTower, groups: SuffixGroup[], prompts: Prompts): Tensor2D {
  const contexts = contextTokens(tower, prompts, 1, groups[0]?.transposed);
  const totalTokens = groups.reduce((sum, { x }) => sum + x.shape[0], 0);
  return inTextOrder(
    groups.map((group) => encodeGroup(tower, group, contexts, { totalTokens })),
    groups,
  );
}

/** Concatenates one row for each text of the groups, and puts the rows into the order of the texts. */
export function inTextOrder(rows: Tensor2D[], groups: { texts: number[] }[]): Tensor2D {
  const rowOfText: number[] = [];
  groups
    .flatMap(({ texts }) => texts)
    .forEach((text, row) => {
      rowOfText[text] = row;
    });
  return permuteRows(rows.length === 1 ? rows[0] : tf.concat(rows, 0), rowOfText);
}

/**
 * The tokens at the prompt positions before each block, [promptSets*P,D]: the block's own prompts, or the output of the
 * block before for the last of them.
 * @param promptSets how many sets of P prompts each entry of `prompts` holds, one after the other
 */
export function contextTokens(
  tower: TextTower,
  prompts: Prompts,
  promptSets = 1,
  transposed?: TransposedWeights[],
): Tensor2D[] {
  const contexts: Tensor2D[] = [];
  if (prompts.length === 0) return contexts;
  const P = prompts[0].shape[0] / promptSets;
  const mask = causalMask(P, 1);
  const addPositions = (x: Tensor2D): Tensor2D =>
    tf.reshape(tf.add(tf.reshape(x, [promptSets, P, -1]), tf.slice(tower.positions, [1, 0], [P, -1])), x.shape);
  tower.blocks.forEach((_, i) => {
    if (i === 0) contexts.push(addPositions(prompts[0]));
    else if (i < prompts.length) contexts.push(prompts[i]);
    else {
      const inputs = { prefixKV: tower.startKV[i - 1], mask, transposed: transposed?.[i - 1] };
      contexts.push(fastBlock(tower.blocks[i - 1], contexts[i - 1], promptSets, inputs));
    }
  });
  return contexts;
}

export type EncodeGroupOptions = {
  /** How many sets of prompts each entry of `contexts` holds; each serves as many consecutive texts. */
  promptSets?: number;
  /** The tokens of the group itself are differentiable. */
  trainableTokens?: boolean;
  /** Tokens of all groups that one backward pass goes through: with many of them blocks recompute (block.ts). */
  totalTokens?: number;
  observe?: BlockObserver;
};

/**
 * Features [C,E] of one group.
 * @param contexts tokens between the start token and the suffix, by block: [promptSets*P,D]
 */
export function encodeGroup(
  tower: TextTower,
  group: SuffixGroup,
  contexts: Tensor2D[],
  { promptSets = 1, trainableTokens = false, totalTokens = group.x.shape[0], observe }: EncodeGroupOptions = {},
): Tensor2D {
  const recomputed = tower.blocks.length - blocksWithoutRecompute(totalTokens, tower.width, savedMegabytes);
  const sequences = group.endRows.shape[0];
  let x = group.x;
  tower.blocks.forEach((w, i) => {
    const last = i === tower.blocks.length - 1;
    const input = x;
    const inputs = {
      ragged: group.ragged,
      prefixKV: tower.startKV[i],
      prompts: contexts[i],
      promptSets,
      mask: last ? group.endMask : group.mask,
      queryRows: last ? group.endRows : undefined,
      frozenInput: !trainableTokens && (i === 0 || contexts.length === 0),
      qkv: i === 0 ? group.qkv : undefined,
      recompute: i < recomputed,
      transposed: group.transposed?.[i],
    };
    observe?.(w, x, sequences, inputs);
    x = fastBlock(w, x, sequences, inputs);
    if (i > 0) input.dispose(); // The block has saved what its backward pass needs of it.
  });
  return tf.matMul(frozenLayerNorm(x, tower.final), tower.projection);
}

/** Keys and values [1,2D] of the start token in each block. @returns tensors that the caller disposes. */
export function startTokenKV(tower: Omit<TextTower, "startKV">, startId: number): TextTower["startKV"] {
  return tf.tidy(() => {
    const embedding = tf.slice(tower.tokens, [startId, 0], [1, -1]);
    let x = tf.add<Tensor2D>(embedding, tf.slice(tower.positions, [0, 0], [1, -1]));
    return tower.blocks.map((w) => {
      const keyValue = tf.slice(projectQKV(w, x), [0, tower.width], [1, -1]);
      x = fastBlock(w, x, 1);
      return keyValue;
    });
  });
}

/** Features [C,E] of any texts by the frozen encoder, not normalised; in groups, so that thousands fit into memory. */
export function encodeTexts(clip: Pick<Clip, "tokenizer" | "text">, texts: string[]): Tensor2D {
  const ids = texts.map((text) => tokenise(clip, text));
  const lengths = ids.map((all) => all.length - 1);
  const groups = groupByLength(lengths, maxGroupTokens(clip.text.width)).map((indices) => ({ texts: indices }));
  return tf.tidy(() => {
    const features = groups.map(({ texts: indices }) =>
      tf.tidy(() => encodeGroup(clip.text, suffixGroup(clip.text, ids, indices, 0, false), [])),
    );
    return inTextOrder(features, groups);
  });
}

/** For the backward pass; reached with about 170 classes at width 512 and 12 blocks. */
const savedMegabytes = 160;

/** Transposed weights are faster where a weight is larger than a core's cache and the rows are few. Measured on x64. */
const transposeFromWidth = 512;
const transposeBelowTokens = 540;

/**
 * Tokens of one group, padding included. The largest array of a block then takes 8 MB, and more at once are no faster.
 */
const maxGroupTokens = (width: number) => Math.ceil(2 ** 19 / width);

/**
 * Indices of texts by length, in groups of at most `maxTokens` tokens when all are padded to the longest of their
 * group. A longer text has a group of its own.
 */
export function groupByLength(lengths: number[], maxTokens: number): number[][] {
  const groups: number[][] = [];
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[a] - lengths[b] || a - b);
  for (const i of order) {
    const last = groups[groups.length - 1];
    if (last && (last.length + 1) * lengths[i] <= maxTokens) last.push(i);
    else groups.push([i]);
  }
  return groups;
}
