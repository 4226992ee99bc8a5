/**
 * Pixels against Pillow: test/pictures (decoding, resampling; made by make.py) and test/preprocess (CLIP's transforms).
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import { describe, expect, it } from "vitest";
import {
  cropPicture,
  decode,
  normalisePixels,
  pythonRound,
  readPreprocess,
  testPicture,
} from "../../src/io/preprocess";
import { cut, type Filter, type Picture, resize, whole } from "../../src/io/resample";
import { preprocessParity, tokenParity } from "../../src/parity/data";
import { temporaryFolder } from "../temporary";

const expected = JSON.parse(fs.readFileSync("test/pictures/expected.json", "utf8"));
const sha = (data: Uint8Array) => createHash("sha256").update(data).digest("hex").slice(0, 16);

/** byte i is (i * i * 31 + i * 7 + (i >> 5)) mod 256, as in make.py */
function pattern(width: number, height: number, blackAndWhite = false): Picture {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const level = (i * i * 31 + i * 7 + (i >> 5)) % 256;
    return blackAndWhite ? (level > 127 ? 255 : 0) : level;
  });
  return { width, height, data };
}

const silent = () => undefined;

describe("decoding", () => {
  it.each(Object.keys(expected.decoded))("%s as Pillow", async (name) => {
    const { width, height, sha256, error } = expected.decoded[name];
    if (error)
      return expect(decode(`test/pictures/${name}`)).rejects.toThrow(
        `test/pictures/${name}: cannot be read as a picture`,
      );
    const picture = await decode(`test/pictures/${name}`);
    expect([picture.width, picture.height, sha(picture.data)]).toEqual([width, height, sha256]);
  });

  it("names what cannot be read", async () => {
    await expect(decode("test/pictures/make.py")).rejects.toThrow("test/pictures/make.py: cannot be read as a picture");
    await expect(decode("nowhere.png")).rejects.toThrow("nowhere.png");
  });
});

describe("resampling", () => {
  it("equals Pillow to the bit in 150 sizes and 5 filters", () => {
    (expected.resized as [number, number, number, number, Filter, string][]).forEach(
      ([w, h, toW, toH, filter, hash], k) => {
        const picture = pattern(w, h, k % 3 === 0);
        expect([w, h, toW, toH, filter, sha(resize(picture, whole(picture), toH, toW, filter).data)]).toEqual([
          w,
          h,
          toW,
          toH,
          filter,
          hash,
        ]);
      },
    );
  });

  it("crops first: a box of a picture is the picture of the box", () => {
    const picture = pattern(31, 23);
    const box = { top: 4, left: 7, height: 15, width: 19 };
    const inner = cut(picture, box);
    for (const [height, width] of [
      [15, 19],
      [15, 8],
      [40, 19],
      [48, 48],
    ]) {
      expect(resize(picture, box, height, width, "bicubic")).toEqual(
        resize(inner, whole(inner), height, width, "bicubic"),
      );
    }
  });

  it("returns the picture itself where nothing changes, and keeps flat colours flat", () => {
    const picture = pattern(48, 48);
    expect(resize(picture, whole(picture), 48, 48, "bicubic")).toBe(picture);
    const flat = { width: 13, height: 9, data: new Uint8Array(13 * 9 * 3).fill(201) };
    expect(new Set(resize(flat, whole(flat), 48, 5, "lanczos").data)).toEqual(new Set([201]));
  });

  it("refuses a box outside the picture", () => {
    const picture = pattern(10, 10);
    expect(() => resize(picture, { top: 5, left: 0, height: 6, width: 4 }, 8, 8, "bicubic")).toThrow("10 x 10");
  });
});

