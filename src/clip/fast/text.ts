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
 * - the start token sees only itself: its keys and values are constants of the model (`TextTower.start`);
 * - prompts stand after the start token and see it and themselves: they are the same for all classes. Where the next
 *   block replaces them, only their keys and values matter; after the last replacement they run once, not once per
 *   class;
 * - so per class only the suffix runs (name, full stop, end token), and in the last block only its end token.
 */
import { layerNorm, permuteRows } from "../../engine/autograd";
import type { Tensor1D, Tensor2D, Tensor3D } from "../../engine/tf";
import { tf } from "../../engine/tf";
import type { Clip, TextTower } from "../model";
import type { Padding } from "./attention";
import { block, blocksThatKeep, project, type Watch } from "./block";
import { turn } from "./foldConstants";

/** Texts of which the longest has S tokens; what precedes them (start token, prompts) is shared. */
export type SuffixGroup = {
  /** Which texts, in the order in which they stand. */
  rows: number[];
  /** Token plus positional embeddings of all R tokens, one text behind the other, [R,D]. */
  x: Tensor2D;
  /** Where the texts have different lengths. */
  padding?: Padding;
  /** Rows of the end tokens, int32 [C]. */
  pick: Tensor1D;
  /** Additive masks over the keys start, P prompts, own (padded): [S,K] for all tokens, [C,1,K] for the end tokens. */
  mask: Tensor2D;
  endMask: Tensor3D;
  /** Block 0's queries, keys and values [R,3D]; computed once where the group is used again and again. */
  projected?: Tensor2D;
};

/** Deep prompts or contexts by block: entry i [P,D] stands in for the prompt positions before block i. */
export type Prompts = Tensor2D[];

const hidden = -1e9;

/** Ids of a text, cut after its end token. @throws where the text is longer than the model's context. */
export function tokenise(clip: Pick<Clip, "tokenizer" | "text">, text: string): number[] {
  const ids = clip.tokenizer.encode(text);
  const cut = ids.slice(0, clip.tokenizer.end(ids) + 1);
  const { context } = clip.text;
  if (cut.length > context) throw new Error(`"${text}" has ${cut.length} tokens, the model takes at most ${context}; shorten it`);
  return cut;
}

/**
 * Prepares the suffixes of texts whose first `1 + prompts` tokens are the start token and positions that prompts fill.
 * @param ids whole texts, cut after their end token; tokens 1..prompts are ignored. A negative id leaves its place blank: only its position
 *   is embedded.
 * @param keep block 0's projections are computed and kept (for training: they are frozen).
 * @returns groups that the caller disposes with `tf.dispose`.
 */
export function suffixGroups(tower: TextTower, ids: number[][], prompts: number, keep = false): SuffixGroup[] {
  const lengths = ids.map((all) => all.length - 1 - prompts);
  const short = lengths.findIndex((length) => length < 1);
  if (short >= 0)
    throw new Error(`text ${short} has ${ids[short].length} tokens: ${prompts} prompt tokens after the first leave nothing of it`);
  if (keep && tower.width >= wide && lengths.reduce((a, b) => a + b, 0) < fewTokens) tower.blocks.forEach(turn);
  return groupByLength(lengths, tokensAtOnce(tower.width)).map((rows) => tf.tidy(() => suffixGroup(tower, ids, rows, prompts, keep)));
}

function suffixGroup(tower: TextTower, ids: number[][], rows: number[], prompts: number, keep: boolean): SuffixGroup {
  const suffixes = rows.map((row) => ids[row].slice(1 + prompts));
  const C = rows.length;
  const S = Math.max(...suffixes.map((suffix) => suffix.length));
  const K = 1 + prompts + S;
  const tokens = suffixes.flatMap((suffix, c) => suffix.map((id, s) => ({ id, s, padded: c * S + s })));
  const column = (values: number[]): Tensor1D => tf.tensor1d(values, "int32");
  const filled = tf.tensor2d(
    tokens.map(({ id }) => (id < 0 ? 0 : 1)),
    [tokens.length, 1],
  );
  const embedded = tf.mul(tf.gather(tower.tokens, column(tokens.map(({ id }) => Math.max(id, 0)))), filled);
  const positions = tf.gather(tower.positions, column(tokens.map(({ s }) => 1 + prompts + s)));
  const x = tf.add<Tensor2D>(embedded, positions);
  const starts = tokens.flatMap(({ s }, r) => (s === 0 ? [r] : [])).concat(tokens.length);
  const padding =
    tokens.length < C * S ? { tokens: S, places: column(tokens.map(({ padded }) => padded)), starts: column(starts) } : undefined;
  const beyondEnd = suffixes.flatMap((suffix) => Array.from({ length: K }, (_, i) => (i >= 1 + prompts + suffix.length ? hidden : 0)));
  return {
    rows,
    x,
    padding,
    pick: column(starts.slice(1).map((next) => next - 1)),
    mask: causalMask(S, 1 + prompts),
    endMask: tf.tensor3d(beyondEnd, [C, 1, K]),
    projected: keep ? project(tower.blocks[0], x) : undefined,
  };
}

/** Additive mask [S, before + S]: token s sees all that stands before, and the own tokens up to itself. */
export function causalMask(tokens: number, before: number): Tensor2D {
  const K = before + tokens;
  const values = Float32Array.from({ length: tokens * K }, (_, i) => ((i % K) - before > Math.floor(i / K) ? hidden : 0));
  return tf.tensor2d(values, [tokens, K]);
}

