/** Small JSON files that the kit reads again: what was damaged is set aside, and never believed. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { contentHashes, hashOf } from "../../src/io/contentHash";
import { readSealedJson, writeSealedJson } from "../../src/io/sealedJson";
import { temporaryFolder } from "../temporary";

test("content comes back; a flipped byte sets the file aside", () => {
  const file = join(temporaryFolder("sealed"), "a.json");
  expect(readSealedJson(file, "made again")).toBeUndefined();
  writeSealedJson(file, { b: [1, "x"], a: null });
  expect(readSealedJson(file, "made again")).toEqual({ b: [1, "x"], a: null });
  writeFileSync(file, readFileSync(file, "utf8").replace("[1,", "[2,"));
  const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
  expect(readSealedJson(file, "made again")).toBeUndefined();
  expect(warn.mock.calls[0][0]).toMatch(/set aside as .*a\.json\.damaged: its checksum does not fit.*made again$/);
  expect([existsSync(file), existsSync(`${file}.damaged`)]).toEqual([false, true]);
  warn.mockRestore();
});

test("the hash of a picture is taken from the picture where its cache is damaged", () => {
  const cache = temporaryFolder("hashes");
  const pictures = ["test/pictures/rgb.png"];
  const right = hashOf(readFileSync(pictures[0]));
  expect(contentHashes("test/pictures", pictures, cache)).toEqual([right]);
  const store = join(cache, `${hashOf(Buffer.from(join(process.cwd(), "test/pictures")))}.json`);
  writeFileSync(store, readFileSync(store, "utf8").replaceAll(right, "0".repeat(32)));
  const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
  expect(contentHashes("test/pictures", pictures, cache)).toEqual([right]);
  expect(warn).toHaveBeenCalledOnce();
  warn.mockRestore();
});
