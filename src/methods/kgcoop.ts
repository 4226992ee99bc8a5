/**
 * KgCoOp, knowledge-guided context optimisation (Yao et al., CVPR 2023): CoOp, its class features held near those of a sentence
 * written by hand:  L = L_CE + lambda (1 - mean_c cos(g_c, g0_c)).
 * Pinned to htyao89/KgCoOp trainers/kgcoop.py. The sentence is zero-shot CLIP's, `config.zeroshot` (the official code has one per dataset).
 */

import type { Scalar } from "../engine/tf";
import { tf } from "../engine/tf";
import { coopHost, coopSettings, coopTransfers } from "./coop";
import { frozenTextTarget } from "./frozenText";
import { crossEntropy } from "./losses";
import { learnt, type Objective } from "./promptLearner";

const standard = { weight: 8 };

const nearHandwritten: Objective = ({ clip, classNames, config }) => {
  const target = frozenTextTarget(clip, classNames, config.zeroshot);
  const { weight } = config.kgcoop ?? standard;
  return {
    terms:
      () =>
      ({ g, logits, truth }) => {
        const ce = crossEntropy(logits, truth);
        const cosine = tf.div<Scalar>(tf.sum(tf.mul(g, target)), classNames.length);
        const kg = tf.mul<Scalar>(tf.sub(1, cosine), weight);
        return { ce, kg, total: tf.add<Scalar>(ce, kg) };
      },
    dispose: () => target.dispose(),
  };
};

export const kgcoop = learnt(
  {
    name: "kgcoop",
    title: "KgCoOp",
    source: "Yao et al. 2023, arXiv 2303.13283; htyao89/KgCoOp trainers/kgcoop.py",
    settings: (config) => ({ ...coopSettings(config), gpa: null, kgcoop: config.kgcoop ?? standard }),
    transfers: coopTransfers,
    // vit_b16_ep100_ctxv1.yaml for all benchmarks
    paper: (config) => ({ ...config, batch: 128, epochs: 100, lr: 0.002, tokens: { text: 4, image: 0 } }),
  },
  coopHost,
  nearHandwritten,
);
