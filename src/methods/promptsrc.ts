/**
 * PromptSRC (Khattak et al., ICCV 2023): IVLP's prompts, regularised by the features and logits of the frozen CLIP:
 *
 *   L = L_CE + lambda_1 L_SCL-text + lambda_2 L_SCL-image + L_SCL-logits        (equations 2-5)
 *
 * The frozen text target is the mean over many templates (section 3.2.3). The result of a training is the
 * Gaussian-weighted aggregate of the prompts over the epochs (section 3.2.2, training/ensemble.ts); the setting
 * `ensemble` controls it.
 * Pinned to muzairkhattak/PromptSRC trainers/promptsrc.py. The objective can be combined with any host: `maple-src` and
 * `coop-src` train the prompts of MaPLe and CoOp with it, two combinations that have not been published.
 */

import { z } from "zod";
import { common, ensemble, textTargetTemplates } from "../configs/settings";
import { scale } from "../engine/autograd";
import { tf } from "../engine/tf";
import { seeded } from "../util/random";
import { coopHost, coopTransfers } from "./coop";
import { frozenTextTarget } from "./frozenText";
import { independent } from "./ivlp";
import { cosineConsistency, cosineLogits, featureConsistency, logitConsistency, squaredConsistency } from "./losses";
import { mapleHost } from "./maple";
import { objective, promptLearner } from "./promptLearner";

const consistencies = { l1: featureConsistency, mse: squaredConsistency, cosine: cosineConsistency };

export const selfRegulated = objective({
  settings: {
    lossWeights: common.lossWeights,
    textTargetTemplates,
    consistency: z
      .enum(["l1", "mse", "cosine"])
      .default("l1")
      .describe("what the consistency terms of the features measure"),
    oneTemplate: z
      .boolean()
      .default(false)
      .describe("take one template by lot in each step as the frozen text target, instead of the mean of all"),
  },
  testing: z.object({ ensemble }),
  create({ clip, classNames, config, seed }) {
    const consistency = consistencies[config.consistency];
    const textTargets = config.oneTemplate
      ? config.textTargetTemplates.map((template) => frozenTextTarget(clip, classNames, [template]))
      : [frozenTextTarget(clip, classNames, config.textTargetTemplates)];
    return {
      terms(batch) {
        const frozenText =
          textTargets.length === 1 ? textTargets[0] : seeded("template", seed, ...batch.at).pick(textTargets);
        const frozenImage = batch.features();
        const frozenLogits = cosineLogits(frozenImage, frozenText, clip.logitScale);
        return ({ f, g, logits, classified }) => {
          const scl_text = scale(consistency(g, frozenText), config.lossWeights.text);
          const scl_image = scale(consistency(f, frozenImage), config.lossWeights.image);
          const scl_logits = scale(logitConsistency(logits, frozenLogits), config.lossWeights.logits);
          const total = tf.addN([classified.loss, scl_text, scl_image, scl_logits]);
          return { ...classified.terms, scl_text, scl_image, scl_logits, total };
        };
      },
      dispose: () => tf.dispose(textTargets as any),
    };
  },
});

export const promptsrc = promptLearner(
  {
    name: "promptsrc",
    title: "PromptSRC",
    source: "Khattak et al. 2023, arXiv 2307.06948; muzairkhattak/PromptSRC trainers/promptsrc.py",
  },
  independent,
  selfRegulated,
);

const unpublished = "Not published: PromptSRC's objective (muzairkhattak/PromptSRC trainers/promptsrc.py)";

export const mapleSrc = promptLearner(
  { name: "maple-src", title: "MaPLe + SRC", source: `${unpublished} on MaPLe's prompts` },
  mapleHost,
  selfRegulated,
);

export const coopSrc = promptLearner(
  { name: "coop-src", title: "CoOp + SRC", source: `${unpublished} on CoOp's context`, transfers: coopTransfers },
  coopHost,
  selfRegulated,
);
