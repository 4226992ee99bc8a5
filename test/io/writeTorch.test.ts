/** A checkpoint that `writeTorch` writes is what torch.save would have written. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { openTorch } from "../../src/io/torchFile";
import { writeTorch } from "../../src/io/writeTorch";
import { temporaryFolder } from "../temporary";

const folder = temporaryFolder("torch");
const file = join(folder, "made", "model.pth.tar-3");
const tensors = {
  "prompt_learner.ctx": { shape: [2, 3], data: Float32Array.of(1, -2, 3, 0.1, 5, 6e-8) },
  logit_scale: { shape: [], data: Float32Array.of(4.6) },
};
beforeAll(() => writeTorch(file, tensors, { epoch: 300, optimizer: null }));

const python = (code: string) => spawnSync("python3", ["-c", code, file], { encoding: "utf8" });
const hasPython = python("import zipfile").status === 0;
const hasTorch = python("import torch").status === 0;

it("is read back with the same names, shapes, numbers and epoch, and leaves no other file", () => {
  const opened = openTorch(file);
  expect(Object.fromEntries(opened.names.map((name) => [name, opened.read(name)]))).toEqual(tensors);
  const value = opened.value as Map<string, unknown>;
  expect([[...value.keys()], value.get("epoch"), value.get("optimizer")]).toEqual([
    ["state_dict", "epoch", "optimizer"],
    300,
    null,
  ]);
  opened.close();
  expect(readdirSync(join(folder, "made"))).toEqual(["model.pth.tar-3"]);
});

it("stores each tensor at a multiple of 64 bytes", () => {
  const numbers = Buffer.from(tensors["prompt_learner.ctx"].data.buffer);
  expect(readFileSync(file).indexOf(numbers) % 64).toBe(0);
});

it.skipIf(!hasPython)("has the checksums that Python's zipfile computes (needs python3)", () => {
  const { stdout } = python("import sys, zipfile; print(zipfile.ZipFile(sys.argv[1]).testzip())");
  expect(stdout.trim()).toBe("None");
});

it.skipIf(!hasTorch)("is taken by torch.load with weights_only=True (needs python3 with torch)", () => {
  const { stdout } = python(
    `import json, sys, torch
d = torch.load(sys.argv[1], weights_only=True)
s = d["state_dict"]
print(json.dumps([type(s).__name__, {k: [list(v.shape), v.flatten().tolist()] for k, v in s.items()}, d["epoch"], d["optimizer"]]))`,
  );
  const expected = Object.fromEntries(
    Object.entries(tensors).map(([name, { shape, data }]) => [name, [shape, [...data]]]),
  );
  expect(JSON.parse(stdout)).toEqual(["OrderedDict", expected, 300, null]);
});
