/** Split files, the official draws, class halves, and the batches made of them. */
import fs from "node:fs";
import path from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { officialAugmentation } from "../../src/configs/presets";
import { baseNovel } from "../../src/datasets/baseNovel";
import { drawFewShot, shortClasses } from "../../src/datasets/fewShot";
import { randomResizedCrop, stepsPerEpoch, testBatches, trainPictures } from "../../src/datasets/pictures";
import { pythonRandom } from "../../src/datasets/pythonRandom";
import { type Dataset, type Item, listSplits, loadDataset } from "../../src/datasets/split";
import type { PixelBatch } from "../../src/io/preprocess";
import { readPreprocess } from "../../src/io/preprocess";
import { readJson } from "../../src/io/readJson";
import { drawsParity } from "../../src/parity/data";
import { seeded } from "../../src/util/random";
import { temporaryFolder } from "../temporary";

let root: string;
const preprocess = readPreprocess({ size: 16, crop_size: 16 }, "test");
const classes = ["red_fox", "owl", "ant", "bee", "cod"];

/** A folder with 5 classes: 6 training, 2 validation and 3 test pictures each, 20 x 16 pixels of one grey level. */
beforeAll(async () => {
  root = temporaryFolder("datasets");
  const lists: Record<string, [string, number, string][]> = { train: [], val: [], test: [] };
  for (const [part, count] of [
    ["train", 6],
    ["val", 2],
    ["test", 3],
  ] as const) {
    for (let i = 0; i < count; i++) {
      for (const [label, name] of classes.entries()) {
        const file = `${name}/${part}${i}.png`;
        fs.mkdirSync(path.join(root, "pets/images", name), { recursive: true });
        const level = 10 * label + i + 100 * (part === "test" ? 1 : 0);
        const raw = { width: 20, height: 16, channels: 3 as const };
        await sharp(Buffer.alloc(20 * 16 * 3, level), { raw })
          .png()
          .toFile(path.join(root, "pets/images", file));
        lists[part].push([file, label, name]);
      }
    }
  }
  writeSplit("renders", lists);
});
afterAll(() => fs.rmSync(root, { recursive: true }));

const folder = () => path.join(root, "pets");
const writeSplit = (split: string, lists: unknown) =>
  fs.writeFileSync(
    path.join(root, `pets/split_${split}.json`),
    typeof lists === "string" ? lists : JSON.stringify(lists),
  );
const renders = (): Record<string, [string, number, string][]> =>
  JSON.parse(fs.readFileSync(path.join(folder(), "split_renders.json"), "utf8"));

async function all(batches: AsyncIterable<PixelBatch> | Iterable<PixelBatch>): Promise<PixelBatch[]> {
  const list: PixelBatch[] = [];
  for await (const batch of batches) list.push(batch);
  return list;
}

describe("Python's random", () => {
  const range = (n: number) => Array.from({ length: n }, (_, i) => i);

  it("gives CPython's 32-bit numbers", () => {
    const one = pythonRandom(1);
    expect([one.uint32(), one.uint32(), one.uint32()]).toEqual([577090037, 2444712010, 3639700191]);
    // random.seed(2**40 + 7); getrandbits(32) twice; and a negative seed is its magnitude
    const big = pythonRandom(2 ** 40 + 7);
    expect([big.uint32(), big.uint32()]).toEqual([2635837658, 3209733218]);
    expect(pythonRandom(-3).uint32()).toBe(pythonRandom(3).uint32());
  });

  it.each([
    [
      1,
      [8, 36, 54, 51, 48, 4, 16, 7, 31, 56, 28, 30, 41, 24, 13, 6],
      [15, 0, 12, 13, 18, 11, 7, 4, 14, 3, 9, 1, 5, 19, 6, 16],
      [1108, 18, 780, 443, 864, 59, 1080, 454, 896, 1015, 1132, 477, 707, 472, 448, 941],
    ],
    [
      2,
      [55, 54, 3, 5, 58, 23, 10, 47, 42, 19, 16, 38, 13, 51, 2, 37],
      [5, 13, 12, 16, 11, 8, 7, 14, 4, 0, 10, 19, 18, 2, 3, 17],
      [1076, 336, 1147, 363, 483, 472, 48, 361, 665, 355, 279, 1044, 736, 1052, 1146, 372],
    ],
    [
      3,
      [15, 37, 34, 8, 23, 38, 30, 40, 57, 4, 53, 0, 52, 16, 35, 14],
      [6, 15, 17, 18, 12, 10, 13, 2, 3, 14, 16, 8, 19, 5, 0, 7],
      [326, 1210, 87, 616, 63, 551, 968, 1218, 793, 874, 808, 1181, 910, 274, 748, 199],
    ],
  ])("seed %i draws the samples of CPython 3.11", (seed, of59, of20, of1300) => {
    const random = pythonRandom(seed);
    expect(random.sample(range(59), 16)).toEqual(of59);
    expect(random.sample(range(20), 16)).toEqual(of20);
    expect(random.sample(range(1300), 16)).toEqual(of1300);
  });

  it("draws without repetition, everything when asked for everything", () => {
    for (let n = 0; n < 200; n += 7) {
      const drawn = pythonRandom(n).sample(range(n), Math.ceil(n / 2));
      expect(new Set(drawn).size).toBe(Math.ceil(n / 2));
      expect(
        pythonRandom(n)
          .sample(range(n), n)
          .sort((a, b) => a - b),
      ).toEqual(range(n));
    }
    expect(() => pythonRandom(1).sample([1, 2], 3)).toThrow("3 of 2");
    expect(() => pythonRandom(0.5)).toThrow("0.5");
  });

  it("the reference draws of 5 classes are the same", async () => {
    expect(await drawsParity("test/golden", () => undefined)).toEqual({ passed: 3, failed: 0 });
  });
});

