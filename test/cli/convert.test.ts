/** `convert` writes trained prompts in both formats, and `check` says what such files are. */
import { cpSync, existsSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { readPrompts, writePrompts } from "../../src/experiments/trainedPrompts";
import { temporaryFolder } from "../temporary";
import { commandLine } from "./commandLine";

const folder = temporaryFolder("convert");
const official = join("official", "model.pth.tar-20");
beforeAll(() => cpSync(join("test", "checkpoints", "VLPromptLearner"), join(folder, "official"), { recursive: true }));

const cli = commandLine(() => folder);

it("converts an official checkpoint to the kit's file and back, in a sentence each", () => {
  const there = cli("convert", official, "mine.safetensors", "--method", "ivlp");
  expect(there.out).toBe(
    `${official} holds trained prompts of IVLP (6 tensors of 2304 numbers; tokens: text 4, image 4; depth: text 3, image 3; initial words "a photo of a"); written to mine.safetensors\n`,
  );
  const back = cli("convert", "mine.safetensors", "back/model.pth.tar-20");
  expect([there.status, back.status, back.err]).toEqual([0, 0, ""]);
  expect(readPrompts(join(folder, "back", "model.pth.tar-20")).params).toEqual(
    readPrompts(join(folder, official)).params,
  );
});

it("check names method, model, data and classes of trained prompts", () => {
  const prompts = readPrompts(join(folder, official));
  writePrompts(join(folder, "known.safetensors"), {
    ...prompts,
    classNames: ["cat", "dog"],
    model: { name: "ViT-B-16", fingerprint: "0123456789abcdef" },
    training: { dataset: "pets", data: "abc", split: "coop", shots: 16, seed: 2 },
  });
  const { status, out } = cli("check", "known.safetensors", official);
  expect(status).toBe(0);
  expect(out).toContain("It holds trained prompts of PromptSRC (6 tensors");
  expect(out).toContain("Model of the training: ViT-B-16, fingerprint 0123456789ab.");
  expect(out).toContain("Trained on pets, split coop, 16 shots, seed 2.");
  expect(out).toContain("Classes of the training: cat, dog.");
  expect(out).toContain(`Use it with --prompts ${join(folder, official)}`);
});

it.each([
  [["a"], "convert needs two files"],
  [[official, "a.bin"], "a.bin: the name ends neither in .safetensors"],
  [[official, "a.safetensors", "--metod", "ivlp"], 'unknown option "--metod". Did you mean "--method"?'],
  [[official, "a.safetensors", "--method", "coop"], "not of coop: leave out --method"],
  [[official, "a.safetensors", "--set", "coop.position=front"], 'PromptSRC has no setting "coop"'],
])("convert %j is refused in one sentence, and writes nothing", (args, message) => {
  const { status, out, err } = cli("convert", ...args);
  expect([status, out, existsSync(join(folder, "a.safetensors"))]).toEqual([2, "", false]);
  expect(err).toContain(message);
  expect(err).not.toMatch(/\n\s+at /);
});
