/**
 * CLIP-LoRA (Zanella & Ben Ayed, CVPR workshops 2024): low-rank maps beside those of the queries, keys and values in
 * every block of both encoders, trained by the cross-entropy alone. The sentences are those of zero-shot CLIP; they are
 * encoded anew in each step.
 *
 *   W x  becomes  W x + alpha / sqrt(r) B A dropout(x),    A [r,D],  B [D,r]
 *
 * Pinned to MaxZanella/CLIP-LoRA lora.py and loralib/layers.py. In testing the maps are folded into the weights, so that
 * a test costs what zero-shot CLIP's does. In training the fast encoders save less than for prompts: every block runs
 * for every token of every class, and the start token is no constant. Parameters: `text.i.q.A`, `text.i.q.B`, ... and
 * `vision.i...`, i from 0.
 * Shapes: R rows (tokens), D width, r rank.
 */
import { z } from "zod";
import type { Additions } from "../clip/additions";
import { foldAttention } from "../clip/fast/foldConstants";
import { encodeImage, imageFront } from "../clip/fast/image";
import { suffixGroups, tokenise } from "../clip/fast/suffixes";
import { encodeText } from "../clip/fast/text";
import { adamByStep, zeroShotTemplates } from "../configs/settings";
import { scale, scaleGradient } from "../engine/autograd";
import type { Tensor2D } from "../engine/tf";
import { tf } from "../engine/tf";
import { seeded } from "../util/random";
import type { Params, Task } from "./method";
import { host, promptLearner } from "./promptLearner";
import { initialLinear } from "./prompts";
import { type Encoders, ownSentence, type TowerChanges } from "./towers";

const loraSettings = {
  zeroShotTemplates,
  lora: z
    .object({
      rank: z.int().min(1).max(256).default(2).describe("rank of the maps"),
      alpha: z.number().positive().default(1).describe("the maps are scaled by alpha / sqrt(rank)"),
      dropout: z.number().min(0).lt(1).default(0.25).describe("share of the maps' inputs that is dropped in training"),
    })
    .prefault({})
    .describe("LoRA's numbers"),
};
type LoraTask = Task<z.infer<z.ZodObject<typeof loraSettings>>>;

const letters = { query: "q", key: "k", value: "v" } as const;
const kinds = Object.keys(letters) as (keyof typeof letters)[];

/**
 * A value of y [R,D] is kept with probability 1 - p and divided by it; which are, the seed tells. Each random number of
 * 32 bits serves four values, so that p counts in steps of 1/256.
 */
function dropout(y: Tensor2D, p: number, ...seed: (string | number)[]): Tensor2D {
  const random = seeded("dropout", ...seed);
  const [threshold, kept] = [Math.round(256 * p), 1 / (1 - p)];
  const mask = new Float32Array(y.size);
  let bits = 0;
  for (let i = 0; i < mask.length; i++) {
    bits = i % 4 === 0 ? random.int(2 ** 32) : bits >>> 8;
    mask[i] = (bits & 255) < threshold ? 0 : kept;
  }
  return tf.mul(y, tf.tensor2d(mask, y.shape));
}

/** What is added in one encoder: without dropout where `at`, the epoch and step, is not given. */
const loraAdditions = (task: LoraTask, tower: string, params: Params, at?: [number, number]): Additions => ({
  attention(block, y) {
    const { rank, alpha, dropout: p } = task.config.lora;
    const add = (kind: keyof typeof letters): Tensor2D => {
      const name = `${tower}.${block}.${letters[kind]}`;
      // Without dropout, the official backward pass takes the frozen weight for the gradient of y: `sub_lora_data` has
      // taken the low-rank part out of the weight again, in place.
      const x = p === 0 ? scaleGradient(y, 0) : at ? dropout(y, p, task.seed, ...at, name) : y;
      const low = tf.matMul(x, params[`${name}.A`] as Tensor2D, false, true); // (R, r)
      return scale(tf.matMul(low, params[`${name}.B`] as Tensor2D, false, true), alpha / Math.sqrt(rank));
    };
    return { query: add("query"), key: add("key"), value: add("value") };
  },
});

