/**
 * MMRL, multi-modal representation learning (Guo & Gu, CVPR 2025): K learnable tokens in a space of their own are mapped
 * to both encoders, by a linear map for each of the upper blocks. There they stand behind the start token and beside the
 * image's tokens, and each block has its own. Besides CLS's feature f an image has a representation feature r: the mean
 * output of its K tokens, by a learnable copy of CLIP's projection.
 *
 *   L = alpha CE(f) + (1 - alpha) CE(r) + lambda (1 - cos(f, f0)) + lambda (1 - mean_c cos(g_c, g0_c))
 *
 * In testing, the logits of f and r are mixed in the same way on the trained classes; on other classes f alone answers.
 * Pinned to yunncheng/MMRL trainers/mmrl.py and clip/model_mmrl.py. Parameters: `rep_tokens` [K,M], `r2t.i` and `r2v.i`
 * (the maps of the i-th changed block, from 0, M -> D), `proj_rep` [D,E].
 * The fast encoders run the blocks below once for the class names, and once for a picture (the frozen pass needs them,
 * too). Each block replaces the tokens, so that only their keys and values are computed; in the last image block all
 * tokens run, because K + 1 of them are read.
 * Shapes: B images, C classes, K tokens, M their width, D width of an encoder, E joint embedding.
 */
import { z } from "zod";
import type { Prompts } from "../clip/fast/text";
import type { BenchmarkSettings } from "../configs/presets";
import { adamOptimisation, blockRange, zeroShotTemplates } from "../configs/settings";
import { l2Normalise, scale } from "../engine/autograd";
import type { Tensor2D } from "../engine/tf";
import { tf } from "../engine/tf";
import { frozenTextTarget } from "./frozenText";
import { cosineConsistency, cosineLogits } from "./losses";
import type { Params, Task } from "./method";
import { host, objective, promptLearner } from "./promptLearner";
import { initialLinear, mapped, named, noise } from "./prompts";
import { blocksIn, ownSentence, type TowerChanges } from "./towers";

const mmrlSettings = {
  zeroShotTemplates,
  mmrl: z
    .object({
      tokens: z.int().min(1).max(64).default(5).describe("representation tokens"),
      width: z.int().min(1).max(4096).default(512).describe("width of the representation space"),
      blocks: blockRange(6, 12),
      share: z.number().min(0).max(1).default(0.7).describe("share alpha of CLS's logits beside the tokens'"),
    })
    .prefault({})
    .describe("MMRL's numbers"),
};
type MmrlTask = Task<z.infer<z.ZodObject<typeof mmrlSettings>>>;

/** The numbers of the changed blocks of both encoders. */
const changedBlocks = ({ clip, config }: MmrlTask) => ({
  text: blocksIn(config.mmrl.blocks, clip.text.blocks),
  image: blocksIn(config.mmrl.blocks, clip.image.blocks),
});

export function mmrlChanges(task: MmrlTask): TowerChanges {
  const { text, image } = changedBlocks(task);
  const tokens = (map: string, blocks: number[]) => (params: Params) => {
    const sets: Prompts = [];
    for (const [i, block] of blocks.entries())
      sets[block] = mapped(params.rep_tokens as Tensor2D, params, `${map}.${i}`);
    return Array.from(sets);
  };
  return {
    text: {
      sentence: ownSentence(task),
      from: text[0],
      inserted: task.config.mmrl.tokens,
      prompts: tokens("r2t", text),
    },
    image: {
      from: image[0],
      prompts: tokens("r2v", image),
      read: ({ proj_rep }, outputs) => ({
        representation: tf.matMul(tf.mean(outputs, 1) as Tensor2D, proj_rep as Tensor2D),
      }),
    },
  };
}

export const mmrlHost = host({
  settings: mmrlSettings,
  init(task) {
    const { clip, config } = task;
    const { tokens, width } = config.mmrl;
    const { text, image } = changedBlocks(task);
    const params: Params = {
      rep_tokens: noise(task, "rep_tokens", [tokens, width]),
      proj_rep: tf.clone(clip.image.projection),
    };
    // All maps of an encoder share one initialisation: the official code initialises them as copies of one layer.
    text.forEach((_, i) => {
      Object.assign(params, named(`r2t.${i}`, initialLinear(task, "r2t", clip.text.width, width)));
    });
    image.forEach((_, i) => {
      Object.assign(params, named(`r2v.${i}`, initialLinear(task, "r2v", clip.image.width, width)));
    });
    return params;
  },
  changes: mmrlChanges,
  head: ({ clip, config }) => ({
    share: 1 - config.mmrl.share,
    term: "ce_rep",
    logits: (_, { representation }, g) => cosineLogits(l2Normalise(representation), l2Normalise(g), clip.logitScale),
  }),
});

/** Keeps both features close to the frozen CLIP's. */
export const nearFrozen = objective({
  settings: {
    zeroShotTemplates,
    regularisation: z.number().min(0).default(1).describe("weight lambda of the distances to the frozen features"),
  },
  create({ clip, classNames, config }) {
    const target = frozenTextTarget(clip, classNames, config.zeroShotTemplates);
    return {
      terms(batch) {
        const frozenImage = batch.features();
        return ({ f, g, classified }) => {
          const reg_image = scale(cosineConsistency(f, frozenImage), config.regularisation);
          const reg_text = scale(cosineConsistency(g, target), config.regularisation);
          return { ...classified.terms, reg_image, reg_text, total: tf.addN([classified.loss, reg_image, reg_text]) };
        };
      },
      dispose: () => target.dispose(),
    };
  },
});

const isTransfer = (benchmark: BenchmarkSettings) =>
  benchmark === "crossDataset" || benchmark === "domainGeneralisation";
const regularisation = (benchmark: BenchmarkSettings): number =>
  isTransfer(benchmark) ? 0.2 : benchmark === "baseToNovel" ? 1 : 0.5;

export const mmrl = promptLearner(
  {
    name: "mmrl",
    title: "MMRL",
    source: "Guo & Gu 2025, arXiv 2503.08497; yunncheng/MMRL trainers/mmrl.py",
    optimisation: adamOptimisation("adamw"),
    // configs/trainers/MMRL: 10 epochs of 4 pictures; on ImageNet, the source of the transfer benchmarks, 5 of 32. Crops
    // cover half a picture or more.
    paper: (benchmark, template) => {
      const common = { lr: 0.001, weightDecay: 5e-4, zeroShotTemplates: [template] };
      const augmentation = { scale: [0.5, 1], ratio: [3 / 4, 4 / 3], flip: 0.5 };
      const size = isTransfer(benchmark) ? { epochs: 5, batch: 32 } : { epochs: 10, batch: 4 };
      return { ...common, ...size, augmentation, regularisation: regularisation(benchmark) };
    },
    // The paper's rate: on the validation pictures of kinds (seed 1), base 35.3 and novel 33.1; with 0.003, 36.8 and
    // 27.2. Its regularisation by benchmark. Blocks 3 to 6 of the 6 image blocks (3 and 4 of the text's) correspond to 6
    // to 12 of 12.
    embedded: (benchmark) => ({
      lr: 0.001,
      mmrl: { blocks: { from: 3, to: 6 } },
      regularisation: regularisation(benchmark),
    }),
  },
  mmrlHost,
  nearFrozen,
);
