/**
 * PromptSRC (Khattak et al., ICCV 2023): IVLP's prompts, regulated by the frozen model they prompt:
 *
 *   L = L_CE + lambda_1 L_SCL-text + lambda_2 L_SCL-image + L_SCL-logits        (equations 2-5)
 *
 * The frozen text target is the mean over many templates (section 3.2.3); the result is the Gaussian-weighted aggregate of the
 * prompts over the epochs (section 3.2.2, training/gpa.ts, switched by `config.gpa`).
 * Pinned to muzairkhattak/PromptSRC trainers/promptsrc.py. The objective goes with any host: `maple-src` and `coop-src` are MaPLe
 * and CoOp under it, which no one has published.
 */

import { scale } from "../engine/autograd";
import { tf } from "../engine/tf";
import { oneOf } from "../util/errors";
import { seeded } from "../util/random";
import { coopHost, coopSettings, coopTransfers } from "./coop";
import { frozenTextTarget } from "./frozenText";
import { independent } from "./ivlp";
import { cosineConsistency, cosineLogits, crossEntropy, featureConsistency, logitConsistency, squaredConsistency } from "./losses";
import { mapleHost, mapleSettings } from "./maple";
import { learnt, type Objective } from "./promptLearner";

const consistencies = { l1: featureConsistency, mse: squaredConsistency, cosine: cosineConsistency };

export const selfRegulated: Objective = ({ clip, classNames, config, seed }) => {
  const consistency = consistencies[oneOf("consistency", config.consistency ?? "l1", Object.keys(consistencies)) as "l1"];
  const texts = config.oneTemplate
    ? config.templates.map((template) => frozenTextTarget(clip, classNames, [template]))
    : [frozenTextTarget(clip, classNames, config.templates)];
  return {
    terms(batch) {
      const frozenText = texts.length === 1 ? texts[0] : seeded("template", seed, ...batch.at).pick(texts);
      const frozenImage = batch.features();
      const frozenLogits = cosineLogits(frozenImage, frozenText, clip.logitScale);
      return ({ f, g, logits, truth }) => {
        const ce = crossEntropy(logits, truth);
        const scl_text = scale(consistency(g, frozenText), config.weights.text);
        const scl_image = scale(consistency(f, frozenImage), config.weights.image);
        const scl_logits = scale(logitConsistency(logits, frozenLogits), config.weights.logits);
        const total = tf.addN([ce, scl_text, scl_image, scl_logits]);
        return { ce, scl_text, scl_image, scl_logits, total };
      };
    },
    dispose: () => tf.dispose(texts as any),
  };
};

export const promptsrc = learnt(
  {
    name: "promptsrc",
    title: "PromptSRC",
    source: "Khattak et al. 2023, arXiv 2307.06948; muzairkhattak/PromptSRC trainers/promptsrc.py",
  },
  independent,
  selfRegulated,
);

const unpublished = "Not published: PromptSRC's objective (muzairkhattak/PromptSRC trainers/promptsrc.py)";

export const mapleSrc = learnt(
  { name: "maple-src", title: "MaPLe + SRC", source: `${unpublished} on MaPLe's prompts`, settings: mapleSettings },
  mapleHost,
  selfRegulated,
);

export const coopSrc = learnt(
  { name: "coop-src", title: "CoOp + SRC", source: `${unpublished} on CoOp's context`, settings: coopSettings, transfers: coopTransfers },
  coopHost,
  selfRegulated,
);
