/** What prompt learners start from: sentences, their words' embeddings, noise. */

import { tokenise } from "../clip/fast/text";
import type { Clip } from "../clip/model";
import type { Tensor } from "../engine/tf";
import { tf } from "../engine/tf";
import { seeded } from "../util/random";
import type { Task } from "./method";

/** Words are used as initial context up to this many tokens (`ctx_init and n_ctx <= 4`). */
const longestFromWords = 4;

/** A class name as sentences use it. */
export const plainName = (name: string): string => name.replaceAll("_", " ");

/** A template with the class name in place of `{}`. A name is data: nothing in it is read as a pattern (`$&` stays `$&`). */
export const fillTemplate = (template: string, name: string): string => template.split("{}").join(plainName(name));

/** Whether the context starts from words. */
export const fromWords = ({ tokens, init }: Task["config"]): boolean => init !== "" && tokens.text <= longestFromWords;

/** The sentence of a class: context words, name, full stop. A random context has no words, but as many stand-ins "X". */
export function promptSentence(config: Task["config"], name: string): string {
  const words = fromWords(config) ? config.init.replaceAll("_", " ") : new Array(config.tokens.text).fill("X").join(" ");
  return `${words} ${plainName(name)}.`;
}

/** The input context of the text tower [P,D]: the embeddings of its words, or noise. */
export const initialContext = (task: Task, name: string): Tensor => {
  const { clip, config } = task;
  const { text } = config.tokens;
  if (text < 1) throw new Error(`the text tower needs at least 1 token; got ${text}`);
  return fromWords(config) ? wordEmbeddings(clip, config.init, text) : noise(task, name, [text, clip.text.width]);
};

/** N(0, 0.02), a function of the seed and the name alone. */
export function noise({ seed }: Task, name: string, shape: number[], std = 0.02): Tensor {
  const random = seeded("prompts", seed, name);
  return tf.tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => std * random.normal()),
    shape,
  );
}

/** Weight [out,in] and bias [out] as torch.nn.Linear starts them: uniform within 1/sqrt(in). */
export function initialLinear({ seed }: Task, name: string, out: number, into: number): { weight: Tensor; bias: Tensor } {
  const random = seeded("prompts", seed, name);
  const uniform = (...shape: number[]) =>
    tf.tensor(
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (2 * random.uniform() - 1) / Math.sqrt(into)),
      shape,
    );
  return { weight: uniform(out, into), bias: uniform(out) };
}

/** Token embeddings [count,D] of the first tokens of some words. */
function wordEmbeddings(clip: Clip, words: string, count: number): Tensor {
  const ids = tokenise(clip, words.replaceAll("_", " ")).slice(1, -1);
  if (ids.length < count)
    throw new Error(`"${words}" has ${ids.length} tokens, the context needs ${count}; give more words or fewer tokens`);
  return tf.tidy(() => tf.gather(clip.text.tokens, tf.tensor1d(ids.slice(0, count), "int32")));
}
