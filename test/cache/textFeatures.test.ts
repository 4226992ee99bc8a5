/** Text features kept on disk: the same numbers, never another model's, never a damaged file's, never more than allowed. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeRandomClip } from "../../bench/randomClip";
import { rememberTexts, type TextCache } from "../../src/cache/textFeatures";
import { encodeTexts } from "../../src/clip/fast/text";
import { disposeClip, loadClip } from "../../src/clip/load";
import type { Clip } from "../../src/clip/model";
import { type Tensor, tf } from "../../src/engine/tf";

const texts = ["a photo of a cat.", "a cat", "a drawing of a dog."];
let folder: string;
let clip: Clip;
const cache = (changes: Partial<TextCache> = {}): TextCache => ({
  folder: mkdtempSync(join(tmpdir(), "texts-")),
  worth: 0,
  limit: 1e6,
  ...changes,
});
const files = ({ folder }: TextCache) => readdirSync(folder).map((name) => join(folder, name));
const numbers = (tensor: Tensor) => {
  const values = Array.from(tensor.dataSync());
  tensor.dispose();
  return values;
};

beforeAll(async () => {
  folder = writeRandomClip();
  clip = await loadClip(folder);
});
afterAll(() => {
  disposeClip(clip);
  rmSync(folder, { recursive: true });
});

test("what was computed once is read, with the same bits and no tensor left over", () => {
  const own = cache();
  const expected = numbers(encodeTexts(clip, texts));
  const before = tf.memory().numTensors;
  expect(numbers(rememberTexts(clip, texts, own))).toEqual(expected);
  expect(files(own)).toHaveLength(1);
  expect(numbers(rememberTexts({ ...clip, text: undefined as any }, texts, own))).toEqual(expected); // it cannot have been computed
  expect(tf.memory().numTensors).toBe(before);
});

test("a model or texts of other content have their own files; a model without fingerprint has none", () => {
  const own = cache();
  rememberTexts(clip, texts, own).dispose();
  rememberTexts({ ...clip, fingerprint: "another" }, texts, own).dispose();
  rememberTexts(clip, [...texts].reverse(), own).dispose();
  expect(files(own)).toHaveLength(3);
  rememberTexts({ ...clip, fingerprint: "" }, texts, own).dispose();
  expect(files(own)).toHaveLength(3);
});

test("a cut or changed file is computed again and put right", () => {
  const own = cache();
  const expected = numbers(rememberTexts(clip, texts, own));
  const [file] = files(own);
  const whole = readFileSync(file);
  const changed = Buffer.from(whole);
  changed[changed.length - 3] ^= 1;
  for (const damaged of [whole.subarray(0, whole.length - 10), Buffer.alloc(0), changed]) {
    writeFileSync(file, damaged);
    expect(numbers(rememberTexts(clip, texts, own))).toEqual(expected);
    expect(readFileSync(file)).toEqual(whole);
  }
});

test("what takes no time is not kept; a folder that cannot be written stops nothing", () => {
  const idle = cache({ worth: 60 });
  rememberTexts(clip, texts, idle).dispose();
  expect(files(idle)).toEqual([]);
  const blocked = join(idle.folder, "file");
  writeFileSync(blocked, "");
  expect(rememberTexts(clip, texts, cache({ folder: blocked })).shape).toEqual([3, clip.embed]);
});

test("the folder stays within its limit: what was unused for longest goes", () => {
  const own = cache();
  rememberTexts(clip, texts, own).dispose();
  const [old] = files(own);
  utimesSync(old, new Date(0), new Date(0));
  const small = { ...own, limit: 1.5 * readFileSync(old).length };
  rememberTexts(clip, texts.slice(0, 2), small).dispose();
  expect(files(own)).toHaveLength(1);
  expect(files(own)).not.toContain(old);
});
