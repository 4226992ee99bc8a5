/**
 * IVLP, independent vision-language prompting: deep prompts in both towers, trained by cross-entropy alone. It is PromptSRC's
 * baseline, and its parameters and encoders are PromptSRC's (muzairkhattak/PromptSRC trainers/independentVLP.py and
 * clip/model.py, ResidualAttentionBlock_IVLP). [paper, section 3.1; the code replaces the words "a photo of a" by the context.]
 * Without prompts in one tower it is deep language prompting, or deep vision prompting (VPT deep) with the sentences of zero-shot CLIP.
 */
import { encodeImage } from "../clip/fast/image";
import { encodeText, type Prompts, type SuffixGroup, suffixGroups, tokenise } from "../clip/fast/text";
import { normalise } from "../engine/autograd";
import type { Tensor2D } from "../engine/tf";
import { tf } from "../engine/tf";
import { zeroShotText } from "./frozenText";
import type { Params, Task } from "./method";
import { type Encoders, type Host, learnt } from "./promptLearner";
import { initialContext, noise, promptSentence } from "./prompts";

/** How many blocks, from the first, own a set of prompts in each tower; none at depth 0 or without tokens. */
export function ownedBlocks({ clip, config: { depth, tokens } }: Task): { text: number; image: number } {
  const owned = (depth: number, tokens: number, blocks: number) => (tokens === 0 ? 0 : Math.min(depth, blocks));
  return {
    text: owned(depth.text, tokens.text, clip.text.blocks.length),
    image: owned(depth.image, tokens.image, clip.image.blocks.length),
  };
}

/** `text.0` (input), `text.i`, `vision.0`, `vision.i` (before block i): the text tower's input set from words, all others N(0, 0.02). */
export function initialPrompts(task: Task): Params {
  const { clip, config } = task;
  const owned = ownedBlocks(task);
  if (owned.text + owned.image === 0) throw new Error("no tower has prompts: at least one needs 1 token and depth 1");
  const params: Params = {};
  for (let i = 0; i < owned.text; i++) {
    const name = `text.${i}`;
    params[name] = i === 0 ? initialContext(task, name) : noise(task, name, [config.tokens.text, clip.text.width]);
  }
  for (let i = 0; i < owned.image; i++) {
    params[`vision.${i}`] = noise(task, `vision.${i}`, [config.tokens.image, clip.image.width]);
  }
  return params;
}

/** The tensors `name.0`, `name.1` ... in this order. */
export function listed(params: Params, name: string): Tensor2D[] {
  const tensors: Tensor2D[] = [];
  while (`${name}.${tensors.length}` in params) tensors.push(params[`${name}.${tensors.length}`] as Tensor2D);
  return tensors;
}

/** The class names behind the context, ready for `encodeText`; the caller disposes them. */
export function classSuffixes({ clip, classNames, config }: Task): SuffixGroup[] {
  const ids = classNames.map((name) => tokenise(clip, promptSentence(config, name)));
  return suffixGroups(clip.text, ids, config.tokens.text, true);
}

/** A tower's prompts made of the parameters; a tower without is the frozen one. */
export type TowerPrompts = { text?(params: Params): Prompts; image?(params: Params): Prompts };

/** Encoders with prompts; a text tower without any reads the sentences of zero-shot CLIP. */
export function promptedEncoders(task: Task, { text, image }: TowerPrompts): Encoders {
  const { clip, classNames, config } = task;
  const suffixes = text ? classSuffixes(task) : [];
  const still = text ? undefined : zeroShotText(clip, classNames, config.zeroshot);
  return {
    text: (params) => (text ? normalise(encodeText(clip.text, suffixes, text(params))) : tf.clone(still as Tensor2D)),
    image({ front, features }) {
      if (image) {
        const shared = front();
        return (params) => normalise(encodeImage(clip.image, shared, image(params)));
      }
      const f = features();
      return () => f;
    },
    dispose: () => tf.dispose([suffixes, still] as any),
  };
}

export const independent: Host = {
  init: initialPrompts,
  encoders(task) {
    const owned = ownedBlocks(task);
    return promptedEncoders(task, {
      text: owned.text > 0 ? (params) => listed(params, "text") : undefined,
      image: owned.image > 0 ? (params) => listed(params, "vision") : undefined,
    });
  },
};

export const ivlp = learnt(
  {
    name: "ivlp",
    title: "IVLP",
    source: "Khattak et al. 2023, arXiv 2307.06948, section 3.1; muzairkhattak/PromptSRC trainers/independentVLP.py",
    settings: (config) => ({ ...config, gpa: null }),
  },
  independent,
);

export const language = learnt(
  {
    name: "language",
    title: "Deep language prompting",
    source: "Khattak et al. 2023, arXiv 2210.03117, table 1; muzairkhattak/multimodal-prompt-learning trainers/independentVL.py",
    settings: (config) => ({ ...config, depth: { ...config.depth, image: 0 }, gpa: null }),
    paper: (config) => ({ ...config, depth: { text: 12, image: 0 }, epochs: 5 }), // vit_b16_c2_ep5_batch4_4ctx_language_only.yaml
  },
  independent,
);

export const vision = learnt(
  {
    name: "vision",
    title: "Deep vision prompting",
    source: "Jia et al. 2022, arXiv 2203.12119 (VPT deep); muzairkhattak/multimodal-prompt-learning trainers/vpt.py",
    settings: (config) => ({ ...config, depth: { ...config.depth, text: 0 }, gpa: null }),
    paper: (config) => ({ ...config, depth: { text: 0, image: 12 }, epochs: 5 }), // vit_b16_c2_ep5_batch4_4.yaml says 8 tokens, the paper 4
  },
  independent,
);
