/**
 * CLIP's text encoder, plain or with deep prompts, doing only the work that reaches a text's feature. It gives the
 * numbers of ../reference.ts, which runs all positions through all blocks; test/clip/encoders.test.ts compares the two.
 * It assumes that
 * - prompts are contiguous from position 1 on, all sets of one length; between two sets they run on as tokens;
 * - the outputs of prompts that the next block replaces are not read;
 * - only the end token is read after the last block;
 * - weights are frozen: gradients flow to prompts and to what a method adds (../additions.ts).
 * A method that needs more than that takes the reference. What is saved by it:
 * - tokens after the end token never reach it (causal mask): they are cut;
 * - the start token sees only itself: its keys and values are constants of the model (`TextTower.startKV`), unless
 *   something is added inside the blocks: then it is the first token of each suffix (`whole`);
 * - prompts stand after the start token and see it and themselves: they are the same for all classes. Where the next
 *   block replaces them, only their keys and values matter; after the last replacement they run once, not once per
 *   class;
 * - blocks before the first that a method changes run once (`from`);
 * - so per class only the suffix runs (name, full stop, end token), and in the last block only its end token.
 */
import { frozenLayerNorm, gatherRows, permuteRows } from "../../engine/autograd";
import type { Tensor1D, Tensor2D, Tensor3D } from "../../engine/tf";
import { tf } from "../../engine/tf";
import { UsageError } from "../../util/errors";
import type { Additions } from "../additions";
import { cleanText } from "../cleanText";
import type { Clip, TextTower } from "../model";
import type { RaggedLayout } from "./attention";
import { type BlockObserver, blocksWithoutRecompute, blockWithAdditions, fastBlock, projectQKV } from "./block";
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
  /** The first block that runs in each step: x is what goes into it. */
  from: number;
  /** Whether the suffixes begin with the start token. */
  whole: boolean;
  /** Queries, keys and values of x in block `from` [R,3D], computed once where the group is used in every step. */
  qkv?: Tensor2D;
  /** Weights of every block transposed, where that is faster; all groups of a call share them. */
  transposed?: TransposedWeights[];
};

/**
 * Deep prompts or contexts by block: entry i [P,D] replaces the prompt positions before block i. In texts it may also be
 * [C*P,D], with P tokens for each text. Where there is no entry, the tokens are those that the block before gives.
 */
export type Prompts = (Tensor2D | undefined)[];

/** How texts are prepared, where something but prompts from block 0 on is changed. */
export type SuffixChange = {
  /** The first block that a method changes; the blocks before it are frozen. */
  from?: number;
  /** Prompts that enter before block `from`, behind the start token, and take no position. */
  inserted?: number;
  /** The suffixes begin with the start token, because what is added to the blocks changes it, too. */
  whole?: boolean;
};

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
 * @param change where the texts are changed otherwise than by prompts from block 0 on
 * @returns groups that the caller disposes with `tf.dispose`
 */
export function suffixGroups(
  tower: TextTower,
  texts: (number | ContextSlot)[][],
  prompts: number,
  forTraining = false,
  change: SuffixChange = {},
): SuffixGroup[] {
  const lengths = texts.map((text) => text.length - (change.whole ? 0 : 1 + prompts));
  const short = lengths.findIndex((length) => length < 1);
  if (short >= 0) {
    const tokens = texts[short].length;
    throw new Error(`text ${short} has ${tokens} tokens: ${prompts} prompt tokens after the first leave nothing of it`);
  }
  const total = lengths.reduce((a, b) => a + b, 0);
  const transpose = forTraining && tower.width >= transposeFromWidth && total < transposeBelowTokens;
  const transposed = transpose ? tower.blocks.map(transposeBlock) : undefined;
  return groupByLength(lengths, maxGroupTokens(tower.width)).map((indices) => ({
    ...tf.tidy(() => suffixGroup(tower, texts, indices, prompts, forTraining, change)),
    transposed,
  }));
}

