/**
 * Compares the FLOPs computed from shapes with the products of a real training step, and with sums worked out by hand.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  exactStepCost,
  type FlopsSetting,
  officialStepCost,
  officialTestCost,
  totalCost,
  trainableParameters,
} from "../../bench/flops";
import { forgetImages } from "../../src/cache/imageFeatures";
import { readConfig } from "../../src/clip/config";
import { tokenise } from "../../src/clip/fast/suffixes";
import { disposeClip, loadClip } from "../../src/clip/load";
import { paper } from "../../src/configs/presets";
import { profileKernels } from "../../src/engine/profiler";
import { tf } from "../../src/engine/tf";
import { promptsrc } from "../../src/methods/promptsrc";
import { gradientStep } from "../../src/training/train";
import { writeRandomClip } from "../randomClip";

const vitB16 = {
  embed: 512,
  text: {
    width: 512,
    hidden: 2048,
    layers: 12,
    heads: 8,
    activation: "quick_gelu" as const,
    epsilon: 1e-5,
    vocabulary: 49408,
    context: 77,
    endId: 49407,
  },
  image: {
    width: 768,
    hidden: 3072,
    layers: 12,
    heads: 12,
    activation: "quick_gelu" as const,
    epsilon: 1e-5,
    size: 224,
    patch: 16,
  },
};
const setting: FlopsSetting = {
  batch: 4,
  suffixes: new Array(50).fill(5),
  tokens: { text: 4, image: 4 },
  depth: { text: 9, image: 9 },
  frozenImage: true,
};

describe("ViT-B/16", () => {
  test("has as many trainable parameters as the paper says", () => {
    expect(trainableParameters(vitB16, setting)).toBe(46_080); // "46K"
    expect(trainableParameters(vitB16, { ...setting, depth: { text: 3, image: 3 } })).toBe(15_360);
  });

  test("an official step takes 24 D^2 FLOPs per token and block, and two matrix products for attention", () => {
    const text = 50 * (12 * (24 * 512 ** 2 * 77 + 4 * 77 ** 2 * 512) + 2 * 512 ** 2);
    const frozenForward = 4 * (12 * (24 * 768 ** 2 * 197 + 4 * 197 ** 2 * 768) + 2 * 768 * 512 + 2 * 196 * 768 ** 2);
    const cost = officialStepCost(vitB16, setting);
    expect(cost.textForward).toBe(text);
    expect(cost.imageFrozen).toBe(frozenForward);
    // the backward pass of attention has twice the products
    expect(cost.textBackward).toBe(text + 50 * 12 * 4 * 77 ** 2 * 512);
    expect(officialTestCost(vitB16, setting).classes).toBe(text);
  });

  test("omitting products that reach no result saves half of the FLOPs at 50 classes and seven eighths at 500", () => {
    const setting500 = { ...setting, suffixes: new Array(500).fill(5) };
    expect(totalCost(exactStepCost(vitB16, setting)) / totalCost(officialStepCost(vitB16, setting))).toBeLessThan(0.5);
    expect(totalCost(exactStepCost(vitB16, setting500)) / totalCost(officialStepCost(vitB16, setting500))).toBeLessThan(
      0.13,
    );
  });
});

describe.runIf(tf.getBackend() === "tensorflow")("the products of a real step", () => {
  // Class names of equal length, so that nothing is padded.
  const names = ["cat", "dog", "fox"].map((name) => `${name} ${name}`);

  test.each([
    { text: 4, image: 2 },
    { text: 1, image: 1 },
    { text: 5, image: 3 },
    { text: 2, image: 0 },
  ])("have the computed FLOPs: depth $text (text) and $image (image)", async (depth) => {
    const folder = writeRandomClip({ vision: 96, text: 64, textHeads: 4, visionHeads: 4, size: 36 });
    const clip = await loadClip(folder);
    const shapes = readConfig(join(folder, "config.json"));
    rmSync(folder, { recursive: true });
    const config = { ...paper.baseToNovel, depth, textTargetTemplates: ["{}"], consistency: "l1" };
    const task = { clip, classNames: names, config, seed: 1 };
    const suffixes = names.map(
      (name) => tokenise(clip, `${config.contextInit} ${name}.`).length - 1 - config.tokens.text,
    );
    const { size } = clip.image;
    const params = promptsrc.init(task);
    const learner = promptsrc.prepare(task);
    const batch = () => ({ pixels: tf.zeros([3, 3, size, size]) as any, labels: Int32Array.from([0, 1, 2]) });
    forgetImages();
    const profiles = profileKernels(() => {
      const { terms, gradients } = gradientStep(learner, params, batch);
      tf.dispose([terms, gradients] as any);
    });
    learner.dispose();
    tf.dispose(params);
    disposeClip(clip);
    const profiledFlops = profiles.reduce((sum, { flops }) => sum + flops, 0);
    const computedFlops = totalCost(exactStepCost(shapes, { ...setting, batch: 3, suffixes, depth }));
    // The code does more products: it computes the attention weights a second time, for the gradient.
    expect(profiledFlops / computedFlops).toBeGreaterThan(1);
    expect(profiledFlops / computedFlops).toBeLessThan(1.2);
  });
});
