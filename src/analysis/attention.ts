/**
 * Attention weights, in every block, of the token whose output becomes the feature: the CLS token over the image
 * tokens, and the end token over the tokens of a sentence. The weights are means over the heads. They are meant for
 * inspection and are not differentiable. Shapes: B images, K keys.
 */
import { type BlockObserver, blockAttention } from "../clip/fast/block";
import { encodeImage, imageFront } from "../clip/fast/image";
import { suffixGroups, tokenise } from "../clip/fast/suffixes";
import { contextTokens, encodeGroup, type Prompts } from "../clip/fast/text";
import type { Clip } from "../clip/model";
import type { Tensor4D } from "../engine/tf";
import { tf } from "../engine/tf";
import { promptSets } from "../methods/ivlp";
import type { Batch, Params, Task } from "../methods/method";
import { type ContextSettings, promptSentence } from "../methods/prompts";

/** Attention weights of CLS in one block: [B][K], with the keys in the order CLS, patches row by row, prompts. */
export type ImageAttention = number[][];

/**
 * Attention weights of CLS in each block.
 * @param pixels normalised, [B,3,R,R]
 * @param prompts in the form that `encodeImage` takes; empty for the frozen model
 */
export function imageAttention({ image }: Clip, pixels: Tensor4D, prompts: Prompts): ImageAttention[] {
  const blocks: ImageAttention[] = [];
  const observe: BlockObserver = (w, x, B, inputs) => {
    const tokens = x.shape[0] / B;
    const cls = Int32Array.from({ length: B }, (_, b) => b * tokens);
    const p = blockAttention(w, x, B, { ...inputs, qkv: undefined, queryRows: tf.tensor1d(cls, "int32") });
    const shares = tf.mean(p, [0, 2]); // [B,K]
    const promptKeys = inputs.prompts?.shape[0] ?? 0; // Prompts that are only keys and values (no queries) come first.
    const ordered = tf.concat(
      [tf.slice(shares, [0, promptKeys], [-1, -1]), tf.slice(shares, [0, 0], [-1, promptKeys])],
      1,
    );
    blocks.push(ordered.arraySync() as number[][]);
  };
  tf.tidy(() => {
    encodeImage(image, imageFront(image, pixels), prompts, { observe });
  });
  return blocks;
}

/**
 * Attention weights of the end token in each block, [blocks][K], where the K keys are the tokens of the sentence in
 * order.
 * @param ids token ids of the sentence, from the start token to the end token; the prompts, if there are any, replace
 *   the tokens after the first
 */
export function textAttention({ text }: Clip, ids: number[], prompts: Prompts): number[][] {
  const blocks: number[][] = [];
  tf.tidy(() => {
    const [group] = suffixGroups(text, [ids], prompts[0]?.shape[0] ?? 0);
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
 * Share of the attention that goes to the prompts in each block: of CLS in the image tower (mean over the images) and
 * of the end token in the text tower (mean over the classes). Without parameters, the text tower gives the share of the
 * words that the prompts would replace, and the image tower gives 0.
 */
export function promptShares(
  { clip, classNames, config }: Task<ContextSettings>,
  { pixels }: Batch,
  params: Params,
): { image: number[]; text: number[] } {
  const { size, patch } = clip.image;
  const imageTokens = 1 + Math.floor(size / patch) ** 2;
  const image = imageAttention(clip, pixels, promptSets(params, "vision"));
  const context = promptSets(params, "text");
  const sentences = classNames.map((name) =>
    textAttention(clip, tokenise(clip, promptSentence(config, name)), context),
  );
  const contextEnd = 1 + config.tokens.text;
  return {
    image: image.map((rows) => share(rows, imageTokens)),
    text: clip.text.blocks.map((_, i) =>
      share(
        sentences.map((blocks) => blocks[i]),
        1,
        contextEnd,
      ),
    ),
  };
}

/** Attention that goes to the keys from `from` to before `end`, as a mean over the rows. */
const share = (rows: number[][], from: number, end?: number): number =>
  rows.reduce((sum, row) => sum + row.slice(from, end).reduce((a, b) => a + b, 0), 0) / rows.length;