function suffixGroup(
  tower: TextTower,
  texts: (number | ContextSlot)[][],
  indices: number[],
  prompts: number,
  forTraining: boolean,
  { from = 0, inserted = 0, whole = false }: SuffixChange = {},
): SuffixGroup {
  const first = whole ? 0 : 1 + prompts; // position of the first token of a suffix
  const suffixes = indices.map((index) => texts[index].slice(first));
  const C = indices.length;
  const S = Math.max(...suffixes.map((suffix) => suffix.length));
  const before = first + inserted; // keys before the suffix
  const K = before + S;
  const tokens = suffixes.flatMap((suffix, c) => suffix.map((id, s) => ({ id, s, padded: c * S + s })));
  const int32 = (values: number[]): Tensor1D => tf.tensor1d(values, "int32");
  const isToken = tf.tensor2d(
    tokens.map(({ id }) => (typeof id === "number" ? 1 : 0)),
    [tokens.length, 1],
  );
  const ids = tokens.map(({ id }) => (typeof id === "number" ? id : 0));
  const positions = tf.gather(tower.positions, int32(tokens.map(({ s }) => first + s)));
  const input = tf.add<Tensor2D>(tf.mul(tf.gather(tower.tokens, int32(ids)), isToken), positions);
  const rowSplits = tokens.flatMap(({ s }, r) => (s === 0 ? [r] : [])).concat(tokens.length);
  const scatterIndices = tokens.map(({ padded }) => padded);
  const isRagged = tokens.length < C * S;
  const afterEnd = suffixes.flatMap(({ length }) =>
    Array.from({ length: K }, (_, key) => (key >= before + length ? masked : 0)),
  );
  const ragged = isRagged
    ? { maxLength: S, scatterIndices: int32(scatterIndices), rowSplits: int32(rowSplits) }
    : undefined;
  let x = input;
  for (let i = 0; i < from; i++) {
    const prefixKV = whole ? undefined : tower.startKV[i];
    x = fastBlock(tower.blocks[i], x, C, { ragged, prefixKV, mask: causalMask(S, first) });
  }
  return {
    texts: indices,
    from,
    whole,
    x,
    ragged,
    endRows: int32(rowSplits.slice(1).map((next) => next - 1)),
    mask: causalMask(S, before),
    endMask: tf.tensor3d(afterEnd, [C, 1, K]),
    qkv: forTraining ? projectQKV(tower.blocks[from], x) : undefined,
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
 * @param prompts one set for each prompted block, a set for the input without its positions (they are added here); none
 *   for plain CLIP
 * @param additions what a method adds inside the blocks; the groups must be `whole` then
 */
export function encodeText(tower: TextTower, groups: SuffixGroup[], prompts: Prompts, additions?: Additions): Tensor2D {
  const contexts = contextTokens(tower, prompts, 1, groups[0]?.transposed);
  const totalTokens = groups.reduce((sum, { x }) => sum + x.shape[0], 0);
  const shared = prompts.find((set) => set)?.shape[0] ?? 0;
  const count = groups.reduce((sum, { texts }) => sum + texts.length, 0);
  /** Of contexts [count*P,D] that each text has for itself, those of a group's texts. */
  const ofTexts = (context: Tensor2D | undefined, { texts }: SuffixGroup): Tensor2D | undefined => {
    if (!context || context.shape[0] === shared) return context;
    const perText = tf.reshape(context, [count, -1]) as Tensor2D;
    return tf.reshape(gatherRows(perText, tf.tensor1d(texts, "int32")), [-1, tower.width]);
  };
  const rows = groups.map((group) => {
    const ofGroup = contexts.map((context) => ofTexts(context, group));
    return encodeGroup(tower, group, ofGroup, { totalTokens, additions });
  });
  return inTextOrder(rows, groups);
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
 * The tokens at the prompt positions before each block, [promptSets*P,D]: the block's own prompts, or what the block
 * before makes of the last ones. Blocks before the first set have none.
 * @param promptSets how many sets of P prompts the first entry of `prompts` holds, one after the other
 */
export function contextTokens(
  tower: TextTower,
  prompts: Prompts,
  promptSets = 1,
  transposed?: TransposedWeights[],
): (Tensor2D | undefined)[] {
  const contexts: (Tensor2D | undefined)[] = [];
  const firstSet = prompts.find((set) => set);
  if (!firstSet) return contexts;
  const P = firstSet.shape[0] / promptSets;
  const mask = causalMask(P, 1);
  const addPositions = (x: Tensor2D): Tensor2D =>
    tf.reshape(tf.add(tf.reshape(x, [promptSets, P, -1]), tf.slice(tower.positions, [1, 0], [P, -1])), x.shape);
  tower.blocks.forEach((_, i) => {
    const [set, before] = [prompts[i], contexts[i - 1]];
    if (set) contexts.push(i === 0 ? addPositions(set) : set);
    else if (before) {
      const inputs = { prefixKV: tower.startKV[i - 1], mask, transposed: transposed?.[i - 1] };
      contexts.push(fastBlock(tower.blocks[i - 1], before, before.shape[0] / P, inputs));
    } else contexts.push(undefined);
  });
  return contexts;
}

export type EncodeGroupOptions = {
  /** The tokens of the group itself are differentiable. */
  trainableTokens?: boolean;
  /** Tokens of all groups that one backward pass goes through: with many of them blocks recompute (block.ts). */
  totalTokens?: number;
  observe?: BlockObserver;
  /** What a method adds inside the blocks. */
  additions?: Additions;
};

/**
 * Features [C,E] of one group.
 * @param contexts tokens between the start token and the suffix, by block: [promptSets*P,D], where each set of P serves
 *   as many consecutive texts
 */
export function encodeGroup(
  tower: TextTower,
  group: SuffixGroup,
  contexts: (Tensor2D | undefined)[],
  { trainableTokens = false, totalTokens = group.x.shape[0], observe, additions }: EncodeGroupOptions = {},
): Tensor2D {
  const { from, whole } = group;
  const [S, K] = group.mask.shape;
  const contextKeys = K - S - (whole ? 0 : 1);
  const recomputed = tower.blocks.length - blocksWithoutRecompute(totalTokens, tower.width, savedMegabytes);
  const sequences = group.endRows.shape[0];
  let x = group.x;
  tower.blocks.forEach((w, i) => {
    if (i < from) return;
    const last = i === tower.blocks.length - 1;
    const input = x;
    const prompts = contexts[i];
    const inputs = {
      ragged: group.ragged,
      prefixKV: whole ? undefined : tower.startKV[i],
      prompts,
      promptSets: prompts && prompts.shape[0] / contextKeys,
      mask: last ? group.endMask : group.mask,
      queryRows: last ? group.endRows : undefined,
      frozenInput: !trainableTokens && (i === from || (contexts.length === 0 && !additions)),
      qkv: i === from ? group.qkv : undefined,
      recompute: i < recomputed,
      transposed: group.transposed?.[i],
    };
    observe?.(w, x, sequences, inputs);
    x = blockWithAdditions(additions, i, w, x, sequences, inputs);
    if (i > from) input.dispose(); // The block has saved what its backward pass needs of it.
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
