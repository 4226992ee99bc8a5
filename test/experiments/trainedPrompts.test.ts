/**
 * Trained prompts: the official checkpoints give the numbers of the reference vectors, files of the kit come back
 * unchanged in both formats, and prompts of another model, other classes or damaged files are refused.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { disposeClip, loadClip } from "../../src/clip/load";
import type { Clip } from "../../src/clip/model";
import { type Tensor4D, tf } from "../../src/engine/tf";
import { writeOfficial } from "../../src/experiments/officialCheckpoint";
import { promptsFor, readPrompts, type TrainedPrompts, writePrompts } from "../../src/experiments/trainedPrompts";
import { openTensors } from "../../src/io/openTensors";
import { readSafetensors, type Stored, writeSafetensors } from "../../src/io/safetensors";
import { writeTorch } from "../../src/io/writeTorch";
import { configFor, trainingSettings } from "../../src/methods/method";
import { methodNamed, methods } from "../../src/methods/registry";
import { type HostParams, toDevice, toHost } from "../../src/training/ensemble";
import { temporaryFolder } from "../temporary";

const golden = join("test", "golden");
const { classes } = JSON.parse(readFileSync(join(golden, "meta.json"), "utf8")) as { classes: string[] };
const numbersOf = (name: string) => readSafetensors(join(golden, `${name}.safetensors`)).tensors;
const { images } = numbersOf("common");
const checkpoint = (...parts: string[]) => join("test", "checkpoints", ...parts);
const promptsrcFile = checkpoint("VLPromptLearner", "model.pth.tar-20");
const mapleFile = checkpoint("MultiModalPromptLearner", "model.pth.tar-5");
const coopFile = checkpoint("prompt_learner", "model.pth.tar-50");

const folder = temporaryFolder("prompts");
let files = 0;
const fresh = (ending = "model.pth.tar-1") => join(folder, `${++files}`, ending);
let clip: Clip;
beforeAll(async () => {
  clip = await loadClip(golden);
});
afterAll(() => {
  disposeClip(clip);
});

/** The reference numbers under a prefix: the parameters of a method. */
const paramsOf = (name: string, prefix: string): HostParams =>
  Object.fromEntries(
    Object.entries(numbersOf(name)).flatMap(([key, stored]) =>
      key.startsWith(`${prefix}.`) && key !== "gpa.weights" ? [[key.slice(prefix.length + 1), stored]] : [],
    ),
  );

/** The nearest number of half precision; of two, the even one. */
const half = (value: number): number => {
  if (value === 0) return 0;
  const step = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(value))), -14) - 10);
  const steps = Math.round(value / step);
  return step * (Math.abs(value / step - Math.trunc(value / step)) === 0.5 ? 2 * Math.round(value / step / 2) : steps);
};
const rounded = ({ shape, data }: Stored): Stored => ({ shape, data: data.map(half) });
const zeros = (...shape: number[]): Stored => ({ shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });

/** The logits of the reference pictures, and the class features where they do not depend on the picture. */
function classify(prompts: TrainedPrompts, classNames = classes): { logits: Stored; text?: Stored } {
  const { method, task } = promptsFor(prompts, clip, classNames);
  const params = toDevice(prompts.params);
  const classifier = method.classify(task, params);
  try {
    return tf.tidy(() => {
      const pixels = tf.tensor4d(images.data, images.shape as Tensor4D["shape"]);
      return toHost({
        logits: classifier.logits(pixels),
        ...(classifier.text ? { text: classifier.text } : {}),
      }) as any;
    });
  } finally {
    classifier.dispose();
    tf.dispose(params);
  }
}
const largestDifference = (a: Stored, b: Stored) =>
  a.data.reduce((most, value, i) => Math.max(most, Math.abs(value - b.data[i])), 0);

