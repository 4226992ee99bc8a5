/**
 * MaPLe, multi-modal prompt learning (Khattak et al., CVPR 2023): deep prompts of the text tower, and a linear map from each set to
 * the image tower's prompts of the same depth, so that both towers learn together. Cross-entropy alone.
 * Pinned to muzairkhattak/multimodal-prompt-learning trainers/maple.py; parameters have its names: `ctx` [P,Dtext] is the input set,
 * `compound_prompts_text.i` the set of block i + 1, `proj` and `compound_prompt_projections.i` their maps [Dimage,Dtext].
 */

import { bothPrompts, textContext } from "../configs/settings";
import type { Tensor1D, Tensor2D } from "../engine/tf";
import { tf } from "../engine/tf";
import { promptedBlocks, promptedEncoders, promptSets } from "./ivlp";
import type { Params } from "./method";
import { host, promptLearner } from "./promptLearner";
import { initialContext, initialLinear, noise, wordsForShortContexts } from "./prompts";

/** As many image prompts as text prompts, since they are the text prompts mapped. */
const mapleSettings = { ...textContext, depth: bothPrompts.depth };

export const mapleHost = host({
  settings: mapleSettings,
  resolve: wordsForShortContexts,
  init(task) {
    const { clip, config } = task;
    const [from, to] = [clip.text.width, clip.image.width];
    const { text, image } = promptedBlocks(task);
    const params: Params = { ctx: initialContext(task, "ctx") };
    const put = (name: string, seedName: string) => {
      const { weight, bias } = initialLinear(task, seedName, to, from);
      params[`${name}.weight`] = weight;
      params[`${name}.bias`] = bias;
    };
    if (image > 0) put("proj", "proj");
    for (let i = 0; i < Math.max(text, image) - 1; i++) {
      const name = `compound_prompts_text.${i}`;
      params[name] = noise(task, name, [config.tokens.text, from]);
      // copies of one map, as the official code starts
      if (i + 1 < image) put(`compound_prompt_projections.${i}`, "compound_prompt_projections");
    }
    return params;
  },
  encoders(task) {
    const { text, image } = promptedBlocks(task);
    const prompts = (params: Params) => [params.ctx as Tensor2D, ...promptSets(params, "compound_prompts_text")];
    const mapped = (params: Params, set: Tensor2D, i: number): Tensor2D => {
      const name = i === 0 ? "proj" : `compound_prompt_projections.${i - 1}`;
      return tf.add(
        tf.matMul(set, params[`${name}.weight`] as Tensor2D, false, true),
        params[`${name}.bias`] as Tensor1D,
      );
    };
    return promptedEncoders(task, {
      text: (params) => prompts(params).slice(0, text),
      image:
        image > 0
          ? (params) =>
              prompts(params)
                .slice(0, image)
                .map((set, i) => mapped(params, set, i))
          : undefined,
    });
  },
});

export const maple = promptLearner(
  {
    name: "maple",
    title: "MaPLe",
    source: "Khattak et al. 2023, arXiv 2210.03117; muzairkhattak/multimodal-prompt-learning trainers/maple.py",
    // vit_b16_c2_ep5_batch4_2ctx.yaml; across datasets vit_b16_c2_ep5_batch4_2ctx_cross_datasets.yaml. No few-shot settings are published:
    // those of base-to-novel stand in.
    paper: (benchmark) => ({
      tokens: { text: 2 },
      ...(benchmark === "crossDataset" || benchmark === "domainGeneralisation"
        ? { epochs: 2, lr: 0.0026 }
        : { epochs: 5, lr: 0.0035 }),
    }),
  },
  mapleHost,
);
