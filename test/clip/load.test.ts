/** Model files: the supported formats, and the error messages for broken files. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readConfig } from "../../src/clip/config";
import { encodeTexts } from "../../src/clip/fast/text";
import { disposeClip, loadClip } from "../../src/clip/load";
import { tf } from "../../src/engine/tf";
import { readSafetensors, type Stored, writeSafetensors } from "../../src/io/safetensors";
import { randomTensors, sizes, writeRandomClip } from "../randomClip";

/** Writes a safetensors file with a header and the bytes of its tensors. @returns its path */
function file(folder: string, header: unknown, bytes: Buffer): string {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const path = join(folder, "broken.safetensors");
  writeFileSync(path, Buffer.concat([length, text, bytes]));
  return path;
}

test("float16, bfloat16 and integers are converted exactly", () => {
  const folder = writeRandomClip();
  const bytes = Buffer.alloc(2 * 6 + 2 * 3 + 8);
  [0x3c00, 0xc000, 0x0001, 0x7c00, 0x8000, 0x3555].forEach((half, i) => {
    bytes.writeUInt16LE(half, 2 * i);
  });
  [0x3f80, 0xc049, 0x0000].forEach((brain, i) => {
    bytes.writeUInt16LE(brain, 12 + 2 * i);
  });
  bytes.writeBigInt64LE(-7n, 18);
  const { tensors } = readSafetensors(
    file(
      folder,
      {
        half: { dtype: "F16", shape: [6], data_offsets: [0, 12] },
        brain: { dtype: "BF16", shape: [3], data_offsets: [12, 18] },
        whole: { dtype: "I64", shape: [1], data_offsets: [18, 26] },
      },
      bytes,
    ),
  );
  expect([...tensors.half.data]).toEqual([1, -2, 2 ** -24, Number.POSITIVE_INFINITY, -0, Math.fround(0.333251953125)]);
  expect([...tensors.brain.data]).toEqual([1, -3.140625, 0]);
  expect([...tensors.whole.data]).toEqual([-7]);
});

test.each<[string, unknown, number, RegExp]>([
  ["a header that is not JSON", "{", 0, /header is not JSON/],
  [
    "a shape that needs more bytes",
    { a: { dtype: "F32", shape: [3], data_offsets: [0, 8] } },
    8,
    /"a" of shape \[3\] and type F32 needs 12 bytes, has 8/,
  ],
  ["a tensor beyond the end", { a: { dtype: "F32", shape: [3], data_offsets: [0, 12] } }, 8, /ends at byte/],
  ["a gap between tensors", { a: { dtype: "F32", shape: [1], data_offsets: [4, 8] } }, 8, /starts at 4/],
  [
    "an overlap of tensors",
    { a: { dtype: "F32", shape: [2], data_offsets: [0, 8] }, b: { dtype: "F32", shape: [1], data_offsets: [4, 8] } },
    8,
    /"b" starts at 4/,
  ],
  ["bytes after the last tensor", { a: { dtype: "F32", shape: [1], data_offsets: [0, 4] } }, 8, /tensors end at byte/],
  [
    "weights in eight bits",
    { a: { dtype: "F8_E4M3", shape: [4], data_offsets: [0, 4] } },
    4,
    /holds FP8 weights .*float32, float16 or bfloat16/,
  ],
  ["a type that does not exist", { a: { dtype: "F3", shape: [1], data_offsets: [0, 4] } }, 4, /has the type F3/],
  ["a negative size", { a: { dtype: "F32", shape: [-1], data_offsets: [0, 4] } }, 4, /lacks a shape/],
])("the error message names %s", (_, header, size, message) => {
  expect(() => readSafetensors(file(writeRandomClip(), header, Buffer.alloc(size)))).toThrow(message);
});

test("a truncated file and an impossible header length are errors", () => {
  const folder = writeRandomClip();
  const path = join(folder, "model.safetensors");
  const bytes = readFileSync(path);
  for (const [length, message] of [
    [4, /shorter than/],
    [100, /a header of/],
    [bytes.length - 1, /ends? at byte/],
  ] as const) {
    writeFileSync(path, bytes.subarray(0, length));
    expect(() => readSafetensors(path)).toThrow(message);
  }
  writeFileSync(path, Buffer.alloc(64, 255));
  expect(() => readSafetensors(path)).toThrow(/a header of/);
});

/** Loads a random model whose tensors were changed by `change`. */
async function loadChanged(change: (tensors: Record<string, Stored>) => void) {
  const folder = writeRandomClip();
  const tensors = randomTensors(sizes);
  change(tensors);
  writeSafetensors(join(folder, "model.safetensors"), tensors);
  const clip = await loadClip(folder);
  disposeClip(clip);
}

test("error messages name missing and unknown tensors and wrong shapes; position_ids are ignored", async () => {
  const before = tf.memory().numTensors;
  await loadChanged((tensors) => {
    tensors["text_model.embeddings.position_ids"] = { shape: [1, 2], data: Float32Array.from([0, 1]) };
  });
  expect(tf.memory().numTensors).toBe(before);
  await expect(
    loadChanged((tensors) => {
      delete tensors["visual_projection.weight"];
      tensors.extra = { shape: [1], data: new Float32Array(1) };
    }),
  ).rejects.toThrow(/missing: visual_projection.weight; not known: extra/);
  await expect(
    loadChanged((tensors) => {
      tensors["text_projection.weight"].shape = [sizes.text, sizes.embed];
    }),
  ).rejects.toThrow(/"text_projection.weight" has the shape \[32,24\], config.json makes it \[24,32\]/);
});

test("config.json: missing values get the defaults of transformers; impossible values are errors", () => {
  const path = join(writeRandomClip(), "config.json");
  const read = (json: unknown) => {
    writeFileSync(path, JSON.stringify(json));
    return readConfig(path);
  };
  const defaults = read({ text_config: {}, vision_config: { patch_size: 16 }, text_config_dict: null });
  expect(defaults.text).toMatchObject({
    width: 512,
    layers: 12,
    heads: 8,
    context: 77,
    vocabulary: 49408,
    activation: "quick_gelu",
  });
  expect(defaults.image).toMatchObject({ width: 768, layers: 12, heads: 12, size: 224, patch: 16 });
  expect(() => read({ text_config: { hidden_act: "relu" } })).toThrow(/text_config.hidden_act is "relu"/);
  expect(() => read({ vision_config: { num_attention_heads: 7 } })).toThrow(/768 is not a multiple of its 7/);
  expect(() => read({ model_type: "siglip" })).toThrow(/expected "clip"/);
});

test("loading a model twice gives the same fingerprint and the same text features", async () => {
  const folder = writeRandomClip();
  const [a, b] = [await loadClip(folder), await loadClip(folder)];
  expect(a.fingerprint).toBe(b.fingerprint);
  expect(encodeTexts(a, ["a cat"]).dataSync()).toEqual(encodeTexts(b, ["a cat"]).dataSync());
});
