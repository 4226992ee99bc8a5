/** The fast encoders against the reference: features and gradients, for all depths, lengths and shapes of towers. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type BlockInputs, blocksWithoutRecompute, fastBlock, projectQKV } from "../../src/clip/fast/block";
import { transposeBlock } from "../../src/clip/fast/foldConstants";
import { encodeImage, imageFront } from "../../src/clip/fast/image";
import { causalMask, groupByLength, suffixGroups, tokenise } from "../../src/clip/fast/suffixes";
import { encodeText, encodeTexts } from "../../src/clip/fast/text";
import { disposeClip, loadClip } from "../../src/clip/load";
import { type Hooks, imagePrompts, referenceImage, referenceText, textPrompts } from "../../src/clip/reference";
import { isRegistered, nativeBackend } from "../../src/engine/nativeBackend";
import { profileKernels } from "../../src/engine/profiler";
import { type Tensor, type Tensor2D, tf } from "../../src/engine/tf";
import { seeded } from "../../src/util/random";
import { writeRandomClip } from "../randomClip";

const random = seeded("encoders");
const gaussian = (shape: number[], std = 1) =>
  tf.tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => std * random.normal()),
    shape,
  ) as any;

function close(actual: Tensor, expected: Tensor, tolerance: number) {
  expect(actual.shape).toEqual(expected.shape);
  const difference = tf.tidy(() => tf.max(tf.abs(tf.sub(actual, expected))).dataSync()[0]);
  const largest = tf.tidy(() => tf.max(tf.abs(expected)).dataSync()[0]);
  expect(difference).toBeLessThanOrEqual(tolerance * largest);
}

/** Features, and the gradients of a random combination of them, with both encoders. */
function compare(
  fast: (prompts: Tensor2D[]) => Tensor2D,
  reference: (prompts: Tensor2D[]) => Tensor2D,
  prompts: Tensor2D[],
) {
  tf.tidy(() => {
    const a = fast(prompts);
    const b = reference(prompts);
    close(a, b, 2e-5);
    if (prompts.length === 0) return;
    const mix = gaussian(b.shape);
    const gradients = (f: (p: Tensor2D[]) => Tensor2D) =>
      tf.grads((...p: Tensor[]) => tf.sum(tf.mul(f(p as Tensor2D[]), mix)))(prompts);
    const [ours, theirs] = [gradients(fast), gradients(reference)];
    ours.forEach((gradient, i) => {
      close(gradient, theirs[i], 1e-4);
    });
  });
}

/** The fused kernels of this machine, or none, as on a GPU. */
const withFused = (present: boolean) => {
  vi.restoreAllMocks();
  if (!present) vi.spyOn(nativeBackend, "fused", "get").mockReturnValue(undefined);
};
afterAll(() => withFused(true));

describe.each([
  ["5 text and 3 image blocks", {}, true],
  [
    "2 text and 4 image blocks, GELU, a rest of pixels",
    { textLayers: 2, visionLayers: 4, activation: "gelu", size: 20 },
    true,
  ],
  ["single blocks", { textLayers: 1, visionLayers: 1 }, true],
  [
    "wide towers, whose matrix products are TensorFlow's",
    { textLayers: 2, text: 576, visionLayers: 2, vision: 576 },
    true,
  ],
  ["without fused kernels, as on a GPU", { textLayers: 3, visionLayers: 2 }, false],
])("%s", (_, changes, fused) => {
  beforeAll(() => withFused(fused));
  const folder = writeRandomClip(changes);
  const loaded = loadClip(folder);

  test("image tower at every depth, 1 to 3 tokens", async () => {
    const clip = await loaded;
    const { image } = clip;
    const pixels = gaussian([3, 3, image.size, image.size]);
    for (let depth = 0; depth <= image.blocks.length; depth++) {
      const prompts = Array.from({ length: depth }, () => gaussian([1 + (depth % 3), image.width], 0.5));
      compare(
        (p) => encodeImage(image, imageFront(image, pixels), p),
        (p) => referenceImage(clip, pixels, imagePrompts(p)).features,
        prompts,
      );
    }
  });

  test.each([
    ["names of one token and of many", ["a", "snow leopard of the golden tree", "cat", "i"]],
    ["a single class", ["sunflower"]],
  ])("text tower at every depth: %s", async (_, names) => {
    const clip = await loaded;
    for (const tokens of [1, 3]) {
      const ids = names.map((name) => tokenise(clip, `a a a ${name}.`));
      for (let depth = 0; depth <= clip.text.blocks.length; depth++) {
        const groups = suffixGroups(clip.text, ids, depth ? tokens : 0, true);
        const prompts = Array.from({ length: depth }, () => gaussian([tokens, clip.text.width], 0.5));
        compare(
          (p) => encodeText(clip.text, groups, p),
          (p) => referenceText(clip, ids, textPrompts(p)).features,
          prompts,
        );
      }
    }
  });

  test("many groups of texts come back in order", async () => {
    const clip = await loaded;
    const texts = ["cat", "a photo of a golden oak tree", "i", "a cat", "air plane"];
    const ids = texts.map((text) => tokenise(clip, text));
    tf.tidy(() => {
      const expected = referenceText(clip, ids).features;
      close(encodeTexts(clip, texts), expected, 2e-5);
      const apart = ids
        .map((_, row) => suffixGroups(clip.text, [ids[row]], 0)[0])
        .map((group, row) => ({ ...group, texts: [row] }));
      const shuffled = [apart[3], apart[0], apart[4], apart[2], apart[1]];
      close(encodeText(clip.text, shuffled, []), expected, 2e-5);
    });
  });
});