describe("official checkpoints", () => {
  it.each([
    {
      file: promptsrcFile,
      params: () => paramsOf("promptsrc", "gpa"),
      inHalf: ["text.0"],
      method: "promptsrc",
      config: { tokens: { text: 4, image: 4 }, depth: { text: 3, image: 3 }, epochs: 20, contextInit: "a photo of a" },
    },
    {
      file: mapleFile,
      params: () => paramsOf("maple", "epoch3"),
      inHalf: ["ctx", "proj.weight", "proj.bias"],
      method: "maple",
      config: { tokens: { text: 2 }, depth: { text: 3, image: 3 }, epochs: 5, contextInit: "a photo of a" },
    },
    {
      file: coopFile,
      params: () => paramsOf("coop_end", "epoch3"),
      inHalf: [],
      method: "coop",
      config: { tokens: { text: 4 }, epochs: 50, coop: { position: "end", classSpecific: false } },
    },
  ])("$file holds the numbers of the official run", ({ file, params, inHalf, method, config }) => {
    const prompts = readPrompts(file);
    expect(prompts).toMatchObject({ method, config, source: file });
    const expected = Object.fromEntries(
      Object.entries(params()).map(([name, stored]) => [
        name,
        (inHalf as string[]).includes(name) ? rounded(stored) : stored,
      ]),
    );
    expect(prompts.params).toEqual(expected);
    const difference = largestDifference(classify(prompts).logits, classify({ ...prompts, params: params() }).logits);
    expect(difference).toBeLessThan(inHalf.length > 0 ? 0.05 : 1e-6);
  });

  it.each([
    ["cocoop", "cocoop", "logits"],
    ["coop", "coop_end_csc", "text_features"],
    ["kgcoop", "kgcoop", "text_features"],
    ["prograd", "prograd", "text_features"],
    ["ivlp", "ivlp_depth3", "logits"],
    ["maple", "maple", "logits"],
  ])("%s classifies as the official code (%s: %s)", (method, name, result) => {
    const file = fresh();
    writeOfficial(file, methodNamed(method), { epochs: 1 }, paramsOf(name, "init"));
    const { logits, text } = classify(readPrompts(file, method));
    const actual = result === "logits" ? logits : (text as Stored);
    expect(largestDifference(actual, numbersOf(name)[result])).toBeLessThan(1e-4);
  });

  it("the position of the class name, which CoOp's file does not tell, can be given", () => {
    const file = fresh();
    writeOfficial(file, methods.coop, { epochs: 1 }, paramsOf("coop_middle", "init"));
    const { text } = classify(readPrompts(file, "coop", (config) => ({ ...config, coop: { position: "middle" } })));
    expect(largestDifference(text as Stored, numbersOf("coop_middle").text_features)).toBeLessThan(1e-5);
  });

  it("a scheduler and an optimiser, which Dassl saves as whole objects, are passed over", () => {
    const prompts = readPrompts(checkpoint("scheduler", "model.pth.tar-5"));
    expect(prompts.config).toMatchObject({ tokens: { text: 16 }, contextInit: "", epochs: 5 });
    expect(prompts.params.ctx.data[1023]).toBe(1023 / 1024);
  });

  it.each([
    ["language", ["text.0", "text.1", "text.2"]],
    ["vision", ["vision.0", "vision.1", "vision.2"]],
  ])("prompts in one encoder are those of %s", (method, names) => {
    const both = paramsOf("promptsrc", "gpa");
    const params = Object.fromEntries(names.map((name) => [name, both[name]]));
    const file = fresh();
    writeOfficial(file, methodNamed(method), { epochs: 1 }, params);
    const prompts = readPrompts(file);
    expect([prompts.method, prompts.params]).toEqual([method, params]);
    expect(classify(prompts).logits.shape).toEqual([8, 7]);
  });
});

