/**
 * Every layout of a CLIP gives the features of the library that wrote it: test/models/make.py wrote the files with
 * torch, open_clip and transformers, and computed the features.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { encodeImage, imageFront } from "../../src/clip/fast/image";
import { suffixGroups } from "../../src/clip/fast/suffixes";
import { encodeText } from "../../src/clip/fast/text";
import { findModel } from "../../src/clip/findModel";
import { disposeClip, loadClip } from "../../src/clip/load";
import { referenceImage, referenceText } from "../../src/clip/reference";
import { type Tensor, tf } from "../../src/engine/tf";
import { openTensors } from "../../src/io/openTensors";
import { readSafetensors, type Stored, writeSafetensors } from "../../src/io/safetensors";
import { openTorch } from "../../src/io/torchFile";
import { temporaryFolder } from "../temporary";
import { zipOf } from "../zipOf";

const root = temporaryFolder("layouts");
const models = join("test", "models");
const { tensors: expected } = readSafetensors(join(models, "expected.safetensors"));
const ids: number[][] = JSON.parse(readFileSync(join(models, "ids.json"), "utf8"));

/** A copy of a layout with the tokenizer of its 369 tokens. */
function layout(name: string, from: string, tokenizer = join("test", "golden", "tokenizer.json")): string {
  const folder = join(root, name);
  cpSync(join(models, from), folder, { recursive: true });
  cpSync(tokenizer, join(folder, "tokenizer.json"));
  return folder;
}

const largestDifference = (actual: Tensor, { data }: Stored) =>
  (actual.dataSync() as Float32Array).reduce((most, value, i) => Math.max(most, Math.abs(value - data[i])), 0);

async function expectFeatures(path: string, activation: "quick_gelu" | "gelu"): Promise<void> {
  const clip = await loadClip(path);
  const { data, shape } = expected.pixels;
  tf.tidy(() => {
    const pixels = tf.tensor4d(data, shape as [number, number, number, number]);
    const image = encodeImage(clip.image, imageFront(clip.image, pixels), []);
    const text = encodeText(clip.text, suffixGroups(clip.text, ids, 0), []);
    expect(largestDifference(image, expected[`image.${activation}`])).toBeLessThan(2e-5);
    expect(largestDifference(text, expected[`text.${activation}`])).toBeLessThan(2e-5);
    expect(largestDifference(referenceImage(clip, pixels).features, expected[`image.${activation}`])).toBeLessThan(
      2e-5,
    );
    expect(largestDifference(referenceText(clip, ids).features, expected[`text.${activation}`])).toBeLessThan(2e-5);
  });
  disposeClip(clip);
}

/** The tensors of a torch file as a safetensors file, or as two shards of it with their index. */
function asSafetensors(from: string, folder: string, shards = 1): void {
  const file = openTorch(from);
  const names = file.names;
  const weightMap: Record<string, string> = {};
  for (let k = 0; k < shards; k++) {
    const part = shards === 1 ? "model.safetensors" : `model-0000${k + 1}-of-0000${shards}.safetensors`;
    const some = names.filter((_, i) => i % shards === k);
    for (const name of some) weightMap[name] = part;
    writeSafetensors(join(folder, part), Object.fromEntries(some.map((name) => [name, file.read(name)])));
  }
  file.close();
  if (shards > 1)
    writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify({ weight_map: weightMap }));
}

