/**
 * MaPLe, multi-modal prompt learning (Khattak et al., CVPR 2023): the text tower has deep prompts, and a linear layer
 * maps the prompts of each depth to the image tower's prompts of the same depth, which couples the two towers. The loss
 * is the cross-entropy alone.
 * Pinned to muzairkhattak/multimodal-prompt-learning trainers/maple.py, whose parameter names are used here: the text
 * prompts `ctx` [P,Dtext] at the input and `compound_prompts_text.i` before block i + 1; and their linear layers,
 * `proj` and `compound_prompt_projections.i`, with weights [Dimage,Dtext].
 */

import { bothPrompts, textContext } from "../configs/settings";
import type { Tensor1D, Tensor2D } from "../engine/tf";
import { tf } from "../engine/tf";
import { promptedBlocks, promptSets } from "./ivlp";
import type { Params } from "./method";
import { host, promptLearner } from "./promptLearner";
import { initialContext, initialLinear, noise, wordsForShortContexts } from "./prompts";
import { contextInPlace } from "./towers";

/** The number of image prompts is not a setting: the image prompts are the mapped text prompts. */
const mapleSettings = { ...textContext, depth: bothPrompts.depth };

export const mapleHost = host({
  settings: mapleSettings,
  resolve: wordsForShortContexts,
  init(task) {
    const { clip, config } = task;
    const [textWidth, imageWidth] = [clip.text.width, clip.image.width];
    const { text, image } = promptedBlocks(task);
    const params: Params = { ctx: initialContext(task, "ctx") };
    const addLinear = (name: string, seedName: string) => {
      const { weight, bias } = initialLinear(task, seedName, imageWidth, textWidth);
      params[`${name}.weight`] = weight;
      params[`${name}.bias`] = bias;
    };
    if (image > 0) addLinear("proj", "proj");
    for (let i = 0; i < Math.max(text, image) - 1; i++) {
      const name = `compound_prompts_text.${i}`;
      params[name] = noise(task, name, [config.tokens.text, textWidth]);
      // All deeper layers share one initialisation: the official code initialises them as copies of one layer.
      if (i + 1 < image) addLinear(`compound_prompt_projections.${i}`, "compound_prompt_projections");
    }
    return params;
  },
  changes(task) {
    const { text, image } = promptedBlocks(task);
    const textPrompts = (params: Params) => [params.ctx as Tensor2D, ...promptSets(params, "compound_prompts_text")];
    const toImagePrompts = (params: Params, prompts: Tensor2D, i: number): Tensor2D => {
      const name = i === 0 ? "proj" : `compound_prompt_projections.${i - 1}`;
      return tf.add(
        tf.matMul(prompts, params[`${name}.weight`] as Tensor2D, false, true),
        params[`${name}.bias`] as Tensor1D,
      );
    };
    const imagePrompts = (params: Params) =>
      textPrompts(params)
        .slice(0, image)
        .map((prompts, i) => toImagePrompts(params, prompts, i));
    return {
      text: contextInPlace(task, (params) => textPrompts(params).slice(0, text)),
      image: image > 0 ? { prompts: imagePrompts } : undefined,
    };
  },
});

export const maple = promptLearner(
  {
    name: "maple",
    title: "MaPLe",
    source: "Khattak et al. 2023, arXiv 2210.03117; muzairkhattak/multimodal-prompt-learning trainers/maple.py",
    // vit_b16_c2_ep5_batch4_2ctx.yaml for base-to-novel, vit_b16_c2_ep5_batch4_2ctx_cross_datasets.yaml across datasets
    // and domains. No few-shot settings are published, so the few-shot benchmark uses those of base-to-novel.
    paper: (benchmark) => ({
      tokens: { text: 2 },
      ...(benchmark === "crossDataset" || benchmark === "domainGeneralisation"
        ? { epochs: 2, lr: 0.0026 }
        : { epochs: 5, lr: 0.0035 }),
    }),
  },
  mapleHost,
);
