/** Properties of the losses, the optimiser, the schedule, the weights of GPA, and the training loop. */
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { loadClip } from "../../src/clip/load";
import type { Clip } from "../../src/clip/model";
import { paper } from "../../src/configs/presets";
import {
  frozenLayerNorm,
  l2Normalise,
  logSoftmax,
  meanAbsolute,
  oneHot,
  permuteRows,
  repeat,
} from "../../src/engine/autograd";
import { type Tensor, tf } from "../../src/engine/tf";
import { cosineLogits, crossEntropy, featureConsistency, logitConsistency } from "../../src/methods/losses";
import { type Params, type Settings, settle, type Task } from "../../src/methods/method";
import { methodNamed, methods } from "../../src/methods/registry";
import { type OptimiserState, optimiserStep } from "../../src/solvers/optimiser";
import { loadState, saveState } from "../../src/training/checkpoint";
import { gpaWeights } from "../../src/training/ensemble";
import { learningRate, scheduleOf } from "../../src/training/schedule";
import { gradientStep, type TrainState, train } from "../../src/training/train";
import { seeded } from "../../src/util/random";
import { quickConfig, writeRandomClip } from "../randomClip";
import { temporaryFolder } from "../temporary";

const random = seeded("training test");
const gaussian = (...shape: number[]): any =>
  tf.tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
    shape,
  );

/**
 * Checks a gradient in a random direction u: (f(x + h u) - f(x - h u)) / 2h must be the gradient's component along u.
 */
function finiteDifference(f: (x: any) => Tensor, x: Tensor, h = 1e-2, tolerance = 5e-3) {
  tf.tidy(() => {
    const coefficients = gaussian(...(f(x).shape as number[]));
    const value = (x: Tensor) => tf.sum(tf.mul(f(x), coefficients));
    const u = tf.div(gaussian(...x.shape), Math.sqrt(x.size));
    const slope = tf.sum(tf.mul(tf.grad(value)(x), u)).dataSync()[0];
    const [above, below] = [1, -1].map((sign) => value(tf.add(x, tf.mul(u, sign * h))).dataSync()[0]);
    expect(Math.abs((above - below) / (2 * h) - slope)).toBeLessThan(tolerance * Math.max(1, Math.abs(slope)));
  });
}

describe("gradients and finite differences", () => {
  const norm = { gain: gaussian(8), bias: gaussian(8), epsilon: 1e-5 };
  const target = gaussian(5, 4);
  const labels = oneHot(Int32Array.from([0, 3, 2, 1, 0]), 4);
  test.each<[string, (x: any) => Tensor, number[]]>([
    ["layerNorm", (x) => frozenLayerNorm(x, norm), [5, 8]],
    ["l2Normalise", l2Normalise, [5, 8]],
    ["logSoftmax", logSoftmax, [5, 8]],
    ["repeat", (x) => repeat(x, 3), [1, 8]],
    ["permuteRows", (x) => permuteRows(x, [2, 0, 1]), [3, 4]],
    ["cosineLogits", (x) => cosineLogits(x, target, 7), [3, 4]],
    ["L_CE", (x) => crossEntropy(x, labels), [5, 4]],
    ["L_SCL on features", (x) => featureConsistency(x, tf.add(target, 50) as any), [5, 4]],
    ["L_SCL on logits", (x) => logitConsistency(x, target), [5, 4]],
  ])("of %s agree", (_, f, shape) => {
    finiteDifference(f, gaussian(...shape));
  });

  test("the L1 term has gradient 0 at 0, as in PyTorch", () => {
    expect([
      ...tf
        .grad(meanAbsolute)(tf.tensor1d([-2, 0, 4]))
        .dataSync(),
    ]).toEqual([-Math.fround(1 / 3), 0, Math.fround(1 / 3)]);
  });

  test("L_SCL on logits is the KL divergence divided by B*C, and 0 for equal logits", () => {
    expect(logitConsistency(target, target).dataSync()[0]).toBe(0);
    const [a, b] = [
      [0.2, 0.8],
      [0.5, 0.5],
    ].map((p) => tf.log(tf.tensor2d([p])));
    const kl = 0.5 * Math.log(0.5 / 0.2) + 0.5 * Math.log(0.5 / 0.8);
    expect(logitConsistency(a as any, b as any).dataSync()[0]).toBeCloseTo(kl / 2, 6);
  });
});

