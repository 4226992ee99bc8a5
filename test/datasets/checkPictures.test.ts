/** Pictures are looked at before a long run: what cannot be decoded is named, skipped on request, and remembered. */
import { copyFileSync, linkSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { drawnUnseen, leakedPictures, undecodable, withoutUndecodable } from "../../src/datasets/checkPictures";
import { drawFewShot } from "../../src/datasets/fewShot";
import { type Dataset, loadDataset } from "../../src/datasets/split";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";

const root = temporaryFolder("check");
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

it("names the picture that cannot be decoded, and remembers it", async () => {
  let looked = 0;
  const problems = await undecodable(dataset, () => looked++, cache);
  expect(problems.map(({ path }) => path)).toEqual([broken]);
  expect(looked).toBe(dataset.train.length + dataset.val.length + dataset.test.length);
  expect(await undecodable(dataset, () => looked++, cache)).toEqual(problems);
  expect(looked).toBe(dataset.train.length + dataset.val.length + dataset.test.length);
  const moved = join(root, "moved"); // the same dataset elsewhere, as its fingerprint says
  const [{ path }] = await undecodable({ ...dataset, folder: moved }, () => looked++, cache);
  expect(path).toBe(join(moved, relative(dataset.folder, broken)));
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

it("looks at the drawn pictures alone, and hashes no others, where the training pictures are too many", async () => {
  // ImageNet's layout with 110,000 training pictures: links to the pictures of two classes, 55,000 each.
  const folder = join(root, "imagenet");
  const classes = ["n01", "n02"];
  for (const [label, id] of classes.entries()) {
    for (const part of ["train", "val"]) mkdirSync(join(folder, "images", part, id), { recursive: true });
    copyFileSync(dataset.test[1 + label].path, join(folder, "images", "val", id, "0.png"));
    const first = join(folder, "images", "train", id, "0.png");
    copyFileSync(label === 0 ? dataset.train[0].path : broken, first);
    for (let k = 1; k < 55_000; k++) linkSync(first, join(folder, "images", "train", id, `${k}.png`));
  }
  writeFileSync(join(folder, "classnames.txt"), "n01 cat\nn02 dog\n");
  const large = loadDataset(folder);
  expect(large.train).toHaveLength(110_000);
  expect(large.train.some(({ hash }) => hash !== undefined)).toBe(false);
  expect(await undecodable(large, undefined, cache)).toEqual([]);
  const [drawn] = drawnUnseen(large, [2], [1]);
  const undecodablePaths = (await undecodable(drawn, undefined, cache)).map(({ path }) => path);
  expect(undecodablePaths).toEqual(drawn.train.flatMap(({ path, label }) => (label === 1 ? [path] : [])).sort());

  // The content of what is drawn is in the fingerprint of the draw.
  const [cat] = drawn.train.map(({ path }) => path);
  rmSync(cat);
  copyFileSync(dataset.train[1].path, cat);
  expect(loadDataset(folder).fingerprint).toBe(large.fingerprint);
  expect(drawFewShot(large, 2, 1).fingerprint).not.toBe(drawn.fingerprint);
  expect(drawFewShot(large, 2, 2).fingerprint).not.toBe(drawn.fingerprint);
});
