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
import { frozenLayerNorm, gatherRows } from "../../engine/autograd";
import type { Tensor2D } from "../../engine/tf";
import { tf } from "../../engine/tf";
import type { Additions } from "../additions";
import type { Clip, TextTower } from "../model";
import { type BlockObserver, blocksWithoutRecompute, blockWithAdditions, fastBlock, projectQKV } from "./block";
import type { TransposedWeights } from "./foldConstants";
import {
  causalMask,
  groupByLength,
  inTextOrder,
  maxGroupTokens,
  type SuffixGroup,
  suffixGroup,
  tokenise,
} from "./suffixes";

/**
 * Deep prompts or contexts by block: entry i [P,D] replaces the prompt positions before block i. In texts it may also be
 * [C*P,D], with P tokens for each text. Where there is no entry, the tokens are those that the block before gives.
 */
export type Prompts = (Tensor2D | undefined)[];

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
