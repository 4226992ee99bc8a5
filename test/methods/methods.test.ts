/**
 * Properties of every registered method, and of single methods, on a random model whose towers have different sizes.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { encodeImage, imageFront } from "../../src/clip/fast/image";
import { suffixGroups, tokenise } from "../../src/clip/fast/suffixes";
import { encodeText } from "../../src/clip/fast/text";
import { loadClip } from "../../src/clip/load";
import type { Clip } from "../../src/clip/model";
import { referenceText, textPrompts } from "../../src/clip/reference";
import { paper } from "../../src/configs/presets";
import { type Tensor, type Tensor2D, tf } from "../../src/engine/tf";
import { sentenceIds } from "../../src/methods/coop";
import { configFor, type Method, type Params, type Settings, settle, type Task } from "../../src/methods/method";
import { boundLogits } from "../../src/methods/proda";
import type { ContextSettings } from "../../src/methods/prompts";
import { methodNamed, methods } from "../../src/methods/registry";
import { searchSharpness } from "../../src/methods/tip";
import { accuracyOf, centred, featureMeans, regress, uncentred } from "../../src/solvers/logisticRegression";
import { gradientStep, train } from "../../src/training/train";
import { seeded } from "../../src/util/random";
import { quickConfig as base, writeRandomClip } from "../randomClip";

const random = seeded("methods test");
const gaussian = (shape: number[], std = 1): any =>
  tf.tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => std * random.normal()),
    shape,
  );
const difference = (a: Tensor, b: Tensor): number => tf.tidy(() => tf.max(tf.abs(tf.sub(a, b))).dataSync()[0]);

const folder = writeRandomClip();
const classNames = ["cat", "snow_leopard", "tree"];
const otherNames = ["golden retriever", "oak tree", "bicycle", "an air plane"];
const labels = Int32Array.from([0, 1, 2, 2]);
let clip: Clip;
let pixels: Float32Array;
beforeAll(async () => {
  clip = await loadClip(folder);
  pixels = gaussian([4 * 3 * clip.image.size ** 2]).dataSync();
});

const images = () => tf.tensor4d(pixels, [4, 3, clip.image.size, clip.image.size]);
const taskOf = (method: Method, changes: Settings = {}): Task => ({
  clip,
  classNames,
  config: { ...settle(method, base), ...changes },
  seed: 1,
});
/** Gradients and loss terms of one step. */
function step(method: Method, task: Task, params: Params) {
  const learner = method.prepare(task);
  const result = gradientStep(learner, params, () => ({ pixels: images(), labels }));
  learner.dispose();
  return result;
}
const logitsOf = (method: Method, task: Task, params: Params): Tensor2D => {
  const classifier = method.classify(task, params);
  const logits = tf.tidy(() => classifier.logits(images()));
  classifier.dispose();
  return logits;
};
const pictures = { steps: 2, epoch: () => [0, 1].map(() => ({ pixels, labels })) };
const trainableMethods = Object.values(methods).filter((method) => method.trainable);

