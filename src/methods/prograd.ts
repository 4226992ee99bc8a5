/**
 * ProGrad, prompt-aligned gradient (Zhu et al., ICCV 2023): CoOp's gradient a of the cross-entropy loses what works against the
 * gradient b of staying with zero-shot CLIP's prediction. For each parameter, with b^ = b/|b|:  a <- a - lambda (a.b^) b^  where a.b < 0.
 * b is the gradient of the cross-entropy between the frozen and the learnt prediction (temperature 1).
 * Pinned to BeierZhu/Prompt-align trainers/prograd.py. The sentence is zero-shot CLIP's, `config.zeroshot` (officially one per dataset).
 */

import type { Scalar, Tensor } from "../engine/tf";
import { tf } from "../engine/tf";
import { coopHost, coopSettings, coopTransfers } from "./coop";
import { frozenTextTarget } from "./frozenText";
import { cosineLogits, crossEntropy } from "./losses";
import type { Params } from "./method";
import { learnt, type Objective } from "./promptLearner";

const standard = { lambda: 1 };

/** The gradient that is left of `a`, and 1 if it was changed. */
function align(a: Tensor, b: Tensor, lambda: number): { gradient: Tensor; conflict: Scalar } {
  const along = tf.sum(tf.mul(a, b));
  const conflict = tf.cast(tf.less(along, 0), "float32") as Scalar;
  const against = tf.mul(tf.divNoNan(along, tf.sum(tf.square(b))), b); // (a.b^) b^, and 0 where b is
  return { gradient: tf.sub(a, tf.mul(tf.mul(conflict, lambda), against)), conflict };
}

const alignedGradient: Objective = ({ clip, classNames, config }) => {
  const frozenText = frozenTextTarget(clip, classNames, config.zeroshot);
  const { lambda } = config.prograd ?? standard;
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
};

export const prograd = learnt(
  {
    name: "prograd",
    title: "ProGrad",
    source: "Zhu et al. 2023, arXiv 2205.14865; BeierZhu/Prompt-align trainers/prograd.py",
    settings: (config) => ({ ...coopSettings(config), gpa: null, prograd: config.prograd ?? standard }),
    transfers: coopTransfers,
    // rn50_ep100.yaml, published with RN50 and, for base-to-novel, 4 shots. Its 16 tokens are the template's words behind zeros; here they are
    // the words alone. lambda is 0.8 for 8 and 16 shots of Flowers, DTD and EuroSAT.
    paper: (config) => ({ ...config, batch: 32, epochs: 100, lr: 0.002, tokens: { text: 4, image: 0 } }),
  },
  coopHost,
  alignedGradient,
);
