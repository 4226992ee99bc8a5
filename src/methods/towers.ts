/**
 * What a host changes in the two encoders, as one record for each, and the fast encoders that follow from it
 * (clip/fast). The reference encoder takes the same record (test/methods/referenceEncoders.ts), which is how a method is
 * checked on both.
 * Shapes: B images, C classes, P prompt tokens, D width, E joint embedding.
 */
import type { Additions } from "../clip/additions";
import { encodeImage, encodeImageAndPrompts, type ImageFront } from "../clip/fast/image";
import { suffixGroups, tokenise } from "../clip/fast/suffixes";
import { encodeText, type Prompts } from "../clip/fast/text";
import type { Rank, Tensor2D, Tensor3D, Tensor4D } from "../engine/tf";
import { tf } from "../engine/tf";
import { zeroShotMean } from "./frozenText";
import type { Params, Part, Task } from "./method";
import { type ContextSettings, fillTemplate, promptSentence } from "./prompts";

/**
 * The part of a batch that does not depend on the parameters: its normalised pixels [B,3,R,R], and what is computed at
 * the first call and then reused: `front(i)`, the input of block i of the fast image encoder (0 by default), and the
 * frozen CLIP's image features [B,E], `features()` of unit length. `at` is the batch's epoch and step, which seed random
 * draws.
 */
export type Frozen = {
  pixels: Tensor4D;
  front(block?: number): ImageFront;
  rawFeatures(): Tensor2D;
  features(): Tensor2D;
  at: [number, number];
};

/** Image features [B,E] of a host, not normalised: `f`, and others that its head reads. */
export type ImageFeatures = { f: Tensor2D } & Record<string, Tensor2D>;

export type Encoders = {
  /**
   * Class features [C,E], not normalised, differentiable in the parameters.
   * @param at epoch and step in training
   */
  text(params: Params, at?: [number, number]): Tensor2D;
  /**
   * Image features, not normalised. The first call computes everything that does not depend on the parameters, the
   * second is differentiable in them.
   */
  image(batch: Frozen): (params: Params) => ImageFeatures;
  /** Frees the tensors that were computed for the class names. */
  dispose(): void;
};

type At = [epoch: number, step: number];

/** Changes of one encoder. The functions are differentiable in the parameters. */
type Change = {
  /** The first block, from 0, that is changed; the blocks before it are those of frozen CLIP. 0 by default. */
  from?: number;
  /** Prompts by block, see `Prompts`. In the image encoder they follow the image's tokens. */
  prompts?(params: Params): Prompts;
  /** What is added inside the blocks. @param at epoch and step in training */
  additions?(params: Params, at?: At): Additions;
};

type TextChange = Change & {
  /** The sentence of a class. */
  sentence(className: string): string;
  /** How many of its first tokens give way to the prompts of block 0. */
  replaced?: number;
  /** How many prompts enter before block `from`, behind the start token, without taking the place of tokens. */
  inserted?: number;
};

type ImageChange = Change & {
  /**
   * Further image features [B,E], not normalised, from the outputs [B,P,D] of the last block's prompts, after the last
   * layer norm.
   */
  read?(params: Params, outputs: Tensor3D): Record<string, Tensor2D>;
};

/** An encoder without changes is frozen CLIP's; texts are then the sentences of zero-shot CLIP. */
export type TowerChanges = {
  text?: TextChange;
  image?: ImageChange;
  /** Frees the tensors that were computed for the class names. */
  dispose?(): void;
};

/** A learnable context in place of the first words of the sentence, and perhaps deep prompts in later blocks. */
export const contextInPlace = (
  { config }: Task<ContextSettings>,
  prompts: (params: Params) => Prompts,
): TextChange => ({ sentence: (name) => promptSentence(config, name), replaced: config.tokens.text, prompts });

/** Numbers, from 0, of the blocks of an encoder that lie in a range counted from 1; at least its last block. */
export const blocksIn = ({ from, to }: { from: number; to: number }, blocks: unknown[]): number[] => {
  const [first, last] = [Math.min(from, blocks.length) - 1, Math.min(to, blocks.length) - 1];
  return Array.from({ length: Math.max(1, last - first + 1) }, (_, i) => first + i);
};

/** The first of the sentences of zero-shot CLIP, for methods that have one sentence. */
export const ownSentence =
  ({ config }: Task<{ zeroShotTemplates: string[] }>) =>
  (className: string): string =>
    fillTemplate(config.zeroShotTemplates[0], className);

/** The fast encoders with these changes. */
export function changedEncoders({ clip, classNames, config }: Task, { text, image, dispose }: TowerChanges): Encoders {
  const groups = text
    ? suffixGroups(
        clip.text,
        classNames.map((name) => tokenise(clip, text.sentence(name))),
        text.replaced ?? 0,
        true,
        { from: text.from, inserted: text.inserted, whole: text.additions !== undefined },
      )
    : [];
  const frozenText = text ? undefined : zeroShotMean(clip, classNames, config.zeroShotTemplates);
  return {
    text: (params, at) =>
      text
        ? encodeText(clip.text, groups, text.prompts?.(params) ?? [], text.additions?.(params, at))
        : tf.clone(frozenText as Tensor2D),
    image({ front, rawFeatures, at }) {
      if (!image) {
        const f = rawFeatures();
        return () => ({ f });
      }
      const tokens = front(image.from);
      return (params): ImageFeatures => {
        const prompts = image.prompts?.(params) ?? [];
        const options = { additions: image.additions?.(params, at) };
        if (!image.read) return { f: encodeImage(clip.image, tokens, prompts, options) };
        const { features, outputs } = encodeImageAndPrompts(clip.image, tokens, prompts, options);
        return { f: features, ...image.read(params, outputs) };
      };
    },
    dispose() {
      tf.dispose([groups, frozenText] as any);
      dispose?.();
    },
  };
}

/**
 * Where changes act: the prompts that there are, and the blocks to which something is added, asked for one token.
 * @param params initial parameters, which are freed
 */
export function partsOf({ clip }: Task, { text, image, dispose }: TowerChanges, params: Params): Part[] {
  const parts = (
    [
      ["text", text],
      ["image", image],
    ] as const
  ).flatMap(
    ([place, change]): Part[] =>
      tf.tidy(() => {
        const blocks = [...clip[place].blocks.keys()];
        const prompts = change?.prompts?.(params) ?? [];
        const added = change?.additions?.(params);
        const y = tf.zeros<Rank.R2>([1, clip[place].width]);
        return blocks.flatMap((block): Part[] => [
          ...(prompts[block] ? [{ place, block, kind: "prompts" } as const] : []),
          ...(added?.attention?.(block, y) ? [{ place, block, kind: "low-rank maps" } as const] : []),
          ...(added?.output?.(block, y) ? [{ place, block, kind: "adapter" } as const] : []),
        ]);
      }) as any,
  );
  tf.dispose(params);
  dispose?.();
  return parts;
}