describe("round trips", () => {
  it.each([promptsrcFile, mapleFile, coopFile])(
    "%s, to the kit's file, and back with the same names and numbers",
    (file) => {
      const ours = fresh("prompts.safetensors");
      const back = fresh();
      const official = readPrompts(file);
      writePrompts(ours, official);
      const prompts = readPrompts(ours);
      expect(prompts).toEqual({ ...official, source: ours });
      writeOfficial(back, methodNamed(prompts.method), prompts.config, prompts.params);
      const [before, after] = [openTensors(file), openTensors(back)];
      try {
        const kept = before.names.filter((name) => !/token_(prefix|suffix)|ZS_image|logit_scale|positional/.test(name));
        expect([...after.names].sort()).toEqual([...kept].sort());
        for (const name of kept) expect(after.read(name)).toEqual(before.read(name));
      } finally {
        before.close();
        after.close();
      }
    },
  );

  it("the kit's file keeps all that is known of a training", () => {
    const file = fresh("prompts.safetensors");
    const method = methods.proda;
    const config = trainingSettings(method, configFor(method, "embedded", "baseToNovel"));
    const prompts: TrainedPrompts = {
      method: "proda",
      config,
      classNames: ['"quoted"', "\u00e9t\u00e9"],
      model: { name: "mine", fingerprint: "abc" },
      training: { dataset: "food", data: "def", split: "renders", shots: 16, seed: 3 },
      provenance: { kit: "0.1.0", engine: "cpu", numerics: "0", versions: { node: "20" } },
      params: { ctx: { shape: [8, 4, 2], data: Float32Array.from({ length: 64 }, (_, i) => i / 7) } },
      frozen: {},
      source: file,
    };
    writePrompts(file, prompts);
    expect(readPrompts(file)).toEqual(prompts);
  });

  const hasTorch = spawnSync("python3", ["-c", "import torch"]).status === 0;
  it.skipIf(!hasTorch)("torch.load takes the official file with Dassl's entries (needs python3 with torch)", () => {
    const file = fresh("model.pth.tar-20");
    const { method, config, params } = readPrompts(promptsrcFile);
    writeOfficial(file, methodNamed(method), config, params);
    const code = `import sys, torch
a, b = (torch.load(path, weights_only=True) for path in sys.argv[1:])
assert set(a) == set(b) and b["epoch"] == a["epoch"] == 20
assert all(torch.equal(a["state_dict"][name].float(), tensor) for name, tensor in b["state_dict"].items())
print(len(b["state_dict"]))`;
    const { stdout, stderr } = spawnSync("python3", ["-c", code, promptsrcFile, file], { encoding: "utf8" });
    expect([stderr, stdout.trim()]).toEqual(["", "6"]);
  });
});

