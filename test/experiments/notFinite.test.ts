/** Numbers that are not finite end a run where they arise; none is stored as an accuracy. */
import { expect, test } from "vitest";
import { loadClip } from "../../src/clip/load";
import type { Clip } from "../../src/clip/model";
import type { Tensor2D } from "../../src/engine/tf";
import { tf } from "../../src/engine/tf";
import { predictClasses } from "../../src/experiments/predictions";
import { configFor, type Method, type Task, trainingSettings } from "../../src/methods/method";
import { methods } from "../../src/methods/registry";
import { train } from "../../src/training/train";
import { quickConfig, writeRandomClip } from "../randomClip";

const clipOf = () => loadClip(writeRandomClip());

test.each([
  [
    "a loss",
    2,
    /^ivlp, seed 1: the loss \("\w+"\) is NaN in epoch 2, step 1, at the learning rate 0\.\d+: .*the last good epoch is 1$/,
  ],
  [
    "a gradient",
    1,
    /^ivlp, seed 1: the gradient's length is Infinity in epoch 1, step 2, .*the last good epoch is none$/,
  ],
])("%s that is not finite", async (kind, wrongEpoch, message) => {
  const clip = await clipOf();
  const task: Task = { clip, classNames: ["cat", "tree"], config: { ...quickConfig, epochs: 3 }, seed: 1 };
  const size = 3 * clip.image.size ** 2;
  const pictures = {
    epoch: (epoch: number) =>
      [0, 1].map(() => ({
        pixels: new Float32Array(2 * size).fill(kind === "a loss" && epoch === wrongEpoch ? Number.NaN : 0.5),
        labels: Int32Array.from([0, 1]),
      })),
  };
  const before = tf.memory().numTensors;
  const run = train(methods.ivlp, task, pictures, {
    onStep({ step, gradients }) {
      if (kind !== "a gradient" || step !== 1) return;
      const name = "text.0";
      const { shape } = gradients[name];
      gradients[name].dispose();
      gradients[name] = tf.fill(shape, Number.POSITIVE_INFINITY);
    },
  });
  await expect(run).rejects.toThrow(message);
  expect(tf.memory().numTensors).toBe(before);
});

const spoilt = (tensor: Tensor2D): Tensor2D => tf.fill(tensor.shape, Number.NaN);

test("frozen features of a sentence and of a picture, wherever they are computed", async () => {
  const clip = await clipOf();
  const before = tf.memory().numTensors;
  const image = { ...clip.image, positions: spoilt(clip.image.positions) };
  const noPictures = { ...clip, image, fingerprint: "pictures" };
  const noTexts = { ...clip, text: { ...clip.text, positions: spoilt(clip.text.positions) }, fingerprint: "texts" };
  const size = 3 * clip.image.size ** 2;
  const batches = () => [
    { pixels: new Float32Array(2 * size), labels: Int32Array.from([0, 1]), paths: ["a.png", "b.png"] },
  ];
  const pictures = { train: batches(), val: batches(), views: batches, epoch: batches };
  const taskOf = (clip: Clip, method: Method): Task => ({
    clip,
    classNames: ["cat", "tree"],
    config: trainingSettings(method, { ...configFor(method, "paper", "fewShot"), epochs: 1, warmup: undefined }),
    seed: 1,
  });
  for (const name of ["probe", "tip-adapter", "tip-adapter-f"] as const) {
    const fitted = methods[name].fit?.(taskOf(noPictures, methods[name]), pictures);
    await expect(fitted, name).rejects.toThrow(/^the features of a\.png are not finite/);
  }
  for (const name of ["clip", "kgcoop", "promptsrc", "tcp"] as const) {
    const method = methods[name];
    const config = configFor(method, "paper", "fewShot");
    const task = { ...taskOf(noTexts, methods.clip), config };
    expect(() => (name === "clip" ? method.classify(task, {}) : method.prepare(task)), name).toThrow(
      /^the features of ".*cat.*" are not finite/,
    );
  }
  const kgcoop = { ...taskOf(noPictures, methods.clip), config: configFor(methods.kgcoop, "paper", "fewShot") };
  await expect(train(methods.kgcoop, kgcoop, pictures)).rejects.toThrow(/^the features of picture 1 of the batch are/);
  tf.dispose([noPictures.image.positions, noTexts.text.positions]);
  expect(tf.memory().numTensors).toBe(before);
});

test("a logit", async () => {
  const clip = await clipOf();
  const items = [{ path: "test/pictures/rgb.png", label: 0, className: "cat" }];
  const classifier = { logits: () => tf.tensor2d([[0, Number.NaN]]), dispose() {} };
  await expect(predictClasses(clip, classifier as any, items)).rejects.toThrow(
    /^a logit of test\/pictures\/rgb\.png is not finite/,
  );
});
