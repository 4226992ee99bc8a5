/** What prompt learners start from: sentences, their words' embeddings, noise. */

import { tokenise } from "../clip/fast/text";
import type { Clip } from "../clip/model";
import type { Tensor } from "../engine/tf";
import { tf } from "../engine/tf";
import { UsageError } from "../util/errors";
import { seeded } from "../util/random";
import type { Task } from "./method";

/** A class name as sentences use it. */
export const plainName = (name: string): string => name.replaceAll("_", " ");

/** A template with the class name in place of `{}`. A name is data: nothing in it is read as a pattern (`$&` stays `$&`). */
export const fillTemplate = (template: string, name: string): string => template.split("{}").join(plainName(name));

/** The settings of a context at the input of the text encoder. */
export type ContextSettings = { tokens: { text: number }; contextInit?: string };

/**
 * Words are the initial context of up to 4 tokens; a longer one is random (`ctx_init and n_ctx <= 4` in the trainers of PromptSRC and MaPLe;
 * CoOp's own code has no such limit).
 */
export const wordsForShortContexts = <S extends ContextSettings>(settings: S): S =>
  settings.tokens.text > 4 ? { ...settings, contextInit: "" } : settings;

/** The words that the context starts from; a random context has as many stand-ins "X". */
export const contextWords = ({ tokens, contextInit }: ContextSettings): string =>
  contextInit ? contextInit.replaceAll("_", " ") : new Array(tokens.text).fill("X").join(" ");

/** The sentence of a class: context words, name, full stop. */
export const promptSentence = (config: ContextSettings, name: string): string =>
  `${contextWords(config)} ${plainName(name)}.`;

/** The input context of the text tower [P,D]: the embeddings of its words, or noise. */
export const initialContext = (task: Task<ContextSettings>, name: string): Tensor => {
  const { tokens, contextInit } = task.config;
  return contextInit
    ? wordEmbeddings(task.clip, contextInit, tokens.text)
    : noise(task, name, [tokens.text, task.clip.text.width]);
};

/** N(0, 0.02), a function of the seed and the name alone. */
export function noise({ seed }: { seed: number }, name: string, shape: number[], std = 0.02): Tensor {
  const random = seeded("prompts", seed, name);
  return tf.tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => std * random.normal()),
    shape,
  );
}

/** Weight [out,in] and bias [out] as torch.nn.Linear starts them: uniform within 1/sqrt(in). */
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

/** Token embeddings [count,D] of the first tokens of some words. */
function wordEmbeddings(clip: Clip, words: string, count: number): Tensor {
  const ids = tokenise(clip, words.replaceAll("_", " ")).slice(1, -1);
  if (ids.length < count)
    throw new UsageError(
      `contextInit "${words}" has ${ids.length} tokens and tokens.text is ${count}: give as many words as tokens, or contextInit= for a random start`,
    );
  return tf.tidy(() => tf.gather(clip.text.tokens, tf.tensor1d(ids.slice(0, count), "int32")));
}
