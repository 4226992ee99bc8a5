/**
 * Whom the token that becomes the feature attends to, block by block: CLS among the image tokens, the end token among a sentence's. Means over
 * the heads; for looking at, not differentiable. Shapes: B pictures, K keys.
 */
import { type BlockObserver, blockAttention } from "../clip/fast/block";
import { encodeImage, imageFront } from "../clip/fast/image";
import { contextTokens, encodeGroup, type Prompts, suffixGroups, tokenise } from "../clip/fast/text";
import type { Clip } from "../clip/model";
import type { Tensor4D } from "../engine/tf";
import { tf } from "../engine/tf";
import { promptSets } from "../methods/ivlp";
import type { Batch, Params, Task } from "../methods/method";
import { type ContextSettings, promptSentence } from "../methods/prompts";

/** Shares of CLS's attention in one block, by picture: [B][K] in the order CLS, patches row by row, prompts. */
export type ImageAttention = number[][];

/** Of each block. @param pixels normalised [B,3,R,R]. @param prompts as `encodeImage` takes them; none for the frozen model. */
export function imageAttention({ image }: Clip, pixels: Tensor4D, prompts: Prompts): ImageAttention[] {
  const blocks: ImageAttention[] = [];
  const observe: BlockObserver = (w, x, B, inputs) => {
    const tokens = x.shape[0] / B;
    const cls = Int32Array.from({ length: B }, (_, b) => b * tokens);
    const p = blockAttention(w, x, B, { ...inputs, qkv: undefined, queryRows: tf.tensor1d(cls, "int32") });
    const shares = tf.mean(p, [0, 2]); // [B,K]
    const before = inputs.prompts?.shape[0] ?? 0; // Prompts that are keys and values only come first.
    const ordered = tf.concat([tf.slice(shares, [0, before], [-1, -1]), tf.slice(shares, [0, 0], [-1, before])], 1);
    blocks.push(ordered.arraySync() as number[][]);
  };
  tf.tidy(() => {
    encodeImage(image, imageFront(image, pixels), prompts, observe);
  });
  return blocks;
}

/**
 * Shares of the end token's attention in each block, [blocks][K], K the tokens of the sentence in their order.
 * @param ids of the sentence, from the start token to the end token; where there are prompts they stand in for the tokens after the first.
 */
export function textAttention({ text }: Clip, ids: number[], prompts: Prompts): number[][] {
  const blocks: number[][] = [];
  tf.tidy(() => {
    const [group] = suffixGroups(text, [ids], prompts.length > 0 ? prompts[0].shape[0] : 0);
    const observe: BlockObserver = (w, x, sequences, inputs) => {
      const { endRows: queryRows, endMask: mask } = group;
      const p = blockAttention(w, x, sequences, { ...inputs, qkv: undefined, queryRows, mask });
      blocks.push(tf.mean(p, [0, 1, 2]).arraySync() as number[]);
    };
    encodeGroup(text, group, contextTokens(text, prompts), { observe });
  });
  return blocks;
}

/**
 * Shares of attention that go to prompts, by block, on average: of CLS in the image tower, of the end token in the text tower. Without
 * parameters: to the words in whose place the prompts stand, and nothing in the image tower.
 */
export function promptShares(
  { clip, classNames, config }: Task<ContextSettings>,
  { pixels }: Batch,
  params: Params,
): { image: number[]; text: number[] } {
  const { size, patch } = clip.image;
  const own = 1 + Math.floor(size / patch) ** 2;
  const image = imageAttention(clip, pixels, promptSets(params, "vision"));
  const context = promptSets(params, "text");
  const sentences = classNames.map((name) =>
    textAttention(clip, tokenise(clip, promptSentence(config, name)), context),
  );
  const words = 1 + config.tokens.text;
  return {
    image: image.map((rows) => share(rows, own)),
    text: clip.text.blocks.map((_, i) =>
      share(
        sentences.map((blocks) => blocks[i]),
        1,
        words,
      ),
    ),
  };
}

/** The part of the rows from one key to another, mean over the rows. */
const share = (rows: number[][], from: number, end?: number): number =>
  rows.reduce((sum, row) => sum + row.slice(from, end).reduce((a, b) => a + b, 0), 0) / rows.length;