describe("layouts", () => {
  it("Hugging Face, pytorch_model.bin, no preprocessor file: CLIP's own preprocessing, said aloud", async () => {
    const folder = layout("bin", "huggingface-bin");
    await expectFeatures(folder, "quick_gelu");
    const clip = await loadClip(folder);
    expect(clip.notes.join()).toContain("no preprocessor_config.json");
    expect(clip.preprocess).toMatchObject({ shortestEdge: 24, filter: "bicubic", output: { height: 24, width: 24 } });
    disposeClip(clip);
  });

  it.each([1, 2])("Hugging Face, safetensors in %i files", async (shards) => {
    const folder = layout(`shards${shards}`, "huggingface-bin");
    rmSync(join(folder, "pytorch_model.bin"));
    asSafetensors(join(models, "huggingface-bin", "pytorch_model.bin"), folder, shards);
    const image = { size: 24, crop_size: 24, resample: "bicubic", image_processor_type: "CLIPImageProcessorFast" };
    writeFileSync(
      join(folder, "processor_config.json"),
      JSON.stringify({ image_processor: image, processor_class: "CLIPProcessor" }),
    );
    await expectFeatures(folder, "quick_gelu");
  });

  it("Hugging Face, vocab.json and merges.txt without tokenizer.json: the same ids", async () => {
    const folder = layout("vocab", "huggingface-bin");
    rmSync(join(folder, "tokenizer.json"));
    const { model, added_tokens } = JSON.parse(readFileSync(join("test", "golden", "tokenizer.json"), "utf8"));
    const special = Object.fromEntries(added_tokens.map(({ content, id }: any) => [content, id]));
    writeFileSync(join(folder, "vocab.json"), JSON.stringify({ ...model.vocab, ...special }));
    const merges = model.merges.map((pair: string | string[]) => [pair].flat().join(" "));
    writeFileSync(join(folder, "merges.txt"), `#version: 0.2\n${merges.join("\n")}\n`);
    const [ours, whole] = [await loadClip(folder), await loadClip(layout("whole", "huggingface-bin"))];
    for (const text of ["a photo of a Cat.", "air plane", "it's 2 \u00e9t\u00e9s"]) {
      expect(ours.tokenizer.encode(text)).toEqual(whole.tokenizer.encode(text));
    }
    disposeClip(ours);
    disposeClip(whole);
  });

  it.each(["quick_gelu", "gelu"] as const)("open_clip with %s", async (activation) => {
    await expectFeatures(layout(`open_clip-${activation}`, `open_clip-${activation}`), activation);
  });

  it("OpenAI's scripted module, a state dict, and a safetensors file with the same names", async () => {
    const folder = layout("openai", "openai");
    await expectFeatures(join(folder, "ViT-tiny.pt"), "quick_gelu");
    await expectFeatures(join(folder, "state_dict.pt"), "quick_gelu");
    const file = openTorch(join(folder, "state_dict.pt"));
    writeSafetensors(
      join(folder, "ViT.safetensors"),
      Object.fromEntries(file.names.map((name) => [name, file.read(name)])),
    );
    file.close();
    await expectFeatures(join(folder, "ViT.safetensors"), "quick_gelu");
  });

  it("a name in the Hugging Face cache, whose snapshot is a link", () => {
    const cache = join(root, "hub", "models--org--tiny");
    mkdirSync(join(cache, "snapshots"), { recursive: true });
    mkdirSync(join(cache, "refs"));
    writeFileSync(join(cache, "refs", "main"), "abc");
    symlinkSync(layout("linked", "huggingface-bin"), join(cache, "snapshots", "abc"));
    process.env.HF_HUB_CACHE = join(root, "hub");
    try {
      expect(findModel("org/tiny")).toBe(join(cache, "snapshots", "abc"));
      expect(() => findModel("org/other")).toThrow(/neither in .*hub nor in weights\/.*hf download org\/other/);
    } finally {
      delete process.env.HF_HUB_CACHE;
    }
  });
});

