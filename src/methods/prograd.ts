/**
 * ProGrad, prompt-aligned gradient (Zhu et al., ICCV 2023): from CoOp's gradient a of the cross-entropy, it removes the
 * component that conflicts with the gradient b of a loss that keeps the prediction close to that of zero-shot CLIP. For
 * each parameter, with b^ = b/|b|:
 *
 *   a <- a - lambda (a.b^) b^    if a.b < 0
 *
 * The loss of b is the cross-entropy between the prediction of zero-shot CLIP and that of the trained model
 * (temperature 1).
 * Pinned to BeierZhu/Prompt-align trainers/prograd.py. The sentence is `zeroShotTemplates`: for each dataset that of
 * the official code, which puts "a type of pet" before "a photo of a {}".
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

/** @returns the gradient `a` without its conflict with `b`, and 1 if there was a conflict, else 0 */
function align(a: Tensor, b: Tensor, lambda: number): { gradient: Tensor; conflict: Scalar } {
  const innerProduct = tf.sum(tf.mul(a, b));
  const conflict = tf.cast(tf.less(innerProduct, 0), "float32") as Scalar;
  // The projection (a.b^) b^ of a onto b; it is 0 if b is 0.
  const projection = tf.mul(tf.divNoNan(innerProduct, tf.sum(tf.square(b))), b);
  return { gradient: tf.sub(a, tf.mul(tf.mul(conflict, lambda), projection)), conflict };
}

/** ProGrad's sentence for a dataset, from that of zero-shot CLIP (CUSTOM_TEMPLATES in trainers/prograd.py). */
function progradTemplate(template: string): string {
  if (template === "{} texture.") return "a texture of {}.";
  return template.replace(/^(.*), (a type of \w+)\.$/, "$2, $1.");
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
    // rn50_ep100.yaml, published for RN50 and, for base-to-novel, 4 shots. Its 16 context tokens are zeros followed by
    // the words of the template; here only the words are used. The official lambda is 0.8 for 8 and 16 shots on
    // Flowers, DTD and EuroSAT.
    paper: (_, template) => ({
      batch: 32,
      epochs: 100,
      lr: 0.002,
      tokens: { text: 4 },
      zeroShotTemplates: [progradTemplate(template)],
    }),
  },
  coopHost,
  alignedGradient,
);