test("SGD adds weight decay to the gradient, starts with the gradient as velocity, and has no dampening", () => {
  const sgd = { momentum: 0.9, weightDecay: 0.5 };
  const gradients = { p: tf.tensor1d([3]) };
  const rate = () => 0.1;
  const step1 = optimiserStep({ p: tf.tensor1d([2]) }, null, gradients, sgd, rate);
  expect(step1.state.moments.velocity.p.dataSync()[0]).toBeCloseTo(4, 6); // 3 + 0.5 * 2
  expect(step1.params.p.dataSync()[0]).toBeCloseTo(1.6, 6);
  const step2 = optimiserStep(step1.params, step1.state, gradients, sgd, rate);
  expect(step2.state.moments.velocity.p.dataSync()[0]).toBeCloseTo(7.4, 5); // 0.9 * 4 + 3 + 0.5 * 1.6
  expect(step2.params.p.dataSync()[0]).toBeCloseTo(0.86, 5);
});

/**
 * Values of torch 2, from
 *   p = torch.tensor([1., -2., .5]).requires_grad_(); o = torch.optim.Adam([p], eps=1e-3, weight_decay=.1)  # or AdamW
 *   for g, lr in zip(gradients, [.1, .05, .2]): o.param_groups[0]["lr"] = lr; p.grad = g; o.step()
 */
test.each([
  ["Adam", { decoupled: false, beta1: 0.9, beta2: 0.999, epsilon: 1e-3 }, [0.75884271, -1.69232655, 0.36589932]],
  ["AdamW", { decoupled: true, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }, [0.80184692, -1.72354138, 0.35588306]],
])("%s with weight decay gives torch's parameters after three steps", (_, adam, expected) => {
  const gradients = [
    [0.1, -0.3, 2],
    [-0.2, 0.05, 1],
    [0.4, 0, -3],
  ];
  const rates = [0.1, 0.05, 0.2];
  let params: Params = { p: tf.tensor([1, -2, 0.5]) };
  let state: OptimiserState | null = null;
  for (const [k, g] of gradients.entries()) {
    const next = optimiserStep(params, state, { p: tf.tensor(g) }, { weightDecay: 0.1, adam }, () => rates[k]);
    [params, state] = [next.params, next.state];
  }
  [...params.p.dataSync()].forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i], 6);
  });
});

test("learning rates by step are those of torch's CosineAnnealingLR(T_max=6, eta_min=1e-6)", () => {
  const config = { ...paper.baseToNovel, epochs: 3, lr: 0.002, minimumLr: 1e-6 };
  const rates = [1, 2, 3].flatMap((epoch) => [0, 1].map(scheduleOf(epoch, config, 2)));
  const expected = [0.002, 0.0018660923910825465, 0.00150025, 0.0010005, 0.00050075, 0.00013490760891745352];
  rates.forEach((rate, k) => {
    expect(rate).toBeCloseTo(expected[k], 12);
  });
  expect(() => scheduleOf(1, config)).toThrow(/number of steps/);
});

test("learning rates of the paper's base-to-novel runs: constant warm-up in epoch 1, then cosine schedule", () => {
  const rates = Array.from({ length: 20 }, (_, i) => learningRate(i + 1, paper.baseToNovel));
  expect(rates.slice(0, 3)).toEqual([1e-5, 0.0025, 0.0025 * 0.5 * (1 + Math.cos(Math.PI / 20))]);
  expect(rates[19]).toBeCloseTo(6.118e-5, 8);
});

test("GPA's weights follow a Gaussian with the given standard deviation, sum to 1, and do not underflow", () => {
  const weights = gpaWeights(20, { mean: 15, std: 1 });
  expect(weights[14]).toBeCloseTo(0.39894, 5);
  expect(weights[11]).toBeCloseTo(0.00443, 5);
  for (const gpa of [
    { mean: 6, std: 10 },
    { mean: 900, std: 0.1 },
  ]) {
    expect(gpaWeights(20, gpa).reduce((a, b) => a + b)).toBeCloseTo(1, 12);
  }
});

