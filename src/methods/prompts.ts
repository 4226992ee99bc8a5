/** Sentences about a class, and the initialisation of prompts: from the embeddings of words, or from noise. */

import { tokenise } from "../clip/fast/suffixes";
import type { Clip } from "../clip/model";
import type { Tensor, Tensor1D, Tensor2D } from "../engine/tf";
import { tf } from "../engine/tf";
import { UsageError } from "../util/errors";
import { seeded } from "../util/random";
import type { Params, Task } from "./method";

/** A class name as it appears in sentences: with spaces instead of underscores. */
export const plainName = (name: string): string => name.replaceAll("_", " ");

/**
 * Replaces `{}` in a template by the class name. The name is inserted literally, so that characters such as `$&` have
 * no special meaning.
 */
export const fillTemplate = (template: string, name: string): string => template.split("{}").join(plainName(name));

/** The settings of a context at the input of the text encoder. */
export type ContextSettings = { tokens: { text: number }; contextInit?: string };

/**
 * Initialises contexts of more than 4 tokens randomly, and only shorter ones from words (`ctx_init and n_ctx <= 4` in
 * the official trainers of PromptSRC and MaPLe; CoOp's official code has no such limit).
 */
export const wordsForShortContexts = <S extends ContextSettings>(settings: S): S =>
  settings.tokens.text > 4 ? { ...settings, contextInit: "" } : settings;

/** The words that initialise the context; for a random context, one placeholder "X" per token. */
export const contextWords = ({ tokens, contextInit }: ContextSettings): string =>
  contextInit ? contextInit.replaceAll("_", " ") : new Array(tokens.text).fill("X").join(" ");

/** The sentence of a class: context words, class name, full stop. */
export const promptSentence = (config: ContextSettings, name: string): string =>
  `${contextWords(config)} ${plainName(name)}.`;

/** The initial context [P,D] at the input of the text tower: the embeddings of `contextInit`, or noise. */
export const initialContext = (task: Task<ContextSettings>, name: string): Tensor => {
  const { tokens, contextInit } = task.config;
  return contextInit
    ? wordEmbeddings(task.clip, contextInit, tokens.text)
    : noise(task, name, [tokens.text, task.clip.text.width]);
};

/** Samples from N(0, std), by default N(0, 0.02); they depend only on the seed, the name and the shape. */
export function noise({ seed }: { seed: number }, name: string, shape: number[], std = 0.02): Tensor {
  const random = seeded("prompts", seed, name);
  return tf.tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => std * random.normal()),
    shape,
  );
}

/** Weight [out,in] and bias [out], initialised as by torch.nn.Linear: uniform in [-1/sqrt(in), 1/sqrt(in)]. */
export function initialLinear(
  { seed }: { seed: number },
  name: string,
  out: number,
  into: number,
): { weight: Tensor; bias: Tensor } {
  const random = seeded("prompts", seed, name);
  const uniform = (...shape: number[]) =>
    tf.tensor(
      Float32Array.from(
        { length: shape.reduce((a, b) => a * b, 1) },
        () => (2 * random.uniform() - 1) / Math.sqrt(into),
      ),
      shape,
    );
  return { weight: uniform(out, into), bias: uniform(out) };
}

/** A linear map's weight and bias as parameters `name.weight` and `name.bias`. */
export const named = (name: string, { weight, bias }: { weight: Tensor; bias: Tensor }): Params => ({
  [`${name}.weight`]: weight,
  [`${name}.bias`]: bias,
});

/** x weight^T + bias of the linear map with this name among the parameters. [R,in] -> [R,out] */
export const mapped = (x: Tensor2D, params: Params, name: string): Tensor2D =>
  tf.add(tf.matMul(x, params[`${name}.weight`] as Tensor2D, false, true), params[`${name}.bias`] as Tensor1D);

/** Embeddings [count,D] of the first `count` tokens of `words`. @throws UsageError if there are fewer tokens */
function wordEmbeddings(clip: Clip, words: string, count: number): Tensor {
  const ids = tokenise(clip, words.replaceAll("_", " ")).slice(1, -1);
  if (ids.length < count)
    throw new UsageError(
      `contextInit "${words}" has ${ids.length} tokens and tokens.text is ${count}: use more words, or contextInit= for a random context`,
    );
  return tf.tidy(() => tf.gather(clip.text.tokens, tf.tensor1d(ids.slice(0, count), "int32")));
}