export const loraChanges = (task: LoraTask): TowerChanges => ({
  text: { sentence: ownSentence(task), additions: (params, at) => loraAdditions(task, "text", params, at) },
  image: { additions: (params, at) => loraAdditions(task, "vision", params, at) },
});

/** Encoders whose weights contain the maps: W + alpha / sqrt(r) B A. */
function foldedEncoders(task: LoraTask, params: Params): Encoders {
  const { clip, classNames, config } = task;
  const factor = config.lora.alpha / Math.sqrt(config.lora.rank);
  const foldedBlocks = (tower: "text" | "image", prefix: string) =>
    clip[tower].blocks.map((w, i) =>
      tf.tidy(() => {
        const map = (kind: keyof typeof letters): Tensor2D => {
          const [A, B] = ["A", "B"].map((part) => params[`${prefix}.${i}.${letters[kind]}.${part}`] as Tensor2D);
          return tf.mul(tf.matMul(A, B, true, true), factor); // transposed: [in,out]
        };
        return foldAttention(w, { query: map("query"), key: map("key"), value: map("value") }) as any;
      }),
    ) as (typeof clip.text)["blocks"];
  const text = { ...clip.text, blocks: foldedBlocks("text", "text") };
  const image = { ...clip.image, blocks: foldedBlocks("image", "vision") };
  const ids = classNames.map((name) => tokenise(clip, ownSentence(task)(name)));
  const groups = suffixGroups(text, ids, 0, false, { whole: true });
  return {
    text: () => encodeText(text, groups, []),
    image:
      ({ pixels }) =>
      () => ({ f: encodeImage(image, imageFront(image, pixels), []) }),
    dispose: () => tf.dispose([groups, [...text.blocks, ...image.blocks].map(({ qkv }) => qkv)] as any),
  };
}

export const loraHost = host({
  settings: loraSettings,
  init(task) {
    const params: Params = {};
    for (const [prefix, { blocks, width }] of [
      ["text", task.clip.text],
      ["vision", task.clip.image],
    ] as const) {
      for (const [i] of blocks.entries()) {
        for (const kind of kinds) {
          const name = `${prefix}.${i}.${letters[kind]}`;
          const { weight, bias } = initialLinear(task, `${name}.A`, task.config.lora.rank, width);
          bias.dispose();
          params[`${name}.A`] = weight;
          params[`${name}.B`] = tf.zeros([width, task.config.lora.rank]);
        }
      }
    }
    return params;
  },
  changes: loraChanges,
  folded: foldedEncoders,
});

export const lora = promptLearner(
  {
    name: "clip-lora",
    title: "CLIP-LoRA",
    source: "Zanella & Ben Ayed 2024, arXiv 2405.18541; MaxZanella/CLIP-LoRA lora.py",
    optimisation: adamByStep("adamw"),
    // run_utils.py and lora.py: 500 steps for each shot, of 32 pictures, which are 16,000 / C epochs of C classes; the
    // epochs here are those of 100 classes.
    paper: (_, template) => ({
      batch: 32,
      epochs: 160,
      lr: 2e-4,
      minimumLr: 1e-6,
      weightDecay: 1e-2,
      zeroShotTemplates: [template],
    }),
    // Ten times the paper's rate, for a fiftieth of its steps: on the validation pictures of food (4 shots, seed 1), base
    // 56.7 and novel 45.0; with 0.0002, 53.9 and 40.6, where zero-shot CLIP has 53.9 and 39.4. On those of places (16 shots,
    // seed 1), 66.1 and 43.3; with 0.001, 63.3 and 41.7.
    embedded: () => ({ lr: 2e-3, minimumLr: 1e-6, weightDecay: 1e-2 }),
  },
  loraHost,
);