describe.each(trainableMethods.map((method) => [method.name, method] as const))("%s", (_, method) => {
  test("trains, classifies trained and new classes without leaks; the same seed gives the same logits", async () => {
    const task = taskOf(method);
    const before = tf.memory().numTensors;
    const tensorCounts = new Set<number>();
    const results: number[][] = [];
    for (const run of [0, 1]) {
      const { params, last, history } = await train(method, task, pictures, {
        onStep: ({ epoch, step }) => epoch + step > 0 && run === 0 && tensorCounts.add(tf.memory().numTensors),
      });
      expect(history.every(({ losses }) => Number.isFinite(losses.total))).toBe(true);
      for (const names of [classNames, otherNames]) {
        const logits = logitsOf(method, { ...task, classNames: names }, params);
        expect(logits.shape).toEqual([4, names.length]);
        if (names === otherNames) results.push([...logits.dataSync()]);
        logits.dispose();
      }
      tf.dispose([params, last] as any);
      expect(tf.memory().numTensors).toBe(before);
    }
    expect(results[0]).toEqual(results[1]);
    expect(results[0].every(Number.isFinite)).toBe(true);
    expect(tensorCounts.size).toBe(1);
  }, 60_000);

  test("gradients of the training loss agree with finite differences", () => {
    const task = taskOf(method, { consistency: "mse" }); // the L1 terms are not differentiable everywhere
    const params = method.init(task);
    // so that parameters differ that are initialised equal
    for (const [name, p] of Object.entries(params)) params[name] = tf.add(p, gaussian(p.shape, 0.1));
    const learner = method.prepare(task);
    const direction = tf.tidy(() =>
      Object.fromEntries(Object.entries(params).map(([name, p]) => [name, gaussian(p.shape)])),
    );
    const { gradients, names, terms } = step(method, task, params);
    const slope = Object.keys(params).reduce(
      (sum, name) => sum + tf.sum(tf.mul(gradients[name], direction[name])).dataSync()[0],
      0,
    );
    const loss = learner.loss({ pixels: images(), labels });
    const h = 2e-3;
    const lossAt = (t: number) =>
      tf
        .tidy(() =>
          loss(
            Object.fromEntries(
              Object.entries(params).map(([name, p]) => [name, tf.add(p, tf.mul(direction[name], t))]),
            ),
          ),
        )
        .total.dataSync()[0];
    expect(names).toContain("total");
    expect(terms.size).toBe(names.length);
    // ProGrad changes the gradient, MMA scales parts of it (test/parity checks both).
    if (!/^(prograd|mma)/.test(method.name))
      expect(Math.abs((lossAt(h) - lossAt(-h)) / (2 * h) - slope)).toBeLessThan(0.03 * Math.max(1, Math.abs(slope)));
    learner.dispose();
  });
});

test("the parts of a method lie where its settings put them, and asking for them leaves no tensor behind", () => {
  const before = tf.memory().numTensors;
  const partsOf = (name: string, changes: Settings = {}) => {
    const method = methodNamed(name);
    return method.parts?.(taskOf(method, changes)).map((part) => Object.values(part).join(" "));
  };
  expect(partsOf("promptsrc", { depth: { text: 2, image: 1 } })).toEqual([
    "text 0 prompts",
    "text 1 prompts",
    "image 0 prompts",
  ]);
  expect(partsOf("tcp", { tcp: { block: 1 } })).toEqual(["text 0 prompts", "text 1 prompts"]);
  const upper = { from: 2, to: 2 };
  expect(partsOf("mma", { mma: { width: 4, scale: 1, blocks: upper } })).toEqual(["text 1 adapter", "image 1 adapter"]);
  expect(partsOf("mmrl", { mmrl: { tokens: 2, width: 4, share: 0.5, blocks: upper } })).toEqual([
    "text 1 prompts",
    "image 1 prompts",
    "features classifier",
  ]);
  expect(partsOf("dept-coop")).toEqual(["text 0 prompts", "features classifier"]);
  expect(new Set(partsOf("clip-lora"))).toContain(`image ${clip.image.blocks.length - 1} low-rank maps`);
  expect(partsOf("tip-adapter-f")).toEqual(["features cache"]);
  expect(tf.memory().numTensors).toBe(before);
});

test("every method has settings for every benchmark, and only its own method-specific groups", () => {
  for (const method of Object.values(methods)) {
    for (const benchmark of Object.keys(paper) as (keyof typeof paper)[]) {
      const config = configFor(method, "paper", benchmark);
      for (const key of ["coop", "kgcoop", "prograd", "proda"] as const) {
        const expectsGroup =
          method.name === key ||
          (key === "coop" && ["kgcoop", "prograd", "coop-src", "dept-coop"].includes(method.name)) ||
          (key === "kgcoop" && method.name === "tcp"); // TCP's loss is KgCoOp's
        expect([method.name, key, config[key] !== undefined]).toEqual([method.name, key, expectsGroup]);
      }
    }
  }
});