describe("what is refused", () => {
  const prompts = () => readPrompts(promptsrcFile);

  it("another model, by its fingerprint", () => {
    const other = { ...prompts(), model: { name: "ViT-B-16", fingerprint: "0123456789abcdef" } };
    expect(() => promptsFor(other, clip, classes)).toThrow(
      /model ViT-B-16 \(fingerprint 0123456789ab\), this is golden \(fingerprint \w{12}\): .*--model/,
    );
    promptsFor({ ...other, model: { name: "copy", fingerprint: clip.fingerprint } }, clip, classes);
  });

  it.each(["text_encoder.positional_embedding", "prompt_learner.token_prefix", "image_encoder.positional_embedding"])(
    "another model, by %s in an official checkpoint",
    (name) => {
      const start = clip.tokenizer.encode("")[0];
      const { text, image } = clip;
      const own = {
        "text_encoder.positional_embedding": () => text.positions,
        "prompt_learner.token_prefix": () =>
          tf.tile(tf.slice(text.tokens, [start, 0], [1, -1]).expandDims(0), [7, 1, 1]),
        "image_encoder.positional_embedding": () => tf.concat([tf.zeros([1, image.width]), image.positions]),
      }[name] as () => any;
      const { frozen } = tf.tidy(() => toHost({ frozen: tf.add(own(), 0) })) as any;
      const write = (stored: Stored): TrainedPrompts => {
        const file = fresh();
        const official = openTensors(promptsrcFile);
        const kept = official.names.filter((key) => /ctx|VPT/.test(key));
        writeTorch(file, { ...Object.fromEntries(kept.map((key) => [key, official.read(key)])), [name]: stored });
        official.close();
        return readPrompts(file);
      };
      promptsFor(write(rounded(frozen)), clip, classes);
      const changed = rounded(frozen);
      changed.data[changed.data.length - 1] += 0.01;
      if (name.includes("prefix")) changed.data[5] += 0.01;
      expect(() => promptsFor(write(changed), clip, classes)).toThrow(
        /another model than golden \(.* there, .* here\)/,
      );
    },
  );

  it("another width, and more prompted blocks than the model has", () => {
    const wide = { ...prompts(), params: { "text.0": zeros(4, 512) } };
    expect(() => promptsFor(wide, clip, classes)).toThrow(
      /width 512 for the text encoder; that of golden has width 64/,
    );
    const deep = Object.fromEntries([0, 1, 2, 3, 4].map((i) => [`vision.${i}`, zeros(4, 128)]));
    expect(() => promptsFor({ ...prompts(), params: deep }, clip, classes)).toThrow(
      /prompts for 5 blocks of the image encoder; that of golden has 4/,
    );
  });

  it("parameters that the settings do not give", () => {
    const { "text.2": _, ...fewer } = prompts().params;
    expect(() => promptsFor({ ...prompts(), params: fewer }, clip, classes)).toThrow(
      /text\.2 is missing; in PromptSRC with these settings on golden it has the shape \[4,64\]/,
    );
  });

  it("class-specific contexts with other classes", () => {
    const file = fresh();
    writeOfficial(file, methods.coop, { epochs: 1 }, paramsOf("coop_end_csc", "init"));
    const own = readPrompts(file);
    expect(own.config.coop.classSpecific).toBe(true);
    expect(() => promptsFor(own, clip, ["cat", "dog"])).toThrow(/contexts of 7 classes; asked for are 2/);
    const known = { ...own, classNames: classes };
    expect(() => promptsFor(known, clip, [...classes].reverse())).toThrow(
      /its own 7 classes apart \(cat, golden retriever, air plane, \.\.\.\); asked for are 7 \(oak tree,/,
    );
  });

  it.each([
    ["a method that the file is not of", promptsrcFile, "maple", /the prompts of promptsrc or ivlp .* not of maple/],
    [
      "a method that does not exist",
      promptsrcFile,
      "promptsrk",
      /unknown method "promptsrk"\. Did you mean "promptsrc"/,
    ],
    ["a model", join(golden, "model.safetensors"), undefined, /holds no trained prompts, but .*wanted is one of: /],
    ["a picture", join("test", "pictures", "grey.png"), undefined, /is a picture; wanted is a safetensors file/],
  ])("%s", (_, file, method, message) => {
    expect(() => readPrompts(file, method)).toThrow(message);
  });

  it.each([
    ["a ResNet", { "image_encoder.layer1.0.conv1.weight": zeros(1), ctx: zeros(4, 64) }, /image encoder is a ResNet/],
    [
      "a number that is not finite",
      { ctx: { shape: [1, 2], data: Float32Array.of(0, Number.NaN) } },
      /"ctx" \[1,2\] holds NaN at index 1/,
    ],
    [
      "a block that is left out",
      {
        "prompt_learner.ctx": zeros(4, 64),
        "text_encoder.transformer.resblocks.2.VPT_shallow": zeros(4, 64),
      },
      /lacks text_encoder\.transformer\.resblocks\.1\.VPT_shallow/,
    ],
    ["more tokens than any method has", { ctx: zeros(65, 64) }, /settings of CoOp:\ntokens\.text: .*the value is 65/],
  ])("an official file of %s", (_, tensors, message) => {
    const file = fresh();
    writeTorch(file, tensors);
    expect(() => readPrompts(file)).toThrow(message);
  });

  it("a file of the kit with a changed number, changed settings or of a later version", () => {
    const file = fresh("prompts.safetensors");
    writePrompts(file, prompts());
    const bytes = readFileSync(file);
    const whole = Buffer.from(bytes);
    bytes[bytes.length - 2] ^= 1;
    writeFileSync(file, bytes);
    expect(() => readPrompts(file)).toThrow(/is damaged: its checksum is \w+, not \w+/);
    writeFileSync(file, whole.toString("latin1").replace('a photo of a\\"', 'a photo of X\\"'), "latin1");
    expect(() => readPrompts(file)).toThrow(/is damaged: its checksum/);
    writeFileSync(file, whole);
    const { tensors, metadata } = readSafetensors(file);
    writeSafetensors(file, tensors, { ...metadata, version: "2" });
    expect(() => readPrompts(file)).toThrow(/has version 2 of the format "promptsrc prompts", this kit reads 1/);
  });

  it("an official file of MaPLe with deeper prompts in the text encoder", () => {
    const { config, params } = readPrompts(mapleFile);
    const { "compound_prompt_projections.1.weight": _, "compound_prompt_projections.1.bias": __, ...fewer } = params;
    const uneven = { ...config, depth: { text: 3, image: 2 } };
    expect(() => writeOfficial(fresh(), methods.maple, uneven, fewer)).toThrow(
      /has one depth for both .* depth 3 .* 2 /,
    );
  });

  it("to write prompts of a method that has none, or an official file that does not exist", () => {
    expect(() => writePrompts(fresh("a.safetensors"), { ...prompts(), method: "clip", params: {} })).toThrow(
      /CLIP has no parameters/,
    );
    expect(() => writeOfficial(fresh(), methods.proda, {}, {})).toThrow(
      /ProDA has no official file format; there is one for/,
    );
  });
});