describe("the training loop on a random model", () => {
  let clip: Clip;
  let task: Task;
  const valuesOf = (params: Params) =>
    Object.fromEntries(Object.entries(params).map(([name, p]) => [name, [...p.dataSync()]]));
  const pictures = {
    steps: 2,
    epoch: (e: number) => {
      const draw = seeded("pictures", e);
      return [0, 1].map(() => ({
        pixels: Float32Array.from({ length: 4 * 3 * clip.image.size ** 2 }, () => draw.normal()),
        labels: Int32Array.from([0, 1, 2, draw.int(3)]),
      }));
    },
  };
  beforeAll(async () => {
    clip = await loadClip(writeRandomClip());
    const config: Settings = { ...quickConfig, epochs: 4, consistency: "l1" };
    task = { clip, classNames: ["cat", "snow_leopard", "tree"], config, seed: 1 };
  });

  test.each(["ivlp", "promptsrc"])(
    "%s: no tensor leaks, frozen weights do not change, and the same seed gives the same parameters",
    async (name) => {
      const { text, image } = clip;
      const frozen: Tensor[] = [text.tokens, text.startKV[1], text.blocks[0].qkv, image.blocks[1].up, image.cls];
      const weights = frozen.map((t) => t.dataSync().slice());
      const before = tf.memory().numTensors;
      const tensorCounts = new Set<number>();
      const runs: Record<string, number[]>[] = [];
      for (let run = 0; run < 2; run++) {
        const { params, last, history } = await train(methodNamed(name), task, pictures, {
          ensemble: { mean: 3, std: 1 },
          onStep: ({ step, epoch }) => epoch > 0 && step > 0 && run === 0 && tensorCounts.add(tf.memory().numTensors),
        });
        runs.push(valuesOf(params));
        expect(history.map(({ epoch }) => epoch)).toEqual([1, 2, 3, 4]);
        for (const { losses } of history) expect(Number.isFinite(losses.total)).toBe(true);
        expect(valuesOf(last)).not.toEqual(valuesOf(params));
        tf.dispose([params, last] as any);
        expect(tf.memory().numTensors).toBe(before);
      }
      expect(tensorCounts.size).toBe(1);
      expect(runs[0]).toEqual(runs[1]);
      frozen.forEach((t, i) => {
        expect(t.dataSync()).toEqual(weights[i]);
      });
    },
  );

  test.each(["promptsrc", "clip-lora"])(
    "%s: a run resumed from a checkpoint after epoch 1 or 3 ends with the same numbers, bit for bit",
    async (name) => {
      const method = methodNamed(name); // of CLIP-LoRA also Adam's moments, the rate by step, and dropout
      const own: Task = { ...task, config: { ...task.config, ...settle(method, task.config) } };
      const folder = temporaryFolder("state");
      const uninterrupted = await train(method, own, pictures, {
        onEpoch: (state) => saveState(join(folder, `${state.epoch}`), state),
      });
      for (const epoch of [1, 3]) {
        const state: TrainState = loadState(join(folder, `${epoch}`));
        expect(state.epoch).toBe(epoch);
        const resumed = await train(method, own, pictures, { resume: state });
        expect(valuesOf(resumed.params)).toEqual(valuesOf(uninterrupted.params));
        expect(valuesOf(resumed.last)).toEqual(valuesOf(uninterrupted.last));
        const numbers = ({ history }: typeof resumed) => history.map(({ seconds, ...record }) => record);
        expect(numbers(resumed)).toEqual(numbers(uninterrupted));
      }
    },
  );

  test("an epoch records the mean length of its gradients, and how far the parameters are from their start", async () => {
    const lengths: number[] = [];
    const { trajectory, history, params, last } = await train(methods.ivlp, task, pictures, {
      onStep({ gradients }) {
        const squares = Object.values(gradients).flatMap((g) => [...g.dataSync()].map((value) => value ** 2));
        lengths.push(Math.sqrt(squares.reduce((a, b) => a + b, 0)));
      },
    });
    const start = valuesOf(methods.ivlp.init(task));
    history.forEach(({ gradientNorm, distance }, e) => {
      expect(gradientNorm).toBeCloseTo((lengths[2 * e] + lengths[2 * e + 1]) / 2, 5);
      const squares = Object.entries(trajectory[e]).flatMap(([name, { data }]) =>
        [...data].map((value, i) => (value - start[name][i]) ** 2),
      );
      expect(distance).toBeCloseTo(Math.sqrt(squares.reduce((a, b) => a + b, 0)), 8);
    });
    tf.dispose([params, last] as any);
  });

  test("an abort stops before the next step and leaks no tensor", async () => {
    const before = tf.memory().numTensors;
    const stop = new AbortController();
    const run = train(methods.ivlp, task, pictures, {
      signal: stop.signal,
      onStep: () => stop.abort(new Error("interrupted")),
    });
    await expect(run).rejects.toThrow("interrupted");
    expect(tf.memory().numTensors).toBe(before);
  });

  test("loss terms and gradients of a batch are the means of those of its two halves", async () => {
    const learner = methods.promptsrc.prepare(task);
    const params = methods.promptsrc.init(task);
    const [batch] = pictures.epoch(1);
    const size = clip.image.size;
    const step = (from: number, count: number) =>
      gradientStep(learner, params, () => ({
        pixels: tf.slice(tf.tensor4d(batch.pixels, [4, 3, size, size]), [from, 0, 0, 0], [count, -1, -1, -1]),
        labels: batch.labels.subarray(from, from + count),
      }));
    const [fullBatch, firstHalf, secondHalf] = [step(0, 4), step(0, 2), step(2, 2)];
    const expectMean = (a: Tensor, b: Tensor, c: Tensor) =>
      expect(tf.max(tf.abs(tf.sub(a, tf.mul(tf.add(b, c), 0.5)))).dataSync()[0]).toBeLessThan(2e-5);
    expectMean(fullBatch.terms, firstHalf.terms, secondHalf.terms);
    for (const name of Object.keys(params))
      expectMean(fullBatch.gradients[name], firstHalf.gradients[name], secondHalf.gradients[name]);
  });

  test("gradients through the prompted encoders agree with finite differences", () => {
    const learner = methods.ivlp.prepare(task);
    const params = methods.ivlp.init({ ...task, seed: 2 });
    const [batch] = pictures.epoch(2);
    const loss = learner.loss({
      pixels: tf.tensor4d(batch.pixels, [4, 3, clip.image.size, clip.image.size]),
      labels: batch.labels,
    });
    for (const name of Object.keys(params))
      finiteDifference((p) => loss({ ...params, [name]: p }).total, params[name], 2e-2, 1e-2);
  });

  test("IVLP initialised from a template, without image prompts, gives the logits of zero-shot CLIP", () => {
    const pixels = gaussian(2, 3, clip.image.size, clip.image.size);
    const textOnly: Task = {
      ...task,
      config: {
        ...task.config,
        depth: { text: 1, image: 0 },
        contextInit: "a photo of a",
        tokens: { text: 4, image: 4 },
        zeroShotTemplates: ["a photo of a {}."],
      },
    };
    const params = methods.ivlp.init(textOnly); // the embeddings of the words of contextInit
    expect(Object.keys(params)).toEqual(["text.0"]);
    const [prompted, zeroShot] = [methods.ivlp.classify(textOnly, params), methods.clip.classify(textOnly, {})];
    const difference = tf.max(tf.abs(tf.sub(prompted.logits(pixels), zeroShot.logits(pixels)))).dataSync()[0];
    expect(difference).toBeLessThan(2e-4);
  });

  test("an error message names a context that does not fit its number of tokens", () => {
    const taskWith = (tokens: number, init: string, image = 1): Task => ({
      ...task,
      config: { ...task.config, tokens: { text: tokens, image }, contextInit: init },
    });
    expect(() => methods.ivlp.init(taskWith(4, "a"))).toThrow(/"a" has 1 tokens and tokens.text is 4/);
    // PromptSRC's code uses the words only for up to 4 tokens, CoOp's code for any number of tokens.
    expect(settle(methods.ivlp, taskWith(6, "a").config).contextInit).toBe("");
    expect(settle(methods.coop, taskWith(6, "a").config).contextInit).toBe("a");
  });
});
