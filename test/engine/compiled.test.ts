/** Functions: what they compute, when they are used, what they refuse, and that they are removed. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { quickConfig, writeRandomClip } from "../../bench/randomClip";
import { forgetImages } from "../../src/cache/imageFeatures";
import { loadClip } from "../../src/clip/load";
import type { RawTensor } from "../../src/engine/backend";
import { compiled } from "../../src/engine/compiled";
import { nativeBackend } from "../../src/engine/nativeBackend";
import { type KernelProfile, profileKernels } from "../../src/engine/profiler";
import { tf } from "../../src/engine/tf";
import { settle } from "../../src/methods/method";
import { methods } from "../../src/methods/registry";
import { optimiserStep, tensorsOf } from "../../src/solvers/optimiser";
import { gradientStep } from "../../src/training/train";

const { runRaw, add, mul, sum } = nativeBackend;
type Arrays = Record<"x" | "y", RawTensor>;

/** The values of what a computation gives, after it was called so often that it is a function. */
const values = (computation: (args: any) => Record<string, RawTensor>, args: object, calls = 17): number[][] => {
  for (let i = 1; i < calls; i++) tf.dispose(runRaw(() => computation(args)));
  return tf.tidy(() => Object.values(runRaw(() => computation(args))).map((array) => [...array.dataSync()]));
};

describe.runIf(tf.getBackend() === "tensorflow")("functions", () => {
  beforeAll(() => void vi.spyOn(nativeBackend, "fused", "get").mockReturnValue(undefined)); // as on a GPU
  afterAll(() => void vi.restoreAllMocks());
  const [a, b] = [tf.tensor1d([1, 2]), tf.tensor1d([10, 20])];

  test("one operation from the 17th call on, for each shape, number and pattern of equal arrays", () => {
    const before = tf.memory().numTensors;
    const f = compiled("affine", ({ x, y, by }: Arrays & { by: number }) => ({
      z: add(mul(x, by), y),
      total: sum(y, 0),
    }));
    const kernels = (args: object) => profileKernels(() => void values(f, args, 1)).map(({ name }) => name);
    for (let i = 0; i < 16; i++)
      expect(kernels({ x: a, y: b, by: 3 })).toEqual(expect.arrayContaining(["Mul", "AddV2", "Sum"]));
    expect(kernels({ x: a, y: b, by: 3 })).toEqual([expect.stringMatching(/^affine_\d+$/)]);
    expect(values(f, { x: a, y: b, by: 3 })).toEqual([[13, 26], [30]]);
    expect(values(f, { x: b, y: a, by: 3 })).toEqual([[31, 62], [3]]);
    expect(values(f, { x: a, y: a, by: 3 })).toEqual([[4, 8], [3]]);
    expect(values(f, { x: a, y: b, by: 4 })).toEqual([[14, 28], [30]]);
    const row = tf.tensor2d([1, 2], [1, 2]);
    expect(values(f, { x: row, y: b, by: 3 })).toEqual([[13, 26], [30]]);
    row.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  test("an argument may be a result, and a result may be absent", () => {
    const f = compiled("same", ({ x, y }: Arrays) => ({ x, z: add(x, y), none: undefined }));
    for (let i = 0; i < 18; i++) {
      const { x, z, none } = runRaw(() => f({ x: a, y: b }));
      expect([x, none]).toEqual([a, undefined]);
      expect([...z.dataSync()]).toEqual([11, 22]);
      z.dispose();
    }
  });

  test("what it refuses: an array that is no argument, and a kernel it does not know", () => {
    const before = tf.memory().numTensors;
    const captured = compiled("captured", ({ x }: { x: RawTensor }) => ({ z: add(mul(x, 2), b) }));
    expect(() => values(captured, { x: a })).toThrow(
      "captured cannot be one operation: an input [2] of AddV2 is neither an argument nor made from one",
    );
    const outside = compiled("outside", ({ x }: { x: RawTensor }) => ({ z: add(x, tf.ones([2])) }));
    expect(() => tf.tidy(() => values(outside, { x: a }))).toThrow(/an input \[2\] of AddV2 is neither/);
    expect(tf.memory().numTensors).toBe(before);
  });

  test("the least recently used are removed, and are made again when they are needed", () => {
    const f = compiled("many", ({ x, y, by }: Arrays & { by: number }) => ({ z: mul(add(x, y), by) }));
    for (let by = 0; by < 130; by++) expect(values(f, { x: a, y: b, by })).toEqual([[11 * by, 22 * by]]);
    expect(values(f, { x: a, y: b, by: 2 })).toEqual([[22, 44]]);
  });

  // Texts of unequal length; MMA and CLIP-LoRA add inside the blocks, Adam is in LoRA's.
  test.each(["promptsrc", "mma", "clip-lora"] as const)(
    "a training step of %s: numbers, and no array is left",
    async (name) => {
      const method = methods[name];
      const clip = await loadClip(writeRandomClip());
      const task = { clip, classNames: ["cat", "snow leopard", "tree"], config: settle(method, quickConfig), seed: 1 };
      const pixels = tf.randomNormal([4, 3, clip.image.size, clip.image.size], 0, 1, "float32", 1).dataSync();
      const labels = Int32Array.from([0, 1, 2, 2]);
      const params = method.init(task);
      const learner = method.prepare(task);
      const step = () => {
        forgetImages(); // so that the frozen encoder runs in each step
        const shape: [number, number, number, number] = [4, 3, clip.image.size, clip.image.size];
        const { terms, gradients } = gradientStep(learner, params, () => ({
          pixels: tf.tensor4d(pixels as Float32Array, shape),
          labels,
          at: [0, 0],
        }));
        const next = optimiserStep(params, null, params, task.config as any, () => 0.1);
        const numbers = [terms, ...Object.values(gradients), ...Object.values(next.params)].map((array) => [
          ...array.dataSync(),
        ]);
        tf.dispose([terms, gradients, next.params, tensorsOf(next.state)] as any);
        return numbers;
      };
      let first: number[][] = [];
      const apart = profileKernels(() => {
        first = step();
      });
      const before = tf.memory().numTensors;
      for (let i = 0; i < 16; i++) step();
      let last: number[][] = [];
      const together = profileKernels(() => {
        last = step();
      });
      const kernels = together.map(({ name }) => name);
      const flops = (profile: KernelProfile[]) => profile.reduce((sum, { flops }) => sum + flops, 0);
      expect(flops(together)).toBe(flops(apart));
      expect(tf.memory().numTensors).toBe(before);
      expect(
        kernels.filter((name) => /^(blockForward|blockBackward|optimiserStep)_/.test(name)).length,
      ).toBeGreaterThan(3);
      expect(kernels).not.toContain("Softmax");
      first.forEach((numbers, i) => {
        const largest = Math.max(...numbers.map(Math.abs));
        const difference = Math.max(...numbers.map((number, j) => Math.abs(number - last[i][j])));
        expect(difference).toBeLessThanOrEqual(1e-5 * largest);
      });
      learner.dispose();
      tf.dispose(params);
    },
  );
});
