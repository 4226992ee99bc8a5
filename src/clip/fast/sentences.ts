/**
 * Texts that share no prefix, on top of text.ts: a context in the middle or at the end of a sentence, a context of each
 * class, a context of each image. They keep the other savings: nothing behind the end token runs, the start token is a
 * constant, and in the last block only the end token asks. They assume what text.ts does, but that contexts enter at
 * the input alone and stand anywhere before the end token; what needs more than that takes ../reference.ts.
 * Shapes: B images, C classes, S tokens of a text's own, P context tokens, D width, E joint embedding.
 */
import { permuteRows, pickRows } from "../../engine/autograd";
import type { Tensor1D, Tensor2D, Tensor3D } from "../../engine/tf";
import { tf } from "../../engine/tf";
import type { TextTower } from "../model";
import { contextTokens, encodeGroup, inOrder, type SuffixGroup, suffixGroups } from "./text";

/** Where context token k of P stands among a text's ids: a blank that the context fills. */
export const contextPlace = (k: number): number => -1 - k;

/** Texts with blanks; `place` [C,S,P] is 1 where a context token stands, else 0. */
export type SentenceGroup = SuffixGroup & { place: Tensor3D };

/**
 * @param ids whole texts, cut after their end token, with `contextPlace(k)` where context token k of `tokens` stands.
 * @returns groups that the caller disposes with `tf.dispose`.
 */
export const sentenceGroups = (tower: TextTower, ids: number[][], tokens: number): SentenceGroup[] =>
  suffixGroups(tower, ids, 0).map((group) => {
    const C = group.rows.length;
    const [S] = group.mask.shape;
    const place = new Float32Array(C * S * tokens);
    group.rows.forEach((row, c) => {
      ids[row].slice(1).forEach((id, s) => {
        if (id < 0) place[(c * S + s) * tokens + (-1 - id)] = 1;
      });
    });
    return { ...group, place: tf.tensor3d(place, [C, S, tokens]) };
  });

/**
 * Features [C,E], not normalised, in the order of the texts; differentiable in the context.
 * @param context [P,D] of all texts, or [C,P,D] of each; positions are added to it here.
 */
export function encodeSentences(tower: TextTower, groups: SentenceGroup[], context: Tensor2D | Tensor3D): Tensor2D {
  const [P, D] = context.shape.slice(-2);
  const rows = groups.flatMap((group) => group.rows);
  const each = context.rank === 3 ? permuteRows(tf.reshape(context, [rows.length, P * D]), rows) : undefined;
  let done = 0;
  const features = groups.map((group) => {
    const C = group.rows.length;
    const own = each
      ? tf.matMul(group.place, tf.reshape(tf.slice(each, [done, 0], [C, -1]), [C, P, D]) as Tensor3D)
      : tf.matMul(tf.reshape(group.place, [-1, P]) as Tensor2D, context as Tensor2D);
    done += C;
    const padded = tf.reshape(own, [-1, D]) as Tensor2D;
    const x = tf.add<Tensor2D>(group.x, group.padding ? pickRows(padded, group.padding.places) : padded);
    return encodeGroup(tower, { ...group, x }, [], { learnt: true });
  });
  return inOrder(
    features,
    groups.map((group) => group.rows),
  );
}

/**
 * Features of all texts behind each image's context: one [B,C,E] per group, not normalised, rows as in the group; differentiable in the
 * contexts. A context's own tokens run once per image, not once per image and class.
 * @param contexts [B*P,D], at the input; positions are added to them here.
 */
export function encodeForImages(tower: TextTower, groups: SuffixGroup[], contexts: Tensor2D, images: number): Tensor3D[] {
  const before = contextTokens(tower, [contexts], images);
  return groups.map((group) => {
    const C = group.rows.length;
    /** Row numbers of one image's texts, of all images' when each has `count` rows. */
    const forAll = (rows: Tensor1D, count: number): Tensor1D =>
      tf.reshape(tf.add(rows, tf.reshape(tf.range(0, images * count, count, "int32"), [images, 1])), [-1]);
    const R = group.x.shape[0];
    const { padding } = group;
    const many: SuffixGroup = {
      ...group,
      x: tf.tile(group.x, [images, 1]),
      padding: padding && {
        ...padding,
        places: forAll(padding.places, C * padding.tokens),
        starts: tf.concat([forAll(tf.slice(padding.starts, [0], [C]), R), tf.tensor1d([images * R], "int32")]),
      },
      pick: forAll(group.pick, R),
      endMask: tf.tile(group.endMask, [images, 1, 1]),
      projected: group.projected && tf.tile(group.projected, [images, 1]),
    };
    return tf.reshape(encodeGroup(tower, many, before, { sets: images }), [images, C, -1]);
  });
}
