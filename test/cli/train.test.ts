/** `train`, `evaluate` and `predict --prompts`: trained prompts go out as one file and come in again with equal numbers. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";
import { commandLine } from "./commandLine";

let folder: string;
beforeAll(async () => {
  folder = temporaryFolder("train");
  await drawShapes(join(folder, "shapes"));
  // The same pictures as a person has them: a folder for each class.
  for (const name of readdirSync(join(folder, "shapes", "images")).slice(0, 4)) {
    mkdirSync(join(folder, "photos", name), { recursive: true });
    for (const file of readdirSync(join(folder, "shapes", "images", name)))
      copyFileSync(join(folder, "shapes", "images", name, file), join(folder, "photos", name, file));
  }
});

const cli = commandLine(() => folder);

const short = ["--set", "epochs=2", "--set", "ensemble=null", "--results", "results"];
const json = (name: string) => JSON.parse(readFileSync(join(folder, name), "utf8"));

it("trains on a folder of photos; its file and the official one made of it classify alike", () => {
  const trained = cli("train", "--data", "photos", "--out", "my.safetensors", ...short);
  expect([trained.status, trained.err.match(/^error.*/m)]).toEqual([0, null]);
  const accuracy = Number(/PromptSRC +(\d+\.\d)/.exec(trained.out)?.[1]);
  expect(trained.out).toContain("prompts of PromptSRC for 4 classes written to my.safetensors");

  // A damaged training is not believed: it is set aside, and made again to the same bytes.
  const whole = readFileSync(join(folder, "my.safetensors"));
  const [trainedName] = readdirSync(join(folder, "results", ".trained"));
  const file = join(folder, "results", ".trained", trainedName);
  const bytes = readFileSync(file);
  bytes.writeFloatLE(0.125, bytes.length - 400);
  writeFileSync(file, bytes);
  const damaged = cli("train", "--data", "photos", "--out", "my.safetensors", ...short);
  expect([damaged.status, damaged.err.includes("is damaged: run it again")]).toEqual([2, true]);
  cli("train", "--data", "photos", "--out", "my.safetensors", ...short);
  expect(readFileSync(join(folder, "my.safetensors"))).toEqual(whole);

  // What is stored is not trained again.
  const again = cli("train", "--data", "photos", "--out", "again.safetensors", ...short);
  expect(again.err).toContain("2 of 2 runs are stored");
  expect(readFileSync(join(folder, "again.safetensors"))).toEqual(readFileSync(join(folder, "my.safetensors")));

  expect(cli("convert", "my.safetensors", "model.pth.tar-2").status).toBe(0);
  const evaluate = (file: string) =>
    cli("evaluate", "--data", "photos", "--prompts", file, "--json", `${file}.json`, "--subset", "test");
  const own = evaluate("my.safetensors");
  expect([own.status, own.err.match(/^error.*/m)]).toEqual([0, null]);
  expect(own.out).toMatch(/PromptSRC on photos, split seed1, all classes, 16 test pictures/);
  expect(json("my.safetensors.json").accuracy).toBeCloseTo(accuracy, 1);
  evaluate("model.pth.tar-2");
  expect(json("model.pth.tar-2.json")).toEqual(json("my.safetensors.json"));

  const picture = join("photos", "blue_circle", "0.png");
  cli("predict", picture, "--prompts", "my.safetensors", "--json", "one.json");
  const [{ probabilities }] = json("one.json");
  expect(Object.keys(probabilities)).toEqual(["blue_circle", "blue_square", "green_circle", "green_square"]);
  // Prompts carry over to other names.
  const other = cli("predict", picture, "--prompts", "model.pth.tar-2", "--classes", "cat,dog", "--top", "1");
  expect(other.out).toMatch(/class +%\n(cat|dog) +\d+\.\d/);
});

it("evaluates zero-shot CLIP on the novel half alone", () => {
  const { status, out } = cli("evaluate", "--data", "shapes", "--classes", "novel", "--template", "a drawing of a {}.");
  expect(status).toBe(0);
  expect(out).toContain(
    'zero-shot CLIP, "a drawing of a {}." on shapes, split renders, novel classes, 16 test pictures',
  );
  expect(out).not.toContain("red circle");
});

it.each([
  [["train", "--data", "photos"], "train needs --out"],
  [["train", "--out", "x.safetensors"], "train needs --data"],
  [["train", "--data", "photos", "--out", "x.pth"], "whose name ends in .safetensors"],
  [["train", "--data", "photos", "--out", "x.safetensors", "--method", "clip"], 'unknown method "clip"'],
  [["train", "--data", "photos", "--out", "x.safetensors", "--shots", "many"], "--shots many: expected a whole number"],
  [["train", "--data", "gone", "--out", "x.safetensors"], "gone"],
  [["evaluate", "--data", "photos", "--prompts", "gone.safetensors"], "gone.safetensors is not there"],
  [["evaluate", "--data", "photos", "--prompts", "x", "--template", "a {}"], "give one of them"],
  [["evaluate", "--data", "photos", "--subset", "tset"], 'unknown subset "tset". Did you mean "test"?'],
])("%j is refused in one sentence", (args, message) => {
  const { status, out, err } = cli(...args);
  expect([status, out]).toEqual([2, ""]);
  expect(err).toContain("error: ");
  expect(err).toContain(message);
  expect(err).not.toMatch(/\n\s+at /);
});

it("an official checkpoint without class names asks for them; prompts of another model name both", () => {
  const official = join(process.cwd(), "test/checkpoints/VLPromptLearner/model.pth.tar-20");
  const nameless = cli("predict", "photos", "--prompts", official);
  expect([nameless.status, nameless.err]).toEqual([2, expect.stringContaining("does not say which it was trained on")]);
  const { status, err } = cli("predict", "photos", "--prompts", official, "--classes", "cat,dog");
  expect(status).toBe(2);
  expect(err).toMatch(/error: .*(width|another model).*mini-clip/);
});
