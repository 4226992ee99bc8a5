/**
 * IVLP, independent vision-language prompting: deep prompts in both towers, trained by the cross-entropy alone. It is
 * PromptSRC's baseline and has the same parameters and encoders as PromptSRC (paper, section 3.1;
 * muzairkhattak/PromptSRC trainers/independentVLP.py and clip/model.py, ResidualAttentionBlock_IVLP). As in the
 * official code, the text context replaces the words "a photo of a".
 * With prompts in the text tower only, it is deep language prompting. With prompts in the image tower only, it is deep
 * vision prompting (VPT deep), and the text features are those of zero-shot CLIP's sentences.
 */
import { type SuffixGroup, suffixGroups, tokenise } from "../clip/fast/suffixes";
import { bothPrompts, imagePrompts, textPrompts, zeroShotTemplates } from "../configs/settings";
import type { Tensor2D } from "../engine/tf";
import type { Params, Task } from "./method";
import { host, promptLearner } from "./promptLearner";
import { type ContextSettings, initialContext, noise, promptSentence, wordsForShortContexts } from "./prompts";
import { contextInPlace } from "./towers";

/** Settings of deep prompts; an encoder whose depth is undefined has no prompts. */
type DeepPrompts = {
  depth: { text?: number; image?: number };
  tokens: { text?: number; image?: number };
  contextInit?: string;
};

/** The number of blocks, counted from the first, that have their own prompts in each encoder. */
export function promptedBlocks({ clip, config: { depth } }: Task<Pick<DeepPrompts, "depth">>): {
  text: number;
  image: number;
} {
  return {
    text: Math.min(depth.text ?? 0, clip.text.blocks.length),
    image: Math.min(depth.image ?? 0, clip.image.blocks.length),
  };
}

/**
 * Initial prompts of both towers: `text.0` and `vision.0` enter at the input, `text.i` and `vision.i` before block i.
 * `text.0` is initialised by `contextInit`, all others from N(0, 0.02).
 */
function initialPrompts(task: Task<DeepPrompts>): Params {
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

/** The tensors `name.0`, `name.1`, ... in this order. */
export function promptSets(params: Params, name: string): Tensor2D[] {
  const tensors: Tensor2D[] = [];
  while (`${name}.${tensors.length}` in params) tensors.push(params[`${name}.${tensors.length}`] as Tensor2D);
  return tensors;
}

/**
 * The tokens that follow the context (class name, full stop, end token), for `encodeText`; the caller disposes them.
 */
export function classSuffixes({ clip, classNames, config }: Task<ContextSettings>): SuffixGroup[] {
  const ids = classNames.map((name) => tokenise(clip, promptSentence(config, name)));
  return suffixGroups(clip.text, ids, config.tokens.text, true);
}

const textParams = (params: Params) => promptSets(params, "text");
const imageParams = (params: Params) => promptSets(params, "vision");

/** Independent prompts in both encoders. */
export const independent = host({
  settings: bothPrompts,
  resolve: wordsForShortContexts,
  init: initialPrompts,
  changes: (task) => ({
    text: contextInPlace(task, textParams),
    image: promptedBlocks(task).image > 0 ? { prompts: imageParams } : undefined,
  }),
});
const textAlone = host({
  settings: textPrompts,
  resolve: wordsForShortContexts,
  init: initialPrompts,
  changes: (task) => ({ text: contextInPlace(task, textParams) }),
});
const imageAlone = host({
  settings: { ...imagePrompts, zeroShotTemplates },
  init: initialPrompts,
  changes: () => ({ image: { prompts: imageParams } }),
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
    // vit_b16_c2_ep5_batch4_4.yaml has 8 tokens, but the paper says 4
    paper: () => ({ depth: { image: 12 }, epochs: 5 }),
  },
  imageAlone,
);
