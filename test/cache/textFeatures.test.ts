/**
 * Text features cached on disk: they are the computed numbers, never those of another model or of a damaged file, and
 * their total size is limited.
 */
import { readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { rememberTexts, type TextCache } from "../../src/cache/textFeatures";
import { encodeTexts } from "../../src/clip/fast/text";
import { disposeClip, loadClip } from "../../src/clip/load";
import type { Clip } from "../../src/clip/model";
import { type Tensor, tf } from "../../src/engine/tf";
import { writeRandomClip } from "../randomClip";
import { temporaryFolder } from "../temporary";

const texts = ["a photo of a cat.", "a cat", "a drawing of a dog."];
let folder: string;
let clip: Clip;
const cache = (changes: Partial<TextCache> = {}): TextCache => ({
  folder: temporaryFolder("texts"),
  worth: 0,
  limit: 1e6,
  ...changes,
});
const files = ({ folder }: TextCache) => readdirSync(folder).map((name) => join(folder, name));
const valuesOf = (tensor: Tensor) => {
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

test("features that were computed once are read from disk bit for bit, and no tensor leaks", () => {
  const textCache = cache();
  const expected = valuesOf(encodeTexts(clip, texts));
  const before = tf.memory().numTensors;
  expect(valuesOf(rememberTexts(clip, texts, textCache))).toEqual(expected);
  expect(files(textCache)).toHaveLength(1);
  // without a text tower, they cannot have been computed
  expect(valuesOf(rememberTexts({ ...clip, text: undefined as any }, texts, textCache))).toEqual(expected);
  expect(tf.memory().numTensors).toBe(before);
});

test("other models and other texts have separate files; a model without fingerprint has none", () => {
  const textCache = cache();
  rememberTexts(clip, texts, textCache).dispose();
  rememberTexts({ ...clip, fingerprint: "another" }, texts, textCache).dispose();
  rememberTexts(clip, [...texts].reverse(), textCache).dispose();
  expect(files(textCache)).toHaveLength(3);
  rememberTexts({ ...clip, fingerprint: "" }, texts, textCache).dispose();
  expect(files(textCache)).toHaveLength(3);
});

test("features in a truncated or changed file are computed again, and the file is repaired", () => {
  const textCache = cache();
  const expected = valuesOf(rememberTexts(clip, texts, textCache));
  const [file] = files(textCache);
  const intact = readFileSync(file);
  const changed = Buffer.from(intact);
  changed[changed.length - 3] ^= 1;
  for (const damaged of [intact.subarray(0, intact.length - 10), Buffer.alloc(0), changed]) {
    writeFileSync(file, damaged);
    expect(valuesOf(rememberTexts(clip, texts, textCache))).toEqual(expected);
    expect(readFileSync(file)).toEqual(intact);
    expect(readFileSync(`${file}.damaged`)).toEqual(damaged);
  }
});

test("features that take little time to compute are not stored; an unwritable folder is no error", () => {
  const slowOnlyCache = cache({ worth: 60 });
  rememberTexts(clip, texts, slowOnlyCache).dispose();
  expect(files(slowOnlyCache)).toEqual([]);
  const blocked = join(slowOnlyCache.folder, "file");
  writeFileSync(blocked, "");
  expect(rememberTexts(clip, texts, cache({ folder: blocked })).shape).toEqual([3, clip.embed]);
});

test("the folder stays within its size limit: the least recently used file is deleted", () => {
  const textCache = cache();
  rememberTexts(clip, texts, textCache).dispose();
  const [oldest] = files(textCache);
  utimesSync(oldest, new Date(0), new Date(0));
  const small = { ...textCache, limit: 1.5 * readFileSync(oldest).length };
  rememberTexts(clip, texts.slice(0, 2), small).dispose();
  expect(files(textCache)).toHaveLength(1);
  expect(files(textCache)).not.toContain(oldest);
});