describe("split files", () => {
  it("load with labels, names, paths and a fingerprint of what they hold", () => {
    const dataset = loadDataset(folder());
    expect([dataset.name, dataset.split, dataset.classNames]).toEqual(["pets", "renders", classes]);
    expect([dataset.train.length, dataset.val.length, dataset.test.length]).toEqual([30, 10, 15]);
    expect(fs.existsSync(dataset.train[0].path)).toBe(true);
    expect(loadDataset(folder()).fingerprint).toBe(dataset.fingerprint);
    expect(listSplits(folder())).toContain("renders");

    const moved = path.join(root, "moved");
    fs.cpSync(folder(), moved, { recursive: true });
    expect(loadDataset(moved).fingerprint).toBe(dataset.fingerprint);
    fs.appendFileSync(loadDataset(moved).test[3].path, "x");
    expect(loadDataset(moved).fingerprint).not.toBe(dataset.fingerprint);
    fs.rmSync(moved, { recursive: true });
    writeSplit("stamped", { ...renders(), made: "by another renderer" });
    expect(loadDataset(folder(), "stamped").fingerprint).not.toBe(dataset.fingerprint);
  });

  const broken: [string, (lists: ReturnType<typeof renders>) => unknown, string][] = [
    ["cut short", (lists) => JSON.stringify(lists).slice(0, 31), "not valid JSON at line 1, column 32: the file ends"],
    [
      "with a comma too many",
      () => '{\n "train": [\n  ["a", 0, "b"],\n ]\n}',
      'not valid JSON at line 4, column 2: found "]\\n}"',
    ],
    [
      "whose entry is no triple",
      (lists) => ({ ...lists, val: [["a.png", "0", "owl"]] }),
      'val[0] should be [path, label, class name]; it is ["a.png","0","owl"]',
    ],
    ["whose part is no list", (lists) => ({ ...lists, val: 3 }), '"val" should be a list'],
    ["without pictures", () => ({ train: [] }), "no pictures"],
    ["with a picture twice", (lists) => ({ ...lists, val: [...lists.val, lists.val[0]] }), 'stands in "val" and again'],
    [
      "that tests a training picture",
      (lists) => ({ ...lists, test: [...lists.test, lists.train[4]] }),
      'stands in "train" and in "test"',
    ],
    [
      "with a missing picture",
      (lists) => ({ ...lists, train: [...lists.train, ["owl/lost.png", 1, "owl"]] }),
      "lost.png is missing",
    ],
    [
      "with two names for a label",
      (lists) => ({ ...lists, val: [["owl/val0.png", 1, "eagle"]] }),
      'label 1 is "owl" and, in "val", "eagle"',
    ],
    [
      "with a gap in the labels",
      (lists) => ({ ...lists, val: [["owl/val0.png", 7, "eagle"]] }),
      "labels go up to 7, but 5 has no picture",
    ],
    [
      "that never tests a class",
      (lists) => ({ ...lists, test: lists.test.filter(([, label]) => label !== 2) }),
      'class "ant" (label 2) has no picture in "test"',
    ],
    [
      "that leaves its folder",
      (lists) => ({ ...lists, val: [["../split_renders.json", 1, "owl"]] }),
      "leaves the folder",
    ],
  ];
  it.each(broken)("a split %s is refused", (_, change, message) => {
    writeSplit("broken", change(renders()));
    expect(() => loadDataset(folder(), "broken")).toThrow(message);
    expect(() => loadDataset(folder(), "broken")).toThrow("split_broken.json");
  });

  it("name what there is when asked for what there is not", () => {
    expect(() => loadDataset(folder(), "none")).toThrow(/unknown split of .*pets "none".* There are: .*renders/);
    expect(() => loadDataset(path.join(root, "dogs"))).toThrow(/unknown dataset of .* "dogs". There are: pets/);
    expect(() => readJson(path.join(root, "x.json"))).toThrow("there is no such file");
  });
});

