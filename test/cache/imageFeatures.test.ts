/** Cached frozen image features are the computed ones, and are used only for the same pictures and the same model. */
import { expect, test, vi } from "vitest";
import { forgetImages, rememberImages } from "../../src/cache/imageFeatures";
import type { Clip } from "../../src/clip/model";
import { tf } from "../../src/engine/tf";

const clip = { fingerprint: "a model", embed: 2 } as Clip;
const pictures = (value: number) => tf.fill([2, 3, 1, 1], value) as any;

test("the same pictures are encoded once per model, and again after the cache is cleared", () => {
  forgetImages();
  const before = tf.memory().numTensors;
  tf.tidy(() => {
    let encoded = 0;
    const features = (clip: Clip, pixels: any) =>
      [...rememberImages(clip, pixels, () => tf.mul(tf.ones([2, 2]), (encoded += 1)) as any).dataSync()].join();
    const [first, second] = [features(clip, pictures(1)), features(clip, pictures(2))];
    expect([first, second]).toEqual(["1,1,1,1", "2,2,2,2"]);
    expect([features(clip, pictures(1)), features(clip, pictures(2)), encoded]).toEqual([first, second, 2]);
    features({ ...clip, fingerprint: "another" }, pictures(1));
    features({ ...clip, fingerprint: "" }, pictures(1));
    expect(encoded).toBe(4);
    forgetImages();
    features(clip, pictures(1));
    expect(encoded).toBe(5);
  });
  expect(tf.memory().numTensors).toBe(before);
});

test("on a GPU nothing is cached, and nothing is read back", () => {
  const backend = tf.backend() as any;
  const asOnGpu = Object.getOwnPropertyDescriptor(backend, "isUsingGpuDevice");
  const read = vi.spyOn(backend, "readSync");
  Object.defineProperty(backend, "isUsingGpuDevice", { value: true, configurable: true, writable: true });
  try {
    tf.tidy(() => {
      const encode = vi.fn(() => tf.ones([2, 2]) as any);
      for (let i = 0; i < 2; i++) rememberImages(clip, pictures(7), encode);
      expect(encode).toHaveBeenCalledTimes(2);
      expect(read).not.toHaveBeenCalled();
    });
  } finally {
    if (asOnGpu) Object.defineProperty(backend, "isUsingGpuDevice", asOnGpu);
    else delete backend.isUsingGpuDevice;
    read.mockRestore();
  }
});
