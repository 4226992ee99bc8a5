/** Pictures are looked at before a long run: what cannot be decoded is named, skipped on request, and remembered. */
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { leakedPictures, undecodable, withoutUndecodable } from "../../src/datasets/checkPictures";
import { type Dataset, loadDataset } from "../../src/datasets/split";
import { drawShapes } from "../shapes";

const root = mkdtempSync(join(tmpdir(), "check-"));
const cache = join(root, "cache");
let broken: string;
let dataset: Dataset;
beforeAll(async () => {
  await drawShapes(join(root, "shapes"));
  const whole = loadDataset(join(root, "shapes"));
  broken = whole.train[3].path;
  copyFileSync(join("test", "pictures", "cut-short.jpg"), broken);
  copyFileSync(whole.train[0].path, whole.test[0].path);
  dataset = loadDataset(join(root, "shapes"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

it("names the picture that cannot be decoded, and remembers it", async () => {
  let looked = 0;
  const problems = await undecodable(dataset, () => looked++, cache);
  expect(problems.map(({ path }) => path)).toEqual([broken]);
  expect(looked).toBe(dataset.train.length + dataset.val.length + dataset.test.length);
  expect(await undecodable(dataset, () => looked++, cache)).toEqual(problems);
  expect(looked).toBe(dataset.train.length + dataset.val.length + dataset.test.length);
  expect(() => withoutUndecodable(dataset, problems, false)).toThrow(/cannot be decoded .*--skip-corrupt/);
});

it("does not remember a file that could not be read", async () => {
  const gone = { ...dataset, fingerprint: "gone", train: [{ ...dataset.train[0], path: join(root, "gone.png") }] };
  await expect(undecodable(gone, undefined, cache)).rejects.toThrow(/ENOENT/);
  await expect(undecodable(gone, undefined, cache)).rejects.toThrow(/ENOENT/);
});

it("leaves it out on request, as another dataset", async () => {
  const left = withoutUndecodable(dataset, await undecodable(dataset, undefined, cache), true);
  expect(left.train).toHaveLength(dataset.train.length - 1);
  expect(left.fingerprint).not.toBe(dataset.fingerprint);
});

it("finds test pictures that are also trained on", () => {
  expect(leakedPictures(dataset)).toEqual([[dataset.train[0].path, dataset.test[0].path]]);
});
