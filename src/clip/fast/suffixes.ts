/**
 * What of some texts the text encoder computes for each of them (text.ts): the tokens behind the prompts, up to the end
 * token, in groups of similar length.
 */
import { permuteRows } from "../../engine/autograd";
import type { Tensor1D, Tensor2D, Tensor3D } from "../../engine/tf";
import { tf } from "../../engine/tf";
import { UsageError } from "../../util/errors";
import { cleanText } from "../cleanText";
import type { Clip, TextTower } from "../model";
import type { RaggedLayout } from "./attention";
import { fastBlock, projectQKV } from "./block";
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

export function suffixGroup(
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

/** Transposed weights are faster where a weight is larger than a core's cache and the rows are few. Measured on x64. */
const transposeFromWidth = 512;
const transposeBelowTokens = 540;

/**
 * Tokens of one group, padding included. The largest array of a block then takes 8 MB, and more at once are no faster.
 */
export const maxGroupTokens = (width: number) => Math.ceil(2 ** 19 / width);

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
