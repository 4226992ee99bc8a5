/**
 * ProGrad, prompt-aligned gradient (Zhu et al., ICCV 2023): CoOp's gradient a of the cross-entropy loses what works against the
 * gradient b of staying with zero-shot CLIP's prediction. For each parameter, with b^ = b/|b|:  a <- a - lambda (a.b^) b^  where a.b < 0.
 * b is the gradient of the cross-entropy between the frozen and the learnt prediction (temperature 1).
 * Pinned to BeierZhu/Prompt-align trainers/prograd.py. The sentence is zero-shot CLIP's, `zeroShotTemplates` (officially one per dataset).
 */

import { z } from "zod";
import { zeroShotTemplates } from "../configs/settings";
import type { Scalar, Tensor } from "../engine/tf";
import { tf } from "../engine/tf";
import { coopHost, coopTransfers } from "./coop";
import { frozenTextTarget } from "./frozenText";
import { cosineLogits, crossEntropy } from "./losses";
import type { Params } from "./method";
import { objective, promptLearner } from "./promptLearner";

/** The gradient that is left of `a`, and 1 if it was changed. */
function align(a: Tensor, b: Tensor, lambda: number): { gradient: Tensor; conflict: Scalar } {
  const along = tf.sum(tf.mul(a, b));
  const conflict = tf.cast(tf.less(along, 0), "float32") as Scalar;
  const against = tf.mul(tf.divNoNan(along, tf.sum(tf.square(b))), b); // (a.b^) b^, and 0 where b is
  return { gradient: tf.sub(a, tf.mul(tf.mul(conflict, lambda), against)), conflict };
}

const alignedGradient = objective({
  settings: {
    zeroShotTemplates,
    prograd: z
      .object({
        lambda: z
          .number()
          .min(0)
          .default(1)
          .describe("share of the conflict with zero-shot CLIP that is taken out of the gradient"),
      })
      .prefault({})
      .describe("ProGrad's number"),
  },
  create({ clip, classNames, config }) {
    const frozenText = frozenTextTarget(clip, classNames, config.zeroShotTemplates);
    const { lambda } = config.prograd;
    return {
      terms(batch) {
        const frozenPrediction = tf.softmax(cosineLogits(batch.features(), frozenText, clip.logitScale));
        return ({ logits, truth }) => {
          const ce = crossEntropy(logits, truth);
          return { ce, kl: crossEntropy(logits, frozenPrediction), total: ce };
        };
      },
      gradient(of) {
        const [ce, kl] = [of("ce"), of("kl")];
        const gradients: Params = {};
        const conflicts: Scalar[] = [];
        for (const name of Object.keys(ce)) {
          const { gradient, conflict } = align(ce[name], kl[name], lambda);
          gradients[name] = gradient;
          conflicts.push(conflict);
        }
        return { gradients, terms: { conflict: tf.mean(tf.stack(conflicts)) as Scalar } };
      },
      dispose: () => frozenText.dispose(),
    };
  },
});

export const prograd = promptLearner(
  {
    name: "prograd",
    title: "ProGrad",
    source: "Zhu et al. 2023, arXiv 2205.14865; BeierZhu/Prompt-align trainers/prograd.py",
    transfers: coopTransfers,
    // rn50_ep100.yaml, published with RN50 and, for base-to-novel, 4 shots. Its 16 tokens are the template's words behind zeros; here they are
    // the words alone. lambda is 0.8 for 8 and 16 shots of Flowers, DTD and EuroSAT.
    paper: () => ({ batch: 32, epochs: 100, lr: 0.002, tokens: { text: 4 } }),
  },
  coopHost,
  alignedGradient,
);