describe("a block that recomputes what its backward pass needs", () => {
  beforeAll(() => withFused(true));
  const [G, S, P] = [4, 3, 2];
  const loaded = loadClip(writeRandomClip());
  const layout = (rowSplits: number[]) => ({
    maxLength: S,
    scatterIndices: tf.range(0, G * S, 1, "int32"),
    rowSplits: tf.tensor1d(rowSplits, "int32"),
  });
  const cases: [string, (clip: Awaited<typeof loaded>) => BlockInputs][] = [
    ["tokens alone", () => ({})],
    [
      "prompts, a constant and a mask",
      ({ text }) => ({ prefixKV: text.startKV[1], prompts: gaussian([P, 32]), mask: gaussian([S, 1 + P + S]) }),
    ],
    [
      "one that asks, several sets",
      () => ({ queryRows: tf.tensor1d([0, 5, 7, 11], "int32"), prompts: gaussian([2 * P, 32]), promptSets: 2 }),
    ],
    [
      "sequences of unequal length",
      () => ({
        ragged: {
          maxLength: 5,
          scatterIndices: tf.tensor1d([0, 1, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16], "int32"),
          rowSplits: tf.tensor1d([0, 2, 7, 10, 12], "int32"),
        },
        mask: causalMask(5, P),
        prompts: gaussian([P, 32]),
      }),
    ],
    ["fixed tokens", () => ({ frozenInput: true, prompts: gaussian([P, 32]) })],
  ];
  /** Gradients of a random combination of the block's outputs, as a function of whether it recomputes. */
  const gradientsOf = (clip: Awaited<typeof loaded>, inputs: BlockInputs) => {
    const w = clip.text.blocks[1];
    const x = gaussian([G * S, 32]) as Tensor2D;
    if (inputs.frozenInput) inputs.qkv = projectQKV(w, x);
    const mix = gaussian([inputs.queryRows ? G : G * S, 32]);
    return (recompute: boolean) =>
      tf.grads((x: Tensor, p: Tensor) => {
        const prompts = inputs.prompts && (p as Tensor2D);
        const y = fastBlock(w, x as Tensor2D, G, { ...inputs, prompts, recompute });
        return tf.sum(tf.add(tf.sum(tf.mul(y, mix)), tf.mul(0, tf.add(tf.sum(x), tf.sum(p)))));
      })([x, inputs.prompts ?? tf.zeros([1, 1])]);
  };

  test.each(cases)("%s", async (_, make) => {
    const clip = await loaded;
    const before = tf.memory().numTensors;
    tf.tidy(() => {
      const gradients = gradientsOf(clip, make(clip));
      const [kept, made] = [gradients(false), gradients(true)];
      kept.forEach((gradient, i) => {
        expect([...made[i].dataSync()]).toEqual([...gradient.dataSync()]);
      });
    });
    expect(tf.memory().numTensors).toBe(before);
  });

  test.runIf(tf.getBackend() === "tensorflow").each(cases)("%s, each pass as one operation", async (_, make) => {
    const clip = await loaded;
    withFused(false);
    const before = tf.memory().numTensors;
    tf.tidy(() => {
      const gradients = gradientsOf(clip, make(clip));
      for (const recompute of [false, true]) {
        const apart = gradients(recompute);
        for (let i = 0; i < 16; i++) tf.dispose(gradients(recompute));
        const kernels = profileKernels(() => {
          gradients(recompute).forEach((gradient, i) => {
            close(gradient, apart[i], 1e-6);
          });
        }).map(({ name }) => name.replace(/\d+$/, ""));
        expect(kernels).toEqual(expect.arrayContaining(["blockForward_", "blockBackward_"]));
        expect(kernels).not.toContain("Softmax");
      }
    });
    withFused(true);
    expect(tf.memory().numTensors).toBe(before);
  });

  test("preparing texts for training leaves the frozen model as it was, transposed weights included", async () => {
    const clip = await loadClip(writeRandomClip({ textLayers: 2, text: 576, visionLayers: 1 }));
    const before = tf.memory().numTensors;
    const keys = clip.text.blocks.map((w) => Object.keys(w).join());
    const groups = suffixGroups(clip.text, [tokenise(clip, "a a cat."), tokenise(clip, "a a golden tree.")], 2, true);
    expect(groups[0].transposed).toHaveLength(2);
    expect(clip.text.blocks.map((w) => Object.keys(w).join())).toEqual(keys);
    tf.dispose(groups as any);
    expect(tf.memory().numTensors).toBe(before);
    disposeClip(clip);
  });

  test("a missing kernel is a slower path, a broken one an error", async () => {
    await loaded;
    expect(isRegistered("PromptsrcSilu")).toBe(true);
    expect(isRegistered("PromptsrcNoSuchKernel")).toBe(false);
    expect(() => isRegistered("PromptsrcLinear")).toThrow(/PromptsrcLinear/);
  });

  test.each([
    ["a mask with too few columns", { mask: gaussian([S, S - 1]) }, /fewer columns than a sequence has keys/],
    ["a mask with too few rows", { mask: gaussian([S - 1, S]) }, /fewer rows than a sequence has queries/],
    ["row splits beyond the rows", { ragged: layout([0, 3, 6, 9, 13]) }, /end with the number of rows/],
    ["row splits that decrease", { ragged: layout([0, 3, 9, 6, 12]) }, /must not decrease/],
    ["a wrong number of row splits", { ragged: layout([0, 12]) }, /row splits has the shape \[2\], wanted is \[5\]/],
  ])("the fused attention refuses %s, instead of reading beyond an array", async (_, inputs, message) => {
    const clip = await loaded;
    if (!nativeBackend.fused) return;
    tf.tidy(() => {
      const x = gaussian([G * S, 32]) as Tensor2D;
      expect(() => fastBlock(clip.text.blocks[1], x, G, inputs)).toThrow(message);
    });
  });

  test("transposed weights give the same", async () => {
    const clip = await loaded;
    tf.tidy(() => {
      const w = clip.text.blocks[1];
      const x = gaussian([G * S, 32]) as Tensor2D;
      close(fastBlock(w, x, G, { transposed: transposeBlock(w) }), fastBlock(w, x, G), 1e-6);
    });
  });

  test("all blocks keep where there is room, none where there is not", () => {
    expect(blocksWithoutRecompute(50 * 6, 512, 192)).toBeGreaterThanOrEqual(12);
    expect(blocksWithoutRecompute(1e6, 512, 192)).toBe(0);
  });
});

