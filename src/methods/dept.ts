/**
 * DePT, decoupled prompt tuning (Zhang et al., CVPR 2024), around any host: a linear classifier of the base classes
 * beside the cosines, on features that are scaled and shifted for it (FiLM), so that what helps only the base classes is
 * learnt there and not in the prompts. It learns from the images and, as if they were images, from the features of
 * their classes.
 *
 *   L = (1 - w) CE(cosines) + w CE(linear) + the host's regularisers,    linear(x) = W (scale * x + bias) + b
 *
 * In testing, the logits are mixed in the same way on the trained classes; on other classes the cosines alone answer.
 * Features are not normalised for the linear classifier. Pinned to Koorye/DePT trainers/elp_coop.py and
 * trainers/elp_maple.py (FiLM); elp_kgcoop.py shows that regularisers are added without the factor 1 - w.
 * Parameters: the host's, `film_image.scale`, `film_image.bias`, `film_text...` [E], and `linear` E -> C.
 */
import { z } from "zod";
import { optimisation, recountedWarmup } from "../configs/settings";
import type { Tensor1D, Tensor2D } from "../engine/tf";
import { tf } from "../engine/tf";
import { coopHost, coopTransfers } from "./coop";
import { independent } from "./ivlp";
import { crossEntropy } from "./losses";
import type { Params, Settings, Task } from "./method";
import { type Host, promptLearner } from "./promptLearner";
import { initialLinear, mapped, named } from "./prompts";
import { selfRegulated } from "./promptsrc";

const film = (x: Tensor2D, params: Params, name: string): Tensor2D =>
  tf.add(tf.mul(x, params[`${name}.scale`]), params[`${name}.bias`] as Tensor1D);

/** The host with DePT's classifier. */
function withDept<S extends z.ZodRawShape>(inner: Host<S>): Host {
  return {
    ...inner,
    settings: {
      ...inner.settings,
      dept: z
        .object({
          share: z.number().min(0).max(1).default(0.7).describe("share w of the linear classifier"),
          rate: z.number().positive().default(6.5).describe("its learning rate, in multiples of the prompts'"),
        })
        .prefault({})
        .describe("DePT's numbers"),
    },
    init(task) {
      const { clip, classNames, trainedClasses = classNames } = task;
      const identity = () => ({ scale: tf.ones([clip.embed]), bias: tf.zeros([clip.embed]) });
      const params = inner.init(task as any);
      for (const name of ["film_image", "film_text"]) {
        const { scale, bias } = identity();
        [params[`${name}.scale`], params[`${name}.bias`]] = [scale, bias];
      }
      return { ...params, ...named("linear", initialLinear(task, "linear", trainedClasses.length, clip.embed)) };
    },
    head: ({ config }: Task) => ({
      share: config.dept.share,
      term: "ce_linear",
      classes: (params) => params["linear.bias"].shape[0],
      logits: (params, { f }) => mapped(film(f, params, "film_image"), params, "linear"),
      loss(params, { f }, g, truth) {
        const ofLabels = tf.matMul(truth, film(g, params, "film_text")); // (B, E)
        const both = tf.concat([ofLabels, film(f, params, "film_image")], 0) as Tensor2D;
        return crossEntropy(mapped(both, params, "linear"), tf.concat([truth, truth], 0) as Tensor2D);
      },
    }),
    rate: (name, config: Settings) => (/^(film_image|film_text|linear)\./.test(name) ? config.dept.rate : 1),
  };
}

const source = "Zhang et al. 2024, arXiv 2309.07439; Koorye/DePT trainers/elp_coop.py";
const withRecount = { ...optimisation, warmup: recountedWarmup.describe("constant warm-up") };

export const deptCoop = promptLearner(
  {
    name: "dept-coop",
    title: "DePT on CoOp",
    source,
    optimisation: withRecount,
    transfers: coopTransfers,
    // configs/trainers/ExtrasLinearProbeCoOp/vit_b16_ep10_bs4_lr35.yaml; for the embedded model, CoOp's numbers
    paper: () => ({ batch: 4, epochs: 10, lr: 0.0035, tokens: { text: 4 } }),
  },
  withDept(coopHost),
);

export const deptPromptsrc = promptLearner(
  {
    name: "dept-promptsrc",
    title: "DePT on PromptSRC",
    source: `${source} (its formulas; the official code has no PromptSRC)`,
    optimisation: withRecount,
  },
  withDept(independent),
  selfRegulated,
);
