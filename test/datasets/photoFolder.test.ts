/** A folder with a folder of pictures for each class is a dataset, split as CoOp splits with Python's generator. */
import { copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { baseToNovelJobs } from "../../src/benchmarks/baseToNovel";
import { fewShot } from "../../src/benchmarks/fewShot";
import type { Clip } from "../../src/clip/model";
import { undecodable } from "../../src/datasets/checkPictures";
import { testBatches, trainPictures } from "../../src/datasets/pictures";
import { datasetNames, loadDataset } from "../../src/datasets/split";
import { type PixelBatch, readPreprocess } from "../../src/io/preprocess";
import { methods } from "../../src/methods/registry";
import { temporaryFolder } from "../temporary";

const root = temporaryFolder("photos");
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
  symlinkSync(join(root, "single", "two"), join(photos, "linked folder"));
  writeFileSync(join(photos, "ant", "._0.png"), "what macOS writes beside a file on other disks");
  await write(join(photos, ".thumbnails"), 2);
});

describe("a folder of photos", () => {
  it("is split by random.shuffle into 50, 20 and 30 %, without empty and hidden folders and links out of it", () => {
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

  it("finds the folder of a line of classnames.txt whose name has spaces or composed accents", async () => {
    const folder = join(root, "spelled");
    for (const name of ["bee", "bee eater", "cafe\u0301"]) await write(join(folder, name), 2);
    writeFileSync(join(folder, "classnames.txt"), "\ufeffbee eater European bee-eater\r\ncaf\u00e9\tcoffee house\r\n");
    expect(loadDataset(folder).classNames).toEqual(["bee", "European bee-eater", "coffee house"]);
    writeFileSync(join(folder, "classnames.txt"), "bee honey bee\nbee eater  \n");
    expect(() => loadDataset(folder)).toThrow(/line 2: no class name follows the folder "bee eater"/);
  });

  it("takes folder names of any characters, in Python's order", async () => {
    const folder = join(root, "odd");
    // sorted() of Python 3; JavaScript's sort() puts the last before the one above it.
    const names = ['$& it\'s "odd", <b>', "cafe\u0301", "\u6c49\u5b57", "\uff5e", "\u{1f363}"];
    for (const name of names) await write(join(folder, name), 2);
    expect(loadDataset(folder).classNames).toEqual(names);
  });

  it("of one class loads, and neither benchmark runs on it", async () => {
    const folder = join(root, "alone");
    await write(join(folder, "ant"), 4);
    const dataset = loadDataset(folder);
    const grid = { clip: {} as Clip, datasets: [dataset], methods: [methods.clip], seeds: [1] };
    expect(() => baseToNovelJobs(grid)).toThrow("alone has 1 class; base and novel need 2 or more");
    expect(() => fewShot.jobs(grid)).toThrow('alone has one class, "ant": every prediction would be right');
  });

  it("without a picture says what it needs", () => {
    mkdirSync(join(root, "bare", "ant"), { recursive: true });
    writeFileSync(join(root, "bare", "ant", "notes.txt"), "");
    expect(() => loadDataset(join(root, "bare"))).toThrow(/bare has neither a split file .* nor a folder of pictures/);
  });

  it("refuses a class of one picture", () => {
    expect(() => loadDataset(join(root, "single"))).toThrow(/one has 1 picture: a class needs 2 or more/);
  });
});

describe("pictures of any size and kind", () => {
  const preprocess = readPreprocess({ size: 32, crop_size: 32 }, "test");
  const redPicture = async (name: string, width: number, height: number) => {
    const path = join(root, `${name}.png`);
    const background = { r: 255, g: 0, b: 0 };
    await sharp({ create: { width, height, channels: 3, background } })
      .png({ compressionLevel: 1 })
      .toFile(path);
    return [{ path, label: 0, className: "ant" }];
  };
  const expectRed = async (batches: AsyncIterable<PixelBatch> | Iterable<PixelBatch>) => {
    const red = preprocess.table[255];
    for await (const { pixels } of batches)
      expect([pixels.length, pixels[0], pixels[1023]]).toEqual([3 * 32 * 32, red, red]);
  };

  it.each([
    ["huge", 12_000, 9000],
    ["a point", 1, 1],
    ["a line", 1, 700],
  ])("%s becomes what the model sees", async (name, width, height) => {
    await expectRed(testBatches(await redPicture(name, width, height), preprocess, 4));
  });

  it("a point is cropped for training, too", async () => {
    const { epoch } = trainPictures(await redPicture("point", 1, 1), preprocess, { batch: 4, seed: 1 });
    await expectRed(epoch(1));
  });

  it("a file that is none, under the name of a picture, is named with what it is", async () => {
    const folder = join(root, "downloads");
    await write(join(folder, "ant"), 3);
    writeFileSync(join(folder, "ant", "8.jpg"), "<!DOCTYPE html><title>Log in</title>");
    writeFileSync(join(folder, "ant", "9.jpg"), "");
    const found = await undecodable(loadDataset(folder), undefined, join(root, "cache"));
    expect(found.map(({ path, reason }) => [basename(path), reason])).toEqual([
      ["8.jpg", expect.stringContaining("it is an HTML page, not the file itself")],
      ["9.jpg", expect.stringContaining("it is an empty file")],
    ]);
  });
});