describe("regularisers", () => {
  test.each([
    ["promptsrc", "ivlp"],
    ["maple-src", "maple"],
    ["coop-src", "coop"],
  ])("%s with loss weights 0 has the gradients of %s", (regularised, host) => {
    const task = taskOf(methodNamed(regularised), { lossWeights: { text: 0, image: 0, logits: 0 } });
    const params = methodNamed(host).init(taskOf(methodNamed(host)));
    const [a, b] = [
      step(methodNamed(regularised), task, params),
      step(methodNamed(host), taskOf(methodNamed(host)), params),
    ];
    for (const name of Object.keys(params)) expect(difference(a.gradients[name], b.gradients[name])).toBeLessThan(1e-6);
  });

  test("KgCoOp with weight 0 and ProGrad with lambda 0 have the gradients of CoOp", () => {
    const params = methods.coop.init(taskOf(methods.coop));
    const reference = step(methods.coop, taskOf(methods.coop), params).gradients.ctx;
    for (const [name, changes] of [
      ["kgcoop", { kgcoop: { weight: 0 } }],
      ["prograd", { prograd: { lambda: 0 } }],
    ] as const) {
      const gradient = step(methodNamed(name), taskOf(methodNamed(name), changes), params).gradients.ctx;
      expect(difference(gradient, reference)).toBeLessThan(1e-6);
    }
  });
});

describe("CoOp", () => {
  test.each(["end", "middle", "front"] as const)("name at the %s: agrees with the reference encoder", (position) => {
    const task = taskOf(methods.coop, {
      tokens: { text: 5 },
      contextInit: "",
      coop: { position, classSpecific: false },
    });
    const ctx = gaussian([5, clip.text.width], 0.5);
    const classifier = methods.coop.classify(task, { ctx });
    classNames.forEach((name, c) => {
      const ids = sentenceIds(task as Task<ContextSettings>, name, position);
      const slotPositions = ids.flatMap((id, i) => (typeof id === "number" ? [] : [i]));
      expect(slotPositions.length).toBe(5);
      // The reference accepts prompts only directly after the start token, so all other tokens are passed as prompts.
      const idsWithoutSlots = ids.map((id) => (typeof id === "number" ? id : 0));
      const tokens = tf.tidy(() => {
        const embedded = tf.gather(clip.text.tokens, tf.tensor1d(idsWithoutSlots.slice(1), "int32"));
        const slotMatrix = tf.tensor2d(
          ids
            .slice(1)
            .flatMap((id) => Array.from({ length: 5 }, (_, k) => (typeof id !== "number" && id.slot === k ? 1 : 0))),
          [ids.length - 1, 5],
        );
        const isToken = tf.sub(1, tf.sum(slotMatrix, 1, true));
        return tf.add(tf.mul(embedded, isToken), tf.matMul(slotMatrix, ctx)) as Tensor2D;
      });
      const expected = tf.tidy(() => {
        const raw = referenceText(clip, [idsWithoutSlots], textPrompts([tokens])).features;
        return tf.div(raw, tf.norm(raw));
      });
      expect(difference(tf.slice(classifier.text as Tensor2D, [c, 0], [1, -1]), expected)).toBeLessThan(2e-5);
    });
    classifier.dispose();
  });

  test("class-specific contexts cannot classify other classes; the error message says why", () => {
    const task = taskOf(methods.coop, { coop: { position: "end", classSpecific: true } });
    const params = methods.coop.init(task);
    expect(params.ctx.shape[0]).toBe(classNames.length);
    expect(methods.coop.transfers?.(task.config)).toBe(false);
    expect(methods.coop.transfers?.(taskOf(methods.coop).config)).toBe(true);
    expect(() => methods.coop.classify({ ...task, classNames: otherNames }, params)).toThrow(
      /3 contexts and 4 class names/,
    );
  });

  test("class-specific contexts that are equal give the logits of a shared context", () => {
    const [sharedTask, classSpecificTask] = [false, true].map((classSpecific) =>
      taskOf(methods.coop, { coop: { position: "middle", classSpecific } }),
    );
    const [a, b] = [sharedTask, classSpecificTask].map((task) => logitsOf(methods.coop, task, methods.coop.init(task)));
    expect(difference(a, b)).toBeLessThan(1e-4);
  });
});

