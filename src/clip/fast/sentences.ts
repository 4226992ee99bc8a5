/**
 * Texts that share no prefix, on top of text.ts: a context in the middle or at the end of a sentence, a context for
 * each class, a context for each image. They keep the other savings: nothing after the end token runs, the start token
 * is a constant, and in the last block only the end token is a query. They assume what text.ts does, except that
 * contexts enter at the input alone and stand anywhere before the end token; what needs more than that takes
 * ../reference.ts. Shapes: B images, C classes, S tokens of a suffix, P context tokens, D width, E joint embedding.
 */
import { gatherRows, permuteRows } from "../../engine/autograd";
import type { Tensor1D, Tensor2D, Tensor3D } from "../../engine/tf";
import { tf } from "../../engine/tf";
import type { TextTower } from "../model";
import { type ContextSlot, inTextOrder, type SuffixGroup, suffixGroups } from "./suffixes";
import { contextTokens, encodeGroup } from "./text";

/** Texts with context slots; `slots` [C,S,P] is 1 where a context token stands, else 0. */
export type SentenceGroup = SuffixGroup & { slots: Tensor3D };

/**
 * @param texts whole texts, cut after their end token, with `{ slot: p }` where context token p of P stands
 * @returns groups that the caller disposes with `tf.dispose`
 */
export const sentenceGroups = (tower: TextTower, texts: (number | ContextSlot)[][], P: number): SentenceGroup[] =>
  suffixGroups(tower, texts, 0).map((group) => {
    const C = group.texts.length;
    const [S] = group.mask.shape;
    const slots = new Float32Array(C * S * P);
    group.texts.forEach((text, c) => {
      texts[text].slice(1).forEach((id, s) => {
        if (typeof id !== "number") slots[(c * S + s) * P + id.slot] = 1;
      });
    });
    return { ...group, slots: tf.tensor3d(slots, [C, S, P]) };
  });

/**
 * Features [C,E], not normalised, in the order of the texts; differentiable in the context.
 * @param context [P,D] for all texts, or [C,P,D] with one for each; positions are added to it here
 */
export function encodeSentences(tower: TextTower, groups: SentenceGroup[], context: Tensor2D | Tensor3D): Tensor2D {
  const [P, D] = context.shape.slice(-2);
  const order = groups.flatMap(({ texts }) => texts);
  const perText = context.rank === 3 ? permuteRows(tf.reshape(context, [order.length, P * D]), order) : undefined;
  let done = 0;
  const features = groups.map((group) => {
    const C = group.texts.length;
    const inSlots = perText
      ? tf.matMul(group.slots, tf.reshape(tf.slice(perText, [done, 0], [C, -1]), [C, P, D]) as Tensor3D)
      : tf.matMul(tf.reshape(group.slots, [-1, P]) as Tensor2D, context as Tensor2D);
    done += C;
    const padded = tf.reshape(inSlots, [-1, D]) as Tensor2D;
    const x = tf.add<Tensor2D>(group.x, group.ragged ? gatherRows(padded, group.ragged.scatterIndices) : padded);
    return encodeGroup(tower, { ...group, x }, [], { trainableTokens: true });
  });
  return inTextOrder(features, groups);
}

/**
 * Features of all texts with each image's context: one [B,C,E] for each group, not normalised, texts as in the group;
 * differentiable in the contexts. The context tokens run once for each image, not once for each image and class.
 * @param contexts [B*P,D], at the input; positions are added to them here
 */
export function encodeForImages(
  tower: TextTower,
  groups: SuffixGroup[],
  contexts: Tensor2D,
  images: number,
): Tensor3D[] {
  const perBlock = contextTokens(tower, [contexts], images);
  return groups.map((group) => {
    const C = group.texts.length;
    /** Row indices of one image's texts -> those of all images' texts, each image with `count` rows. */
    const forAllImages = (rows: Tensor1D, count: number): Tensor1D =>
      tf.reshape(tf.add(rows, tf.reshape(tf.range(0, images * count, count, "int32"), [images, 1])), [-1]);
    const R = group.x.shape[0];
    const { ragged } = group;
    const repeated: SuffixGroup = {
      ...group,
      x: tf.tile(group.x, [images, 1]),
      ragged: ragged && {
        ...ragged,
        scatterIndices: forAllImages(ragged.scatterIndices, C * ragged.maxLength),
        rowSplits: tf.concat([
          forAllImages(tf.slice(ragged.rowSplits, [0], [C]), R),
          tf.tensor1d([images * R], "int32"),
        ]),
      },
      endRows: forAllImages(group.endRows, R),
      endMask: tf.tile(group.endMask, [images, 1, 1]),
      qkv: group.qkv && tf.tile(group.qkv, [images, 1]),
    };
    return tf.reshape(encodeGroup(tower, repeated, perBlock), [images, C, -1]);
  });
}