describe("transforms", () => {
  it("equal torchvision's on the reference pictures", async () => {
    const lines: string[] = [];
    expect(await preprocessParity("test/preprocess", (line) => lines.push(line))).toEqual({ passed: 13, failed: 0 });
    expect(lines.every((line) => line.includes("largest difference 0 "))).toBe(true);
  });

  it("a wrong reference fails", async () => {
    const folder = temporaryFolder("parity");
    fs.cpSync("test/preprocess", folder, { recursive: true });
    const cases = JSON.parse(fs.readFileSync(`${folder}/cases.json`, "utf8"));
    const moved = cases
      .filter((one: any) => one.key.startsWith("page"))
      .map((one: any) => ({
        ...one,
        kind: "crop",
        ...(one.top === undefined
          ? { top: 0, left: 0, height: 9, width: 9 }
          : { left: one.left + 1, width: one.width - 1 }),
      }));
    fs.writeFileSync(`${folder}/cases.json`, JSON.stringify(moved));
    expect(await preprocessParity(folder, silent)).toEqual({ passed: 0, failed: moved.length });
    fs.rmSync(folder, { recursive: true });
  });

  it("sizes, offsets and rounding are Python's", () => {
    expect([0.5, 1.5, 2.5, -0.5, 2.4, 2.6].map(pythonRound)).toEqual([0, 2, 2, 0, 2, 3]);
    const preprocess = readPreprocess({ size: 20, crop_size: { height: 15, width: 18 } }, "test");
    // 50 x 30 -> 33 x 20 (int(33.33)); top (20 - 15) / 2 = 2.5 -> 2, left (33 - 18) / 2 = 7.5 -> 8
    const picture = pattern(50, 30);
    const resized = resize(picture, whole(picture), 20, 33, "bicubic");
    expect(testPicture(picture, preprocess)).toEqual(cut(resized, { top: 2, left: 8, height: 15, width: 18 }));
  });

  it("pads a picture smaller than the crop with black", () => {
    const preprocess = readPreprocess({ size: 5, crop_size: 8 }, "test");
    const { data, width, height } = testPicture({ width: 5, height: 5, data: new Uint8Array(75).fill(9) }, preprocess);
    const lit = Array.from({ length: 64 }, (_, i) => data[i * 3] > 0);
    expect([width, height, lit.filter(Boolean).length, lit.indexOf(true)]).toEqual([8, 8, 25, 1 * 8 + 1]);
  });

  it("normalises in float32 steps, as planes, mirrored on demand", () => {
    const preprocess = readPreprocess({ size: 4, crop_size: 4 }, "test");
    const picture = pattern(4, 4);
    const straight = new Float32Array(48);
    const mirrored = new Float32Array(48);
    normalisePixels(picture, preprocess, false, straight, 0);
    normalisePixels(picture, preprocess, true, mirrored, 0);
    for (let c = 0; c < 3; c++) {
      for (let y = 0; y < 4; y++) {
        for (let x = 0; x < 4; x++) {
          const level = Math.fround(picture.data[(y * 4 + x) * 3 + c] / 255);
          const value = Math.fround(
            Math.fround(level - Math.fround(preprocess.mean[c])) / Math.fround(preprocess.std[c]),
          );
          expect(straight[c * 16 + y * 4 + x]).toBe(value);
          expect(mirrored[c * 16 + y * 4 + 3 - x]).toBe(value);
        }
      }
    }
    const halfway = new Float32Array(100);
    normalisePixels(cropPicture(picture, whole(picture), preprocess), preprocess, false, halfway, 52);
    expect(halfway.subarray(52)).toEqual(straight);
  });
});

describe("preprocessor_config.json", () => {
  it("takes sizes in the three ways they are written, with CLIP's defaults", () => {
    const square = { height: 32, width: 32 };
    for (const settings of [
      { size: 32, crop_size: 32 },
      { size: { shortest_edge: 32 }, crop_size: square, resample: 3 },
    ]) {
      const { shortestEdge, resizeTo, crop, filter, output } = readPreprocess(settings, "test");
      expect({ shortestEdge, resizeTo, crop, filter, output }).toEqual({
        shortestEdge: 32,
        resizeTo: null,
        crop: square,
        filter: "bicubic",
        output: square,
      });
    }
    const direct = readPreprocess({ size: square, do_center_crop: false, resample: 2 }, "test");
    expect([direct.resizeTo, direct.crop, direct.output, direct.filter]).toEqual([square, null, square, "bilinear"]);
    const { output, mean } = readPreprocess({}, "test");
    expect([output.height, mean[0]]).toEqual([224, 0.48145466]);
  });

  it.each([
    [{ size: "big" }, '"size" should be'],
    [{ size: { shortest_edge: 3, longest_edge: 5 } }, '"size" should be'],
    [{ crop_size: -1 }, '"crop_size" should be'],
    [{ resample: 0 }, '"resample" should be'],
    [{ image_std: [1, 0, 1] }, '"image_std" should be'],
    [{ image_mean: [1, 2] }, '"image_mean" should be'],
    [{ rescale_factor: 0 }, '"rescale_factor" should be'],
    [{ do_center_crop: false }, "different sizes"],
    [[], "JSON object"],
  ])("refuses %j", (settings, message) => {
    expect(() => readPreprocess(settings, "m/preprocessor_config.json")).toThrow(message);
    expect(() => readPreprocess(settings, "m/preprocessor_config.json")).toThrow("m/preprocessor_config.json");
  });
});

it("tokens equal those of openai/clip-vit-base-patch16", async () => {
  expect(await tokenParity("weights/clip-bpe", silent)).toEqual({ passed: 32, failed: 0 });
});