describe("JSON errors", () => {
  it.each([
    ["", 1, 1],
    ["[1, 2", 1, 6],
    ['{"a": tru}', 1, 7],
    ['{"a": 1,}', 1, 9],
    ["[1]\n[2]", 2, 1],
    ['["a\\qb"]', 1, 2],
    ['{"a" 1}', 1, 6],
    ["[01]", 1, 3],
  ])("%j stops at line %i, column %i", (text, line, column) => {
    const file = path.join(root, "broken.json");
    fs.writeFileSync(file, text);
    expect(() => readJson(file)).toThrow(`line ${line}, column ${column}`);
  });

  it("what JSON.parse takes is taken", () => {
    const file = path.join(root, "fine.json");
    fs.writeFileSync(file, '\ufeff {"a": [1.5e-3, true, null, "\\u00e9\\n", {}, []]} ');
    expect(readJson(file)).toEqual({ a: [0.0015, true, null, "\u00e9\n", {}, []] });
  });
});

describe("base and novel", () => {
  it("halve the sorted labels, the larger half first, and relabel", () => {
    const { base, novel } = baseNovel(loadDataset(folder()));
    expect([base.classNames, novel.classNames]).toEqual([classes.slice(0, 3), classes.slice(3)]);
    for (const half of [base, novel]) {
      for (const part of ["train", "val", "test"] as const) {
        for (const item of half[part]) expect(item.className).toBe(half.classNames[item.label]);
      }
    }
    expect(base.test.length + novel.test.length).toBe(15);
    expect(base.test.filter((item) => novel.test.some((other) => other.path === item.path))).toEqual([]);
  });

  it("give the paper's class counts", () => {
    const counts = [1000, 100, 37, 196, 102, 101, 47, 10, 397].map((n) => {
      const items: Item[] = Array.from({ length: n }, (_, label) => ({
        path: `${label}`,
        label,
        className: `c${label}`,
      }));
      const made: Dataset = {
        name: "n",
        folder: "",
        split: "r",
        classNames: items.map((i) => i.className),
        train: items,
        val: [],
        test: items,
        fingerprint: "",
      };
      const { base, novel } = baseNovel(made);
      return [base.classNames.length, novel.classNames.length];
    });
    expect(counts).toEqual([
      [500, 500],
      [50, 50],
      [19, 18],
      [98, 98],
      [51, 51],
      [51, 50],
      [24, 23],
      [5, 5],
      [199, 198],
    ]);
  });
});

describe("few shots", () => {
  it("are drawn from all classes before the halves are taken, the same each time", () => {
    const dataset = loadDataset(folder());
    const drawn = drawFewShot(dataset, 3, 1);
    expect(drawn.train.length).toBe(15);
    expect(drawn.val.length).toBe(10); // min(3, 4) of 2
    expect(drawn.test).toBe(dataset.test);
    expect(drawFewShot(dataset, 3, 1)).toEqual(drawn);
    expect(drawFewShot(dataset, 3, 2).train).not.toEqual(drawn.train);
    const { base, novel } = baseNovel(drawn);
    const paths = [...base.train, ...novel.train].map((item) => item.path);
    expect(paths.sort()).toEqual(drawn.train.map((item) => item.path).sort());
  });

  it("take all of a class that has fewer, and say which", () => {
    const dataset = loadDataset(folder());
    expect(drawFewShot(dataset, 16, 1).train.length).toBe(30);
    expect(shortClasses(dataset, 16)[0]).toEqual({ className: "red_fox", pictures: 6 });
    expect(shortClasses(dataset, 6)).toEqual([]);
  });

  it("need training pictures in every class", () => {
    const dataset = loadDataset(folder());
    const untrained = { ...dataset, train: dataset.train.filter((item) => item.label !== 1) };
    expect(() => drawFewShot(untrained, 4, 1)).toThrow('no training picture for 1 of 5 classes ("owl")');
    expect(() => drawFewShot(dataset, 0, 1)).toThrow("from 1");
  });
});