test("CoCoOp with a meta-net of zeros gives the logits of CoOp", () => {
  const task = taskOf(methods.cocoop);
  const params = methods.cocoop.init(task);
  for (const name of Object.keys(params)) if (name.startsWith("meta_net")) params[name] = tf.zerosLike(params[name]);
  expect(
    difference(
      logitsOf(methods.cocoop, task, params),
      logitsOf(methods.coop, taskOf(methods.coop), { ctx: params.ctx }),
    ),
  ).toBeLessThan(1e-4);
});

test("vision prompting leaves zero-shot CLIP's class features unchanged, language prompting its image features", () => {
  const featuresOf = (name: string) => {
    const classifier = methodNamed(name).classify(
      taskOf(methodNamed(name)),
      methodNamed(name).trainable ? methodNamed(name).init(taskOf(methodNamed(name))) : {},
    );
    return { text: classifier.text as Tensor2D, image: tf.tidy(() => classifier.image(images())) };
  };
  const [frozen, vision, language] = ["clip", "vision", "language"].map(featuresOf);
  expect(difference(frozen.text, vision.text)).toBe(0);
  expect(difference(frozen.image, language.image)).toBe(0);
  expect(difference(frozen.image, vision.image)).toBeGreaterThan(1e-3);
});

test("MaPLe maps text prompts to image prompts; prompt sets deeper than the text depth are used by images only", () => {
  const task = taskOf(methods.maple, { depth: { text: 2, image: 3 }, tokens: { text: 2, image: 2 } });
  const params = methods.maple.init(task);
  expect(Object.keys(params).filter((name) => name.startsWith("compound_prompts_text"))).toHaveLength(2);
  const { gradients } = step(methods.maple, task, params);
  for (const gradient of Object.values(gradients)) expect(tf.max(tf.abs(gradient)).dataSync()[0]).toBeGreaterThan(0);
  const text = (changed: Params) => methods.maple.classify(task, changed).text as Tensor2D;
  expect(difference(text(params), text({ ...params, "compound_prompts_text.1": tf.zeros([2, clip.text.width]) }))).toBe(
    0,
  );
  const suffixes = suffixGroups(
    clip.text,
    classNames.map((name) => tokenise(clip, `a photo of a ${name.replace("_", " ")}.`)),
    2,
  );
  const raw = encodeText(clip.text, suffixes, [params.ctx, params["compound_prompts_text.0"]] as Tensor2D[]);
  expect(difference(text(params), tf.div(raw, tf.norm(raw, 2, 1, true)))).toBeLessThan(1e-6);
});

test("the logits of ProDA's upper bound agree with their formula, computed term by term", () => {
  const [B, C, K, E, scale] = [2, 3, 4, 5, 7];
  const f = gaussian([B, E]);
  const features = gaussian([C, K * E]);
  const truth = tf.tensor2d([
    [0, 1, 0],
    [0, 0, 1],
  ]);
  const w = features
    .arraySync()
    .map((row: number[]) => Array.from({ length: K }, (_, k) => row.slice(k * E, (k + 1) * E)));
  const mean = w.map((ws: number[][]) => ws[0].map((_, d) => ws.reduce((sum, v) => sum + v[d], 0) / K));
  const expected = f.arraySync().map((x: number[], b: number) => {
    const y = [1, 2][b];
    return mean.map((m: number[], i: number) => {
      const spread = x.reduce((sum, xd, d) => {
        const squares = w[i].map((v: number[], k: number) => (v[d] - m[d] - (w[y][k][d] - mean[y][d])) ** 2);
        return sum + (xd ** 2 * squares.reduce((a: number, q: number) => a + q, 0)) / (K + 1);
      }, 0);
      return scale * x.reduce((sum, xd, d) => sum + xd * m[d], 0) + (scale ** 2 / 2) * spread;
    });
  });
  const bound = boundLogits(f, features, truth, scale, K);
  expect(difference(bound, tf.tensor2d(expected)) / tf.max(tf.abs(bound)).dataSync()[0]).toBeLessThan(1e-5);
});