describe("what is refused, and in which words", () => {
  let folder: string;
  beforeAll(() => {
    folder = layout("refused", "huggingface-bin");
    asSafetensors(join(folder, "pytorch_model.bin"), folder);
    rmSync(join(folder, "pytorch_model.bin"));
  });
  const weights = () => join(folder, "model.safetensors");
  const change = (edit: (tensors: Record<string, Stored>) => void) => {
    const { tensors } = readSafetensors(weights());
    edit(tensors);
    const changed = layout(`changed-${Math.round(performance.now() * 1000)}`, "huggingface-bin");
    rmSync(join(changed, "pytorch_model.bin"));
    writeSafetensors(join(changed, "model.safetensors"), tensors);
    return changed;
  };
  const somewhere = "text_model.encoder.layers.1.mlp.fc1.bias";

  it.each([
    [
      "a weight that is not a number",
      (t: any) => (t[somewhere].data[3] = Number.NaN),
      /fc1\.bias" \[256\] holds NaN at index 3/,
    ],
    ["a missing tensor", (t: any) => delete t[somewhere], /missing: .*fc1\.bias/],
    ["a surplus tensor", (t: any) => (t.extra = t[somewhere]), /not known: extra/],
    [
      "a misshapen tensor",
      (t: any) => (t[somewhere].shape = [2, 128]),
      /has the shape \[2,128\], config\.json makes it \[256\]/,
    ],
  ] as const)("%s", async (_, edit, message) => {
    await expect(loadClip(change(edit))).rejects.toThrow(message);
  });

  it("another model's tokenizer", async () => {
    const changed = change(() => {});
    cpSync(join("weights", "clip-bpe", "tokenizer.json"), join(changed, "tokenizer.json"));
    await expect(loadClip(changed)).rejects.toThrow(/the tokenizer gives the id 49407, the model has 369 tokens/);
  });

  it.each([
    ["<!DOCTYPE html><html></html>", /is an HTML page, not the file itself/],
    ["version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", /is a Git LFS pointer/],
    ["", /is an empty file/],
    ["some text", /is a file of no kind that is known here/],
  ])("a weight file that is %j", async (content, message) => {
    const changed = change(() => {});
    writeFileSync(join(changed, "model.safetensors"), content);
    await expect(loadClip(changed)).rejects.toThrow(message);
  });

  it("a torch file that is cut short, or that would call a function", async () => {
    const cut = join(root, "cut.pt");
    cpSync(join(models, "openai", "state_dict.pt"), cut);
    truncateSync(cut, 300_000);
    expect(() => openTensors(cut)).toThrow(/is not a whole torch file/);
    const evil = join(root, "evil.pt");
    writeFileSync(
      evil,
      zipOf({
        name: "archive/data.pkl",
        content: Buffer.from("\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.", "latin1"),
      }),
    );
    expect(() => openTensors(evil)).toThrow(/it would call os\.system, which is not allowed/);
  });

  it("a torch file with a dictionary that contains itself, and a ResNet", async () => {
    const looped = join(root, "looped.pt");
    writeFileSync(
      looped,
      zipOf({ name: "archive/data.pkl", content: Buffer.from("\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.", "latin1") }),
    );
    expect(() => openTensors(looped)).toThrow(/"a" contains itself/);
    const resNet = join(root, "RN50.safetensors");
    const weight = { shape: [1], data: Float32Array.of(1) };
    writeSafetensors(resNet, { "visual.layer1.0.conv1.weight": weight });
    await expect(loadClip(resNet)).rejects.toThrow(/image encoder is a ResNet/);
  });

  it("a tensor of integers", async () => {
    const changed = change(() => {});
    const path = join(changed, "model.safetensors");
    const bytes = readFileSync(path);
    const length = Number(bytes.readBigUInt64LE());
    const header = bytes.toString("utf8", 8, 8 + length).replace('"dtype":"F32"', '"dtype":"I32"');
    bytes.write(header, 8);
    writeFileSync(path, bytes);
    await expect(loadClip(changed)).rejects.toThrow(/has the type I32; weights are F32, F16, BF16, F64/);
  });

  it("a folder that is no model, and a path that is not there", async () => {
    await expect(loadClip(dirname(folder))).rejects.toThrow(/is no model folder: it holds /);
    await expect(loadClip(join(root, "nowhere"))).rejects.toThrow(/there is no model .*nowhere/);
    expect(() => findModel(join(root, "nowhere", "else"))).toThrow(/there is no model/);
  });
});