describe("batches", () => {
  it("of training: a permutation, full batches, the same for the same seed and epoch", async () => {
    const items = loadDataset(folder()).train;
    const pictures = trainPictures(items, preprocess, { batch: 4, seed: 1 });
    expect([pictures.count, pictures.steps, stepsPerEpoch(3, 4), stepsPerEpoch(30, 4)]).toEqual([30, 7, 1, 7]);
    const first = await all(pictures.epoch(1));
    expect(first.map((batch) => [batch.pixels.length, batch.labels.length])).toEqual(
      Array(7).fill([4 * 3 * 16 * 16, 4]),
    );
    expect(await all(trainPictures(items, preprocess, { batch: 4, seed: 1 }).epoch(1))).toEqual(first);
    expect(await all(pictures.epoch(2))).not.toEqual(first);
    expect(await all(trainPictures(items, preprocess, { batch: 4, seed: 2 }).epoch(1))).not.toEqual(first);
    // flat pictures stay flat whatever the crop, so each picture is known by its level: all differ within an epoch
    const levels = first.flatMap((batch) => [...batch.labels].map((_, i) => batch.pixels[i * 768]));
    expect(new Set(levels).size).toBe(28);
  });

  it("of training do not depend on the batch's size", async () => {
    const items = loadDataset(folder()).train;
    const flat = async (batch: number) =>
      (await all(trainPictures(items, preprocess, { batch, seed: 5 }).epoch(3))).flatMap((b) => [...b.pixels]);
    expect(await flat(10)).toEqual(await flat(15));
    expect(await flat(100)).toEqual(await flat(30)); // fewer pictures than a batch: one batch of all
  });

  it("of testing: in order, the last one smaller, alike for every size and at the second pass", async () => {
    const items = loadDataset(folder()).test;
    const batches = await all(testBatches(items, preprocess, 4));
    expect(batches.map((batch) => batch.labels.length)).toEqual([4, 4, 4, 3]);
    expect(batches.flatMap((batch) => [...batch.labels])).toEqual(items.map((item) => item.label));
    const pixels = batches.flatMap((batch) => [...batch.pixels]);
    expect((await all(testBatches(items, preprocess, 15)))[0].pixels).toEqual(Float32Array.from(pixels));
    expect(pixels[0]).toBe(preprocess.table[100]);
    expect(await all(testBatches([], preprocess, 4))).toEqual([]);
  });

  it("say what is wrong", async () => {
    expect(() => trainPictures([], preprocess, { batch: 4, seed: 1 })).toThrow("no pictures");
    expect(() => trainPictures(loadDataset(folder()).train, preprocess, { batch: 0, seed: 1 })).toThrow("it is 0");
    const lost = [{ path: path.join(root, "gone.png"), label: 0, className: "x" }];
    await expect(all(testBatches(lost, preprocess, 4))).rejects.toThrow("gone.png");
    await expect(all(trainPictures(lost, preprocess, { batch: 4, seed: 1 }).epoch(1))).rejects.toThrow("gone.png");
  });
});

describe("random crops", () => {
  it("lie inside, with area and ratio in their ranges, over the whole picture", () => {
    const random = seeded("test");
    let area = 0;
    for (let i = 0; i < 4000; i++) {
      const { top, left, width, height } = randomResizedCrop(random, 200, 160, officialAugmentation);
      expect(top >= 0 && left >= 0 && top + height <= 160 && left + width <= 200).toBe(true);
      expect(width / height).toBeGreaterThan(0.72);
      expect(width / height).toBeLessThan(1.38);
      area += (width * height) / (200 * 160);
    }
    expect(area / 4000).toBeGreaterThan(0.45); // U(0.08, 1) has mean 0.54; tries that do not fit lower it a little
    expect(area / 4000).toBeLessThan(0.56);
  });

  it("fall back to the largest central crop of an allowed ratio", () => {
    const random = seeded("test");
    expect(randomResizedCrop(random, 1000, 30, { ...officialAugmentation, scale: [1, 1] })).toEqual({
      top: 0,
      left: 480,
      width: 40,
      height: 30,
    });
    expect(randomResizedCrop(random, 30, 1000, { ...officialAugmentation, scale: [1, 1] })).toEqual({
      top: 480,
      left: 0,
      width: 30,
      height: 40,
    });
    const never = { ...random, uniform: () => 1 - 2 ** -32, int: () => 0 };
    expect(randomResizedCrop(never, 50, 50, { ...officialAugmentation, scale: [2, 2] })).toEqual({
      top: 0,
      left: 0,
      width: 50,
      height: 50,
    });
  });

  it("mirror half of the pictures", async () => {
    const left = Buffer.alloc(16 * 16 * 3).map((_, i) => (Math.floor(i / 3) % 16 < 8 ? 255 : 0));
    const file = path.join(root, "left.png");
    await sharp(left, { raw: { width: 16, height: 16, channels: 3 } })
      .png()
      .toFile(file);
    const items = Array.from({ length: 1000 }, () => ({ path: file, label: 0, className: "x" }));
    const augmentation = {
      ...officialAugmentation,
      scale: [1, 1] as [number, number],
      ratio: [1, 1] as [number, number],
    };
    const [batch] = await all(trainPictures(items, preprocess, { batch: 1000, seed: 1, augmentation }).epoch(1));
    const mirrored = items.filter((_, i) => batch.pixels[i * 768] < 0).length;
    expect(mirrored).toBeGreaterThan(440);
    expect(mirrored).toBeLessThan(560);
  });
});