describe("linear probe", () => {
  const draw = seeded("probe");
  const [N, E, C] = [30, 4, 3];
  const labels = Array.from({ length: N }, (_, n) => n % C);
  const features = Float64Array.from(
    { length: N * E },
    (_, i) => draw.normal() + 5 + (labels[Math.floor(i / E)] === i % E ? 2 : 0),
  );
  const samples = { features, labels };

  test("centring the features does not change the minimum; the penalised weights of a feature sum to 0", () => {
    const fit = regress(samples, 0.5, C, 1e-6);
    const means = featureMeans(samples);
    const shifted = uncentred(regress(centred(samples, means), 0.5, C, 1e-6), means, C);
    for (let i = 0; i < E * C; i++) expect(Math.abs(shifted[i] - fit[i])).toBeLessThan(2e-3);
    expect(accuracyOf(samples, shifted, C)).toBe(accuracyOf(samples, fit, C));
    for (let e = 0; e < E; e++) {
      let sum = 0;
      for (let c = 0; c < C; c++) sum += fit[e * C + c];
      expect(Math.abs(sum)).toBeLessThan(1e-3);
    }
    expect(accuracyOf(samples, fit, C)).toBeGreaterThan(0.6);
  });

  test("fits and classifies its training pictures, and leaks no tensors", async () => {
    const before = tf.memory().numTensors;
    const task = taskOf(methods.probe);
    const params = await methods.probe.fit?.(task, {
      train: [{ pixels, labels: Int32Array.from([0, 1, 2, 2]) }],
      val: [{ pixels, labels: Int32Array.from([0, 1, 2, 2]) }],
      views: () => [],
    });
    const logits = logitsOf(methods.probe, task, params as Params);
    expect([...logits.argMax(1).dataSync()]).toEqual([0, 1, 2, 2]);
    tf.dispose([params, logits] as any);
    expect(tf.memory().numTensors).toBe(before + 1); // the result of argMax
  });
});

