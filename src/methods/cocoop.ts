/**
 * CoCoOp, conditional context optimisation (Zhou et al., CVPR 2022). A small network (the meta-net) computes a shift of
 * CoOp's context from the image's feature, so that the class features depend on the image. The loss is the
 * cross-entropy alone.
 * Pinned to KaiyangZhou/CoOp trainers/cocoop.py, whose parameter names are used here: `ctx` [P,D], and the layers
 * `meta_net.linear1` and `meta_net.linear2` of the network E -> E/16 -> ReLU -> D. The official batch size is one
 * image; for larger batches the loss is the mean over the images.
 * Shapes: B images, C classes, P context tokens, D width of the text tower, E joint embedding.
 */

import { z } from "zod";
import { encodeForImages } from "../clip/fast/sentences";
import { inTextOrder, type SuffixGroup } from "../clip/fast/suffixes";
import type { Clip } from "../clip/model";
import { optimisation, textContext } from "../configs/settings";
import { l2Normalise, oneHot } from "../engine/autograd";
import type { Tensor2D, Tensor3D, Tensor4D } from "../engine/tf";
import { tf } from "../engine/tf";
import { classSuffixes } from "./ivlp";
import { crossEntropy } from "./losses";
import type { Method, Params, Task } from "./method";
import { frozen } from "./promptLearner";
import { type ContextSettings, initialContext, initialLinear, mapped, named } from "./prompts";

/** The joint embedding width E, divided by the width of the meta-net's hidden layer. */
const reduction = 16;

/** The shift [B,D] that the meta-net adds to every context token, from image features f [B,E]. */
function contextShifts(f: Tensor2D, params: Params): Tensor2D {
  return mapped(tf.relu(mapped(f, params, "meta_net.linear1")), params, "meta_net.linear2");
}

/** Scaled cosine similarities [B,C] between image features f [B,E] and each image's own class features. */
function conditionalLogits(clip: Clip, suffixes: SuffixGroup[], f: Tensor2D, params: Params): Tensor2D {
  const [B, E] = f.shape;
  const [P, D] = params.ctx.shape as [number, number];
  const contexts = tf.reshape(
    tf.add(tf.reshape(params.ctx, [1, P, D]), tf.reshape(contextShifts(f, params), [B, 1, D])),
    [B * P, D],
  );
  const cosines = encodeForImages(clip.text, suffixes, contexts as Tensor2D, B).map((features) =>
    tf.transpose<Tensor2D>(tf.reshape(tf.matMul(l2Normalise(features), tf.reshape(f, [B, E, 1]) as Tensor3D), [B, -1])),
  );
  return tf.mul(tf.transpose(inTextOrder(cosines, suffixes)), clip.logitScale);
}

/** How many images are classified at once in testing: the largest tensor then takes about 32 MB. */
const imagesPerChunk = (suffixes: SuffixGroup[]): number =>
  Math.max(1, Math.floor(2 ** 21 / suffixes.reduce((sum, group) => sum + group.x.size, 0)));

export const cocoop: Method = {
  name: "cocoop",
  title: "CoCoOp",
  source: "Zhou et al. 2022, arXiv 2203.05557; KaiyangZhou/CoOp trainers/cocoop.py",
  trainable: true,
  settings: z.object({ ...textContext, ...optimisation }),
  contexts: ({ batch }) => ({ count: batch }), // one for every picture
  // vit_b16_c4_ep10_batch1_ctxv1.yaml
  paper: () => ({ batch: 1, epochs: 10, lr: 0.002, tokens: { text: 4 } }),
  parts: () => [{ place: "text", block: 0, kind: "prompts" }],
  init(task) {
    const { clip } = task;
    const hidden = Math.max(1, Math.floor(clip.embed / reduction));
    const params: Params = { ctx: initialContext(task as Task<ContextSettings>, "ctx") };
    for (const [name, outputs, inputs] of [
      ["meta_net.linear1", hidden, clip.embed],
      ["meta_net.linear2", clip.text.width, hidden],
    ] as const) {
      Object.assign(params, named(name, initialLinear(task, name, outputs, inputs)));
    }
    return params;
  },
  prepare(task) {
    const { clip, classNames } = task;
    const suffixes = classSuffixes(task as Task<ContextSettings>);
    return {
      loss({ pixels, labels }) {
        const f = frozen(clip, pixels).features();
        const truth = oneHot(labels, classNames.length);
        return (params) => {
          const ce = crossEntropy(conditionalLogits(clip, suffixes, f, params), truth);
          return { ce, total: ce };
        };
      },
      dispose: () => tf.dispose(suffixes as any),
    };
  },
  classify(task, params) {
    const { clip } = task;
    const suffixes = classSuffixes(task as Task<ContextSettings>);
    const image = (pixels: Tensor4D) => tf.tidy(() => frozen(clip, pixels).features());
    const chunkSize = imagesPerChunk(suffixes);
    return {
      image,
      logits: (pixels) =>
        tf.tidy(() => {
          const f = image(pixels);
          const chunks: Tensor2D[] = [];
          for (let start = 0; start < f.shape[0]; start += chunkSize) {
            const count = Math.min(chunkSize, f.shape[0] - start);
            chunks.push(tf.tidy(() => conditionalLogits(clip, suffixes, tf.slice(f, [start, 0], [count, -1]), params)));
          }
          return tf.concat(chunks, 0);
        }),
      dispose: () => tf.dispose(suffixes as any),
    };
  },
};
