/** A folder with a folder of pictures for each class is a dataset, split as CoOp splits with Python's generator. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { datasetNames, loadDataset } from "../../src/datasets/split";

const root = mkdtempSync(join(tmpdir(), "photos-"));
const photos = join(root, "photos");
const write = async (folder: string, count: number) => {
  mkdirSync(folder, { recursive: true });
  for (let k = 0; k < count; k++) {
    const background = { r: k * 20, g: folder.length, b: count };
    const picture = sharp({ create: { width: 9, height: 9, channels: 3, background } });
    await picture.png().toFile(join(folder, `${k}.png`));
  }
};
beforeAll(async () => {
  await write(join(photos, "ant"), 10);
  await write(join(photos, "big_bee"), 7);
  await write(join(root, "single", "one"), 1);
  await write(join(root, "single", "two"), 4);
  mkdirSync(join(photos, "empty"));
  copyFileSync("test/pictures/rgb.png", join(root, "outside.png"));
  symlinkSync(join(root, "outside.png"), join(photos, "ant", "link.png"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("a folder of photos", () => {
  it("is split by random.shuffle into 50, 20 and 30 %, without empty folders and links that lead out", () => {
    const { train, val, test, classNames, split } = loadDataset(photos);
    expect([classNames, split]).toEqual([["ant", "big_bee"], "seed1"]);
    const of = (items: typeof train, label: number) =>
      items.filter((item) => item.label === label).map(({ path }) => Number.parseInt(basename(path), 10));
    // CPython 3.11: random.seed(1), random.shuffle of range(10), then of range(7).
    expect([of(train, 0), of(val, 0), of(test, 0)]).toEqual([
      [6, 8, 9, 7, 5],
      [3, 0],
      [4, 1, 2],
    ]);
    expect([of(train, 1), of(val, 1), of(test, 1)]).toEqual([[2, 5, 4, 3], [0], [1, 6]]);
  });

  it("has another split and fingerprint with another seed, and no other splits", () => {
    const [one, two] = ["seed1", "seed2"].map((split) => loadDataset(photos, split));
    expect(two.test.map(({ path }) => path)).not.toEqual(one.test.map(({ path }) => path));
    expect(two.fingerprint).not.toBe(one.fingerprint);
    expect(() => loadDataset(photos, "renders")).toThrow(/named seed1, seed2/);
    symlinkSync(join(root, "gone"), join(root, "broken-link"));
    expect(datasetNames(root)).toEqual(["photos", "single"]);
  });

  it("takes the spelling of class names from classnames.txt", () => {
    const { fingerprint } = loadDataset(photos);
    writeFileSync(join(photos, "classnames.txt"), "big_bee bumble bee\n");
    const spelled = loadDataset(photos);
    expect(spelled.classNames).toEqual(["ant", "bumble bee"]);
    // Results under the names of the folders must not be found for the new ones.
    expect(spelled.fingerprint).not.toBe(fingerprint);
    writeFileSync(join(photos, "classnames.txt"), "wasp wasp\n");
    expect(() => loadDataset(photos)).toThrow(/line 1: "wasp wasp" does not begin with a folder of pictures/);
    rmSync(join(photos, "classnames.txt"));
  });

  it("refuses a class of one picture", () => {
    expect(() => loadDataset(join(root, "single"))).toThrow(/one has 1 picture: a class needs 2 or more/);
  });
});