describe("Tip-Adapter", () => {
  /** Unit rows of plain arrays. */
  const unit = (rows: number[][]) => rows.map((row) => row.map((v) => v / Math.hypot(...row)));
  const dot = (a: number[], b: number[]) => a.reduce((sum, v, i) => sum + v * b[i], 0);
  const rowsOf = (features: Tensor2D) => tf.tidy(() => features.arraySync()) as number[][];
  const views = (view: number) => [{ pixels: pixels.map((v) => v * (1 + 0.3 * view)), labels }];

  test.each(["tip-adapter", "tip-adapter-f"])("%s: logits are those of its formula, computed apart", async (name) => {
    const method = methodNamed(name);
    const task = taskOf(method, { lr: 0.01, batch: 3 });
    const set = [{ pixels, labels }];
    const params = (await method.fit?.(task, { train: set, val: set, views })) as Params;
    const classifier = method.classify(task, params);
    const [f, text, logits, keys, values] = [
      classifier.image(images()),
      tf.clone(classifier.text as Tensor2D),
      tf.tidy(() => classifier.logits(images())),
      params.keys as Tensor2D,
      params.values as Tensor2D,
    ].map(rowsOf);
    const [alpha, beta] = params.sharpness.dataSync();
    const own = f.map((x) =>
      text.map((w, c) => {
        const cached = keys.reduce((sum, key, n) => sum + Math.exp(-beta * (1 - dot(x, key))) * values[n][c], 0);
        return clip.logitScale * dot(x, w) + alpha * cached;
      }),
    );
    logits.forEach((row, b) => {
      row.forEach((value, c) => {
        expect(Math.abs(value - own[b][c])).toBeLessThan(1e-3);
      });
    });
    expect(values).toEqual([...labels].map((label) => [0, 1, 2].map((c) => (c === label ? 1 : 0))));
    if (name === "tip-adapter") {
      const means = Array.from({ length: 10 }, (_, view) => {
        const batch = tf.tensor4d(views(view)[0].pixels, [4, 3, clip.image.size, clip.image.size]);
        return rowsOf(encodeImage(clip.image, imageFront(clip.image, batch), []));
      }).reduce((sum, rows) => sum.map((row, n) => row.map((v, e) => v + rows[n][e])));
      unit(means).forEach((key, n) => {
        expect(dot(key, keys[n])).toBeGreaterThan(1 - 1e-5);
      });
    }
    expect(method.transfers?.(task.config)).toBe(false);
    classifier.dispose();
    tf.dispose(params);
  });

  test("stopped on the way, it leaves no tensor behind", async () => {
    const method = methods["tip-adapter-f"];
    const task = taskOf(method, { lr: 0.01, batch: 3, epochs: 5 });
    const before = tf.memory().numTensors;
    for (const last of [4, 12]) {
      const stop = new AbortController();
      const stopping = (view: number) => {
        if (view === last) stop.abort(new Error("stopped"));
        return views(view);
      };
      const set = [{ pixels, labels }];
      const fitting = method.fit?.(task, { train: set, val: set, views: stopping }, stop.signal);
      await expect(fitting).rejects.toThrow("stopped");
    }
    expect(tf.memory().numTensors).toBe(before);
  });

  test.each(["tip-adapter", "tip-adapter-f"])("%s leaves no tensor behind", async (name) => {
    const method = methodNamed(name);
    const task = taskOf(method, { lr: 0.01, batch: 3 });
    const counts: number[] = [];
    for (let run = 0; run < 2; run++) {
      const set = [{ pixels, labels }];
      const params = (await method.fit?.(task, { train: set, val: set, views })) as Params;
      const logits = logitsOf(method, task, params);
      tf.dispose([logits, params] as any);
      counts.push(tf.memory().numTensors - (run + 1)); // the pictures that `logitsOf` makes are the test's own
    }
    expect(counts[1]).toBe(counts[0]); // the first run may fill caches
  });

  test("alpha and beta are the first of the grid with the best accuracy", async () => {
    const [B, N, C, E] = [12, 9, 3, 5];
    const f = unit(gaussian([B, E]).arraySync());
    const keys = unit(gaussian([N, E]).arraySync());
    const values = Array.from({ length: N }, (_, n) => [0, 1, 2].map((c) => (n % C === c ? 1 : 0)));
    const zeroShot: number[][] = gaussian([B, C]).arraySync();
    const truth = Int32Array.from({ length: B }, (_, b) => b % C);
    const rightWith = (alpha: number, beta: number) =>
      f.filter((x, b) => {
        const row = zeroShot[b].map(
          (z, c) => z + alpha * keys.reduce((sum, k, n) => sum + Math.exp(-beta * (1 - dot(x, k))) * values[n][c], 0),
        );
        return row.indexOf(Math.max(...row)) === truth[b];
      }).length;
    let best = { alpha: 0, beta: 0, right: -1 };
    for (let i = 0; i < 200; i++) {
      for (let j = 0; j < 20; j++) {
        const [beta, alpha] = [0.1 + (i * 11.9) / 200, 0.1 + (j * 4.9) / 20];
        const right = rightWith(alpha, beta);
        if (right > best.right) best = { alpha, beta, right };
      }
    }
    const cache = { keys: tf.tensor2d(keys), values: tf.tensor2d(values) };
    const chosen = await searchSharpness(tf.tensor2d(f), tf.tensor2d(zeroShot), cache, truth);
    expect(chosen.alpha).toBeCloseTo(best.alpha, 10);
    expect(chosen.beta).toBeCloseTo(best.beta, 10);
  });
});

test.each([
  ["a photo of a {}, a type of pet.", "a type of pet, a photo of a {}."],
  ["a photo of {}, a type of food.", "a type of food, a photo of {}."],
  ["{} texture.", "a texture of {}."],
  ["a centered satellite photo of {}.", "a centered satellite photo of {}."],
  ["a photo of a {}.", "a photo of a {}."],
])("ProGrad's sentence for the dataset of %j is that of its official code", (template, expected) => {
  expect(configFor(methods.prograd, "paper", "baseToNovel", template).zeroShotTemplates).toEqual([expected]);
  expect(configFor(methods.clip, "paper", "baseToNovel", template).zeroShotTemplates).toEqual([template]);
});