test("a text beyond the context names itself", async () => {
  const clip = await loadClip(writeRandomClip());
  expect(() => tokenise(clip, "a ".repeat(40))).toThrow(/has 42 tokens, the model takes at most 24/);
});

test("texts of similar length stand together, as many as may", () => {
  expect(groupByLength([3, 9, 3, 9], 36)).toEqual([[0, 2, 1, 3]]);
  expect(groupByLength([3, 9, 3, 9], 20)).toEqual([
    [0, 2],
    [1, 3],
  ]);
  expect(groupByLength([40, 4, 4, 4], 8)).toEqual([[1, 2], [3], [0]]);
});

describe("hooks of the reference", () => {
  const loaded = loadClip(writeRandomClip());

  test("an adapter that returns what it is given changes nothing, one that halves what block 1 adds does", async () => {
    const clip = await loaded;
    const ids = ["a cat", "tree"].map((name) => tokenise(clip, name));
    const pixels = gaussian([2, 3, clip.image.size, clip.image.size]);
    tf.tidy(() => {
      const same: Hooks = { adapter: () => ({ attention: (y) => y, mlp: (y) => y }) };
      for (const encode of [
        (hooks: Hooks) => referenceText(clip, ids, hooks),
        (hooks: Hooks) => referenceImage(clip, pixels, hooks),
      ]) {
        const plain = encode({});
        close(encode(same).features, plain.features, 1e-7);
        const scaled = (by: number) =>
          encode({ adapter: (i) => (i === 1 ? { mlp: (y) => tf.mul(y, by) } : undefined) }).tokens;
        close(scaled(1), plain.tokens, 1e-7);
        expect(tf.max(tf.abs(tf.sub(scaled(0.5), plain.tokens))).dataSync()[0]).toBeGreaterThan(1e-3);
      }
    });
  });
});