/**
 * Features [C,E] of all groups' texts, not normalised, in the order of the texts; differentiable in the prompts.
 * @param prompts one set per prompted block, the first for the input (positions are added to it here); none for plain CLIP.
 */
export function encodeText(tower: TextTower, groups: SuffixGroup[], prompts: Prompts): Tensor2D {
  const contexts = contextTokens(tower, prompts);
  const tokens = groups.reduce((sum, { x }) => sum + x.shape[0], 0);
  return inOrder(
    groups.map((group) => encodeGroup(tower, group, contexts, { tokens })),
    groups.map((group) => group.rows),
  );
}

/** Puts the groups' features back into the order of the texts. */
export function inOrder(features: Tensor2D[], groups: number[][]): Tensor2D {
  const place: number[] = [];
  groups.flat().forEach((row, i) => {
    place[row] = i;
  });
  return permuteRows(features.length === 1 ? features[0] : tf.concat(features, 0), place);
}

/**
 * What stands at the prompt positions before each block, [sets*P,D]: a set of its own, or what the block before made of the last set.
 * @param sets how many sets of P prompts each entry holds, one behind the other.
 */
export function contextTokens(tower: TextTower, prompts: Prompts, sets = 1): Tensor2D[] {
  const contexts: Tensor2D[] = [];
  if (prompts.length === 0) return contexts;
  const P = prompts[0].shape[0] / sets;
  const mask = causalMask(P, 1);
  const positioned = (x: Tensor2D): Tensor2D =>
    tf.reshape(tf.add(tf.reshape(x, [sets, P, -1]), tf.slice(tower.positions, [1, 0], [P, -1])), x.shape);
  tower.blocks.forEach((_, i) => {
    if (i === 0) contexts.push(positioned(prompts[0]));
    else if (i < prompts.length) contexts.push(prompts[i]);
    else {
      contexts.push(block(tower.blocks[i - 1], contexts[i - 1], sets, { constant: tower.start[i - 1], mask }));
    }
  });
  return contexts;
}

/**
 * Features [C,E] of one group.
 * @param contexts tokens between the start token and the group's own, by block: [sets*P,D], one set or one for each run of texts.
 * @param learnt the group's own tokens are differentiable.
 * @param tokens of all groups that one gradient goes through: many leave no room to keep what it needs.
 */
export function encodeGroup(
  tower: TextTower,
  group: SuffixGroup,
  contexts: Tensor2D[],
  { sets = 1, learnt = false, tokens = group.x.shape[0], watch }: { sets?: number; learnt?: boolean; tokens?: number; watch?: Watch } = {},
): Tensor2D {
  const frugal = tower.blocks.length - blocksThatKeep(tokens, tower.width, keptMegabytes);
  let x = group.x;
  tower.blocks.forEach((w, i) => {
    const last = i === tower.blocks.length - 1;
    const before = x;
    const around = {
      padding: group.padding,
      constant: tower.start[i],
      prompts: contexts[i],
      sets,
      mask: last ? group.endMask : group.mask,
      pick: last ? group.pick : undefined,
      fixed: !learnt && (i === 0 || contexts.length === 0),
      projected: i === 0 ? group.projected : undefined,
      frugal: i < frugal,
    };
    watch?.(w, x, group.pick.shape[0], around);
    x = block(w, x, group.pick.shape[0], around);
    if (i > 0) before.dispose(); // what the gradient needs of it is kept by the block
  });
  return tf.matMul(layerNorm(x, tower.final), tower.projection);
}

/** Keys and values of the start token in each block. @returns tensors the caller owns. */
export function startConstants(tower: Omit<TextTower, "start">, startId: number): TextTower["start"] {
  return tf.tidy(() => {
    let x = tf.add<Tensor2D>(tf.slice(tower.tokens, [startId, 0], [1, -1]), tf.slice(tower.positions, [0, 0], [1, -1]));
    return tower.blocks.map((w) => {
      const keyValue = tf.slice(project(w, x), [0, tower.width], [1, -1]);
      x = block(w, x, 1);
      return keyValue;
    });
  });
}

/** Features [C,E] of any texts by the frozen encoder, not normalised; in chunks, so that thousands of texts fit in memory. */
export function encodeTexts(clip: Pick<Clip, "tokenizer" | "text">, texts: string[]): Tensor2D {
  const ids = texts.map((text) => tokenise(clip, text));
  const groups = groupByLength(
    ids.map((all) => all.length - 1),
    tokensAtOnce(clip.text.width),
  );
  return tf.tidy(() => {
    const features = groups.map((rows) => tf.tidy(() => encodeGroup(clip.text, suffixGroup(clip.text, ids, rows, 0, false), [])));
    return inOrder(features, groups);
  });
}

/** For the gradient; reached with about 170 classes at width 512 and 12 blocks. */
const keptMegabytes = 160;

/** Where products with the turned weights are faster (block.ts, `product`): maps larger than a core's cache, and few rows. */
const wide = 512;
const fewTokens = 540;

/** Tokens of one group, padding and all: the largest array of a block then takes 8 MB, and more at once are no faster. */
const tokensAtOnce = (width: number) => Math.ceil(2 ** 19 / width);

/** Texts by length in groups of at most `most` tokens once all are as long as the longest of their group (a longer text stands alone). */
export function groupByLength(lengths: number[], most: number): number[][] {
  const groups: number[][] = [];
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[a] - lengths[b] || a - b);
  for (const i of order) {
    const last = groups[groups.length - 1];
    if (last && (last.length + 1) * lengths[i] <= most) last.push(i);
    else groups.push([i]);
  }
  return groups;
}
