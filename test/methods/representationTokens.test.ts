/**
 * A method that the fast encoders cannot run, implemented with the reference encoders: representation tokens as in MMRL
 * (Guo & Gu 2025, arXiv 2503.08497; yunncheng/MMRL trainers/mmrl.py). The tokens are inserted in both encoders from
 * block J on, and their outputs are used.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { tokenise } from "../../src/clip/fast/suffixes";
import { disposeClip, loadClip } from "../../src/clip/load";
import type { Clip } from "../../src/clip/model";
import { type Hooks, layerNorm, linear, referenceImage, referenceText, replaceTokens } from "../../src/clip/reference";
import { referenceWeights } from "../../src/clip/referenceWeights";
import { paper } from "../../src/configs/presets";
import { trainPictures } from "../../src/datasets/pictures";
import { loadDataset } from "../../src/datasets/split";
import { l2Normalise } from "../../src/engine/autograd";
import { type Tensor, type Tensor2D, type Tensor3D, tf } from "../../src/engine/tf";
import { clip as zeroShot } from "../../src/methods/clip";
import type { Method, Params, Task } from "../../src/methods/method";
import { host, promptLearner } from "../../src/methods/promptLearner";
import { noise, plainName } from "../../src/methods/prompts";
import { gradientStep, train } from "../../src/training/train";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";

/**
 * `K` tokens [K,D] for each block from `J` on. The image feature is the sum of the CLS feature, weighted by `alpha`,
 * and the feature of the tokens' mean output, weighted by 1 - `alpha`.
 */
function representationTokens({ J, K, alpha }: { J: number; K: number; alpha: number }): Method {
  /**
   * The tokens are inserted after token 0. Each block from J on has its own tokens, which replace the previous ones.
   */
  const hooks = (params: Params, tower: string): Hooks => ({
    before: (i, x) => (i < J ? x : replaceTokens(x, 1, i === J ? 0 : K, params[`${tower}.${i}`] as Tensor2D)),
  });
  const tokens = host({
    settings: {},
    init: (task) => {
      const names = (["text", "image"] as const).flatMap((tower) =>
        task.clip[tower].blocks.flatMap((_, i) => (i < J ? [] : [[`${tower}.${i}`, task.clip[tower].width] as const])),
      );
      return Object.fromEntries(names.map(([name, width]) => [name, noise(task, name, [K, width])]));
    },
    encoders: ({ clip, classNames }) => {
      const ids = classNames.map((name) => tokenise(clip, `a photo of a ${plainName(name)}.`));
      return {
        text: (params) => referenceText(clip, ids, hooks(params, "text")).features,
        image:
          ({ pixels }) =>
          (params) => {
            const { features, tokens } = referenceImage(clip, pixels, hooks(params, "image"));
            const { vision_model: p, visual_projection: projection } = referenceWeights(clip);
            // (B, K, D)
            const outputs = layerNorm(p.post_layernorm, tf.slice(tokens, [0, 1, 0], [-1, K, -1]) as Tensor3D);
            const tokenFeatures = linear(projection, tf.mean(outputs, 1) as Tensor2D); // (B, E)
            const [a, b] = [l2Normalise(features), l2Normalise(tokenFeatures)];
            return { f: tf.add<Tensor2D>(tf.mul(a, alpha), tf.mul(b, 1 - alpha)) };
          },
        dispose() {},
      };
    },
  });
  return promptLearner(
    { name: "representation-tokens", title: "Representation tokens", source: "arXiv 2503.08497" },
    tokens,
  );
}

let folder: string;
let clip: Clip;
let tensorsBefore: number;
beforeAll(async () => {
  folder = temporaryFolder("representation");
  await drawShapes(folder);
  tensorsBefore = tf.memory().numTensors;
  clip = await loadClip("test/golden");
});
afterAll(() => {
  disposeClip(clip);
  expect(tf.memory().numTensors).toBe(tensorsBefore);
});

const taskOf = (): Task => {
  const { classNames } = loadDataset(folder);
  const config = { ...paper.baseToNovel, epochs: 1, lr: 0.01, zeroShotTemplates: ["a photo of a {}."] };
  return { clip, classNames, config, seed: 1 };
};
const batches = async () => {
  const pictures = trainPictures(loadDataset(folder).train, clip.preprocess, { batch: 4, seed: 1 });
  const batchesOfEpoch = [];
  for await (const batch of pictures.epoch(1)) if (batchesOfEpoch.length < 2) batchesOfEpoch.push(batch);
  return batchesOfEpoch;
};
const logitsOf = (method: Method, params: Params, pixels: Float32Array): Tensor2D => {
  const classifier = method.classify(taskOf(), params);
  const { size } = clip.image;
  const logits = tf.tidy(() => classifier.logits(tf.tensor4d(pixels, [4, 3, size, size])));
  classifier.dispose();
  return logits;
};

test("with tokens in no block and alpha 1, the method is zero-shot CLIP", async () => {
  const [{ pixels }] = await batches();
  const method = representationTokens({ J: clip.image.blocks.length, K: 2, alpha: 1 });
  const [a, b] = [logitsOf(method, {}, pixels), logitsOf(zeroShot, {}, pixels)];
  expect(tf.tidy(() => tf.max(tf.abs(tf.sub(a, b))).dataSync()[0])).toBeLessThan(1e-4);
  tf.dispose([a, b]);
});

test("two steps change every token, gradients agree with finite differences, and no tensor leaks", async () => {
  const trainingBatches = await batches();
  const method = representationTokens({ J: 2, K: 2, alpha: 0.7 });
  const task = taskOf();
  referenceWeights(clip);
  const tensors = tf.memory().numTensors;

  const { params, last } = await train(method, task, { epoch: () => trainingBatches });
  const initial = method.init(task);
  for (const name of Object.keys(initial))
    expect([...params[name].dataSync()]).not.toEqual([...initial[name].dataSync()]);
  tf.dispose([params, last] as any);

  const { size } = clip.image;
  const batch = () => ({
    pixels: tf.tensor4d(trainingBatches[0].pixels, [4, 3, size, size]),
    labels: trainingBatches[0].labels,
  });
  const learner = method.prepare(task);
  const { gradients, terms } = gradientStep(learner, initial, batch);
  const lossAt = (name: string, t: number) =>
    tf.tidy(() => {
      const moved: Tensor = tf.add(initial[name], tf.mul(gradients[name], t));
      return learner
        .loss(batch())({ ...initial, [name]: moved })
        .total.dataSync()[0];
    });
  for (const name of Object.keys(initial)) {
    // the derivative along the gradient
    const squared = tf.tidy(() => tf.sum(tf.square(gradients[name])).dataSync()[0]);
    const h = 0.002 / Math.sqrt(squared); // small compared with the tokens' norm of 0.2; the error is of order h^2
    expect(Math.abs((lossAt(name, h) - lossAt(name, -h)) / (2 * h) / squared - 1)).toBeLessThan(0.01);
  }
  learner.dispose();
  tf.dispose([initial, gradients, terms] as any);
  expect(tf.memory().numTensors).toBe(tensors);
});
