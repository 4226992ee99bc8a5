/** `predict`: probabilities of pictures as the classifier's softmax gives them, and an answer to every odd input. */
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { disposeClip, loadClip } from "../../src/clip/load";
import { tf } from "../../src/engine/tf";
import { predict } from "../../src/experiments/predict";
import { decode, normalisePixels, testPicture } from "../../src/io/preprocess";
import { methods } from "../../src/methods/registry";
import { temporaryFolder } from "../temporary";
import { commandLine } from "./commandLine";

let folder: string;
beforeAll(() => {
  folder = temporaryFolder("predict");
  mkdirSync(join(folder, "photos", "deep"), { recursive: true });
  copyFileSync("test/pictures/rgb.png", join(folder, "photos", "a, first.png"));
  copyFileSync("test/pictures/grey.jpg", join(folder, "photos", "deep", "b.jpg"));
  copyFileSync("test/pictures/24-bit.bmp", join(folder, "outside.bmp"));
  symlinkSync(join(folder, "outside.bmp"), join(folder, "photos", "link.bmp"));
  writeFileSync(join(folder, "names.txt"), 'salt, pepper\n"quoted" & <odd>\n\ncat\n');
});

const command = commandLine(() => folder);
const cli = (...args: string[]) => command("predict", ...args);

it("gives the softmax of the classifier's logits, and keeps no tensor", async () => {
  const clip = await loadClip("weights/mini-clip");
  const classNames = ["cat", "dog", "tea"];
  const classifier = methods.clip.classify(
    { clip, classNames, config: { zeroShotTemplates: ["a photo of a {}."] }, seed: 1 },
    {},
  );
  const file = "test/pictures/rgb.png";
  const before = tf.memory().numTensors;
  const [{ picture, probabilities = {} }] = await predict(clip, classifier, classNames, [{ name: "mine", file }]);
  expect(tf.memory().numTensors).toBe(before);
  expect([picture, Object.keys(probabilities)]).toEqual(["mine", classNames]);
  const { height, width } = clip.preprocess.output;
  const pixels = new Float32Array(3 * height * width);
  normalisePixels(testPicture(await decode(file), clip.preprocess), clip.preprocess, false, pixels, 0);
  const logits = tf.tidy(() => classifier.logits(tf.tensor4d(pixels, [1, 3, height, width])).dataSync());
  const exponentials = [...logits].map((value) => Math.exp(value - Math.max(...logits)));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  Object.values(probabilities).forEach((p, c) => {
    expect(p).toBeCloseTo(exponentials[c] / sum, 5);
  });
  classifier.dispose();
  disposeClip(clip);
});

describe("the command", () => {
  it("writes JSON with the paths that were given, and names of any letters from a file", () => {
    const { status, err } = cli("outside.bmp", "--classes", "names.txt", "--json", "out.json");
    expect([status, err.match(/^error.*/m)]).toEqual([0, null]);
    const [{ picture, probabilities }] = JSON.parse(readFileSync(join(folder, "out.json"), "utf8"));
    expect([picture, Object.keys(probabilities)]).toEqual(["outside.bmp", ["salt, pepper", '"quoted" & <odd>', "cat"]]);
    const values = Object.values<number>(probabilities);
    expect(values.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
  });

  it("gives a table for a picture, and a CSV for a folder, without the link that leads out of it", () => {
    const one = cli("outside.bmp", "--classes", "cat,dog,tea", "--top", "2");
    expect(one.out).toMatch(/outside\.bmp\nclass +%\n\w+ +\d+\.\d\n\w+ +\d+\.\d\n/);
    const { status, out } = cli("photos", "--classes", "cat");
    expect(status).toBe(0);
    expect(out.trim().split("\n")).toEqual([
      "picture,prediction,cat",
      '"photos/a, first.png",cat,1.000000',
      "photos/deep/b.jpg,cat,1.000000",
    ]);
  });

  it("names a picture that cannot be decoded, predicts the others, and ends with 1", () => {
    copyFileSync("test/pictures/cut-short.jpg", join(folder, "broken.jpg"));
    const { status, out, err } = cli("broken.jpg", "outside.bmp", "--classes", "cat,dog");
    expect(status).toBe(1);
    expect(err).toMatch(/error: .*broken\.jpg: cannot be read as a picture/);
    expect(out).toContain("outside.bmp\n");
  });

  it.each([
    [["outside.bmp"], "predict needs --classes"],
    [["outside.bmp", "--classes", " , "], "there is no class name"],
    [["outside.bmp", "--classes", "cat,dog,cat"], '"cat" is there twice'],
    [["outside.bmp", "--classes", "cat", "--template", "a photo"], "has no {} for the class name"],
    [["outside.bmp", "--classes", "cat", "--top", "0"], "--top 0: expected a whole number from 1"],
    [["outside.bmp", "--clases", "cat"], 'unknown option "--clases". Did you mean "--classes"?'],
    [["nowhere.png", "--classes", "cat"], "there is no picture or folder"],
    [["--classes", "cat"], "predict what?"],
  ])("%j is refused in one sentence", (args, message) => {
    const { status, out, err } = cli(...args);
    expect([status, out]).toEqual([2, ""]);
    expect(err).toContain(`error: `);
    expect(err).toContain(message);
    expect(err).not.toMatch(/\n\s+at /);
  });

  it("names the class whose sentence is longer than the text encoder takes", () => {
    const { status, err } = cli("outside.bmp", "--classes", `cat,${"very ".repeat(40)}long`);
    expect(status).toBe(2);
    expect(err).toMatch(
      /error: a sentence has \d+ tokens, the model takes at most 32: shorten the class name.*a photo of a very very/,
    );
  });
});
