/**
 * KgCoOp, knowledge-guided context optimisation (Yao et al., CVPR 2023): CoOp with a loss term that keeps the class
 * features g_c close to the frozen features g0_c of a hand-written sentence:
 *
 *   L = L_CE + lambda (1 - mean_c cos(g_c, g0_c))
 *
 * Pinned to htyao89/KgCoOp trainers/kgcoop.py. The sentence is that of zero-shot CLIP for the dataset
 * (`zeroShotTemplates`).
 */

import { z } from "zod";
import { zeroShotTemplates } from "../configs/settings";
import type { Scalar } from "../engine/tf";
import { tf } from "../engine/tf";
import { coopHost, coopTransfers } from "./coop";
import { frozenTextTarget } from "./frozenText";
import { objective, promptLearner } from "./promptLearner";

export const nearHandwritten = objective({
  settings: {
    zeroShotTemplates,
    kgcoop: z
      .object({
        weight: z.number().min(0).default(8).describe("weight of the distance to the sentence written by hand"),
      })
      .prefault({})
      .describe("KgCoOp's number"),
  },
  create({ clip, classNames, config }) {
    const target = frozenTextTarget(clip, classNames, config.zeroShotTemplates);
    const { weight } = config.kgcoop;
    return {
      terms:
        () =>
        ({ g, classified }) => {
          const cosine = tf.div<Scalar>(tf.sum(tf.mul(g, target)), classNames.length);
          const kg = tf.mul<Scalar>(tf.sub(1, cosine), weight);
          return { ...classified.terms, kg, total: tf.add<Scalar>(classified.loss, kg) };
        },
      dispose: () => target.dispose(),
    };
  },
});

export const kgcoop = promptLearner(
  {
    name: "kgcoop",
    title: "KgCoOp",
    source: "Yao et al. 2023, arXiv 2303.13283; htyao89/KgCoOp trainers/kgcoop.py",
    transfers: coopTransfers,
    // vit_b16_ep100_ctxv1.yaml, for all benchmarks
    paper: (_, template) => ({
      batch: 128,
      epochs: 100,
      lr: 0.002,
      tokens: { text: 4 },
      zeroShotTemplates: [template],
    }),
  },
  coopHost,
  nearHandwritten,
);
