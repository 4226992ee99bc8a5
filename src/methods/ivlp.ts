/**
 * IVLP, independent vision-language prompting: deep prompts in both towers, trained by cross-entropy alone. It is PromptSRC's
 * baseline, and its parameters and encoders are PromptSRC's (muzairkhattak/PromptSRC trainers/independentVLP.py and
 * clip/model.py, ResidualAttentionBlock_IVLP). [paper, section 3.1; the code replaces the words "a photo of a" by the context.]
 * Without prompts in one tower it is deep language prompting, or deep vision prompting (VPT deep) with the sentences of zero-shot CLIP.
 */
import { encodeImage } from "../clip/fast/image";
import { encodeText, type Prompts, type SuffixGroup, suffixGroups, tokenise } from "../clip/fast/text";
import { bothPrompts, imagePrompts, textPrompts, zeroShotTemplates } from "../configs/settings";
import { l2Normalise } from "../engine/autograd";
import type { Tensor2D } from "../engine/tf";
import { tf } from "../engine/tf";
import { zeroShotText } from "./frozenText";
import type { Params, Task } from "./method";
import { type Encoders, host, promptLearner } from "./promptLearner";
import { type ContextSettings, initialContext, noise, promptSentence, wordsForShortContexts } from "./prompts";

/** Settings of deep prompts; an encoder without a depth has none. */
type DeepPrompts = {
  depth: { text?: number; image?: number };
  tokens: { text?: number; image?: number };
  contextInit?: string;
};

/** How many blocks, from the first, have prompts of their own in each encoder. */
export function promptedBlocks({ clip, config: { depth } }: Task<Pick<DeepPrompts, "depth">>): {
  text: number;
  image: number;
} {
  return {
    text: Math.min(depth.text ?? 0, clip.text.blocks.length),
    image: Math.min(depth.image ?? 0, clip.image.blocks.length),
  };
}

/** `text.0` (input), `text.i`, `vision.0`, `vision.i` (before block i): the text tower's input set from words, all others N(0, 0.02). */
export function initialPrompts(task: Task<DeepPrompts>): Params {
  const { clip, config } = task;
  const { text = 0, image = 0 } = config.tokens;
  const blocks = promptedBlocks(task);
  const params: Params = {};
  for (let i = 0; i < blocks.text; i++) {
    const name = `text.${i}`;
    const context = { ...task, config: { tokens: { text }, contextInit: config.contextInit } };
    params[name] = i === 0 ? initialContext(context, name) : noise(task, name, [text, clip.text.width]);
  }
  for (let i = 0; i < blocks.image; i++) params[`vision.${i}`] = noise(task, `vision.${i}`, [image, clip.image.width]);
  return params;
}

/** The tensors `name.0`, `name.1` ... in this order. */
export function promptSets(params: Params, name: string): Tensor2D[] {
  const tensors: Tensor2D[] = [];
  while (`${name}.${tensors.length}` in params) tensors.push(params[`${name}.${tensors.length}`] as Tensor2D);
  return tensors;
}

/** The class names behind the context, ready for `encodeText`; the caller disposes them. */
export function classSuffixes({ clip, classNames, config }: Task<ContextSettings>): SuffixGroup[] {
  const ids = classNames.map((name) => tokenise(clip, promptSentence(config, name)));
  return suffixGroups(clip.text, ids, config.tokens.text, true);
}

/** A tower's prompts made of the parameters; a tower without is the frozen one. */
export type TowerPrompts = { text?(params: Params): Prompts; image?(params: Params): Prompts };

/** Encoders with prompts; without any in the text encoder, it reads the sentences of zero-shot CLIP. */
export function promptedEncoders(task: Task, { text, image }: TowerPrompts): Encoders {
  const { clip, classNames, config } = task;
  const suffixes = text ? classSuffixes(task as Task<ContextSettings>) : [];
  const still = text ? undefined : zeroShotText(clip, classNames, config.zeroShotTemplates);
  return {
    text: (params) => (text ? l2Normalise(encodeText(clip.text, suffixes, text(params))) : tf.clone(still as Tensor2D)),
    image({ front, features }) {
      if (image) {
        const shared = front();
        return (params) => l2Normalise(encodeImage(clip.image, shared, image(params)));
      }
      const f = features();
      return () => f;
    },
    dispose: () => tf.dispose([suffixes, still] as any),
  };
}

const textParams = (params: Params) => promptSets(params, "text");
const imageParams = (params: Params) => promptSets(params, "vision");

/** Prompts in both encoders, or in one of them. */
export const independent = host({
  settings: bothPrompts,
  resolve: wordsForShortContexts,
  init: initialPrompts,
  encoders: (task) =>
    promptedEncoders(task, { text: textParams, image: promptedBlocks(task).image > 0 ? imageParams : undefined }),
});
const textAlone = host({
  settings: textPrompts,
  resolve: wordsForShortContexts,
  init: initialPrompts,
  encoders: (task) => promptedEncoders(task, { text: textParams }),
});
const imageAlone = host({
  settings: { ...imagePrompts, zeroShotTemplates },
  init: initialPrompts,
  encoders: (task) => promptedEncoders(task, { image: imageParams }),
});

export const ivlp = promptLearner(
  {
    name: "ivlp",
    title: "IVLP",
    source: "Khattak et al. 2023, arXiv 2307.06948, section 3.1; muzairkhattak/PromptSRC trainers/independentVLP.py",
  },
  independent,
);

export const language = promptLearner(
  {
    name: "language",
    title: "Deep language prompting",
    source:
      "Khattak et al. 2023, arXiv 2210.03117, table 1; muzairkhattak/multimodal-prompt-learning trainers/independentVL.py",
    paper: () => ({ depth: { text: 12 }, epochs: 5 }), // vit_b16_c2_ep5_batch4_4ctx_language_only.yaml
  },
  textAlone,
);

export const vision = promptLearner(
  {
    name: "vision",
    title: "Deep vision prompting",
    source: "Jia et al. 2022, arXiv 2203.12119 (VPT deep); muzairkhattak/multimodal-prompt-learning trainers/vpt.py",
    paper: () => ({ depth: { image: 12 }, epochs: 5 }), // vit_b16_c2_ep5_batch4_4.yaml says 8 tokens, the paper 4
  },
  imageAlone,
);
