/**
 * TCP, textual-based class-aware prompt tuning (Yao et al., CVPR 2024): CoOp's context at the input, and before block k
 * of the text encoder tokens in its place that depend on the class: a small network makes them from the frozen CLIP's
 * feature of the class's sentence. Other class names go through the same network. The image encoder stays frozen.
 *
 *   tokens_c = W2 q(W1 g0_c + b1) + b2,    q(x) = x sigmoid(1.702 x),    L = L_CE + lambda (1 - mean_c cos(g_c, g0_c))
 *
 * Pinned to htyao89/Textual-based_Class-aware_prompt_tuning trainers/tcp.py and trainers/clip_text/model.py, whose
 * parameter names are used here: `ctx` [P,D], and `meta_net.linear1` and `meta_net.linear2` of the network
 * E -> E/4 -> P D. The official trainer's setting W is not used there; the tokens replace the context entirely.
 * Shapes: C classes, P context tokens, D width of the text tower, E joint embedding.
 */
import { z } from "zod";
import type { Prompts } from "../clip/fast/text";
import { adamOptimisation, textContext, zeroShotTemplates } from "../configs/settings";
import type { Tensor2D } from "../engine/tf";
import { tf } from "../engine/tf";
import { frozenTextTarget } from "./frozenText";
import { nearHandwritten } from "./kgcoop";
import type { Params, Task } from "./method";
import { host, promptLearner } from "./promptLearner";
import { initialContext, initialLinear, mapped, named } from "./prompts";
import { contextInPlace, type TowerChanges } from "./towers";

/** The joint embedding width E, divided by the width of the network's hidden layer. */
const reduction = 4;

/** The tokens [C*P,D] of the classes, from their frozen features [C,E] of unit length. */
function classTokens(frozen: Tensor2D, params: Params): Tensor2D {
  const hidden = mapped(frozen, params, "meta_net.linear1");
  const active = tf.mul<Tensor2D>(hidden, tf.sigmoid(tf.mul(1.702, hidden)));
  return tf.reshape(mapped(active, params, "meta_net.linear2"), [-1, params.ctx.shape[1] as number]);
}

const tcpSettings = {
  ...textContext,
  zeroShotTemplates,
  tcp: z
    .object({
      block: z.int().min(1).default(8).describe("block of the text encoder, from 0, with tokens of the class"),
    })
    .prefault({})
    .describe("TCP's number"),
};

/** The context before block 0, the classes' tokens before block k. */
export function tcpChanges(task: Task<z.infer<z.ZodObject<typeof tcpSettings>>>): TowerChanges {
  const { clip, classNames, config } = task;
  const frozen = frozenTextTarget(clip, classNames, config.zeroShotTemplates);
  const block = Math.min(config.tcp.block, clip.text.blocks.length - 1);
  const prompts = (params: Params): Prompts => {
    const sets: Prompts = new Array(block + 1).fill(undefined);
    sets[0] = params.ctx as Tensor2D;
    sets[block] = classTokens(frozen, params);
    return sets;
  };
  return { text: contextInPlace(task, prompts), dispose: () => frozen.dispose() };
}

export const tcpHost = host({
  settings: tcpSettings,
  init(task) {
    const { clip, config } = task;
    const hidden = Math.max(1, Math.floor(clip.embed / reduction));
    return {
      ctx: initialContext(task, "ctx"),
      ...named("meta_net.linear1", initialLinear(task, "meta_net.linear1", hidden, clip.embed)),
      ...named(
        "meta_net.linear2",
        initialLinear(task, "meta_net.linear2", config.tokens.text * clip.text.width, hidden),
      ),
    };
  },
  changes: tcpChanges,
});

export const tcp = promptLearner(
  {
    name: "tcp",
    title: "TCP",
    source: "Yao et al. 2024, arXiv 2311.18231; htyao89/Textual-based_Class-aware_prompt_tuning trainers/tcp.py",
    optimisation: adamOptimisation("adam", 1e-3),
    // README and vit_b16_ep100_ctxv1.yaml: 50 epochs, batch 32, Adam with epsilon 1e-3 (against NaN in half precision)
    paper: (_, template) => ({
      batch: 32,
      epochs: 50,
      lr: 0.002,
      tokens: { text: 4 },
      zeroShotTemplates: [template],
    }),
    // Three times the paper's rate, for a tenth of its steps: on the validation pictures of food (4 shots, seed 1), base
    // 60.0 and novel 42.8; with 0.002, 55.0 and 41.7. On those of places (16 shots, seed 1), 65.0 and 41.7; with 0.003, 62.2
    // and 39.4. Block 2 of 4 corresponds to 8 of 12.
    embedded: () => ({ lr: 0.006, tcp: { block: 2 } }),
  },
  tcpHost,
  nearHandwritten,
);
