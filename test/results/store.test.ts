import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  canonical,
  findRun,
  type Identity,
  listRuns,
  numericsVersion,
  type Run,
  runFile,
  runKey,
  saveRun,
  writeAtomic,
} from "../../src/results/store";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "store-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const identity: Identity = {
  benchmark: "base-to-novel",
  method: "promptsrc",
  dataset: "food",
  rule: "renders",
  split: "test",
  shots: 16,
  seed: 1,
  config: { lr: 0.03, gpa: { mean: 15, std: 1 } },
  data: "d".repeat(64),
  model: "m".repeat(64),
  numerics: numericsVersion,
};
const run: Run = {
  ...identity,
  key: runKey(identity),
  metrics: { base: 73.5, novel: 52.25, hm: 61.08 },
  epochs: [1, 2].map((epoch) => ({ epoch, lr: 0.03, losses: { ce: 1 / epoch, total: 2 / epoch }, metrics: { base: 60, novel: 50 } })),
  seconds: 12.5,
  finished: "2026-01-01T00:00:00.000Z",
  engine: "engine native",
  versions: { node: "20.0.0" },
};

describe("store", () => {
  it("finds a run by all that determines it, and by nothing else", () => {
    saveRun(run, root);
    expect(findRun(identity, root)).toEqual(run);
    expect(findRun({ ...identity, config: { gpa: { std: 1, mean: 15 }, lr: 0.03 } }, root)).toEqual(run); // order of keys
    const others: Identity[] = [
      { ...identity, seed: 2 },
      { ...identity, split: "val" },
      { ...identity, rule: "disjoint" },
      { ...identity, shots: 8 },
      { ...identity, data: "other" },
      { ...identity, model: "other" },
      { ...identity, numerics: numericsVersion + 1 },
      { ...identity, config: { lr: 0.02, gpa: { mean: 15, std: 1 } } },
    ];
    for (const other of others) expect(findRun(other, root)).toBeUndefined();
    expect(new Set([identity, ...others].map(runKey)).size).toBe(others.length + 1);
    expect(listRuns("base-to-novel", root)).toEqual([run]);
    expect(canonical({ b: [1, { d: 1, c: undefined }], a: null })).toBe('{"a":null,"b":[1,{"d":1}]}');
  });

  it("writes text for people, the same for the same run", () => {
    const file = saveRun(run, root);
    const text = readFileSync(file, "utf8");
    expect(text).toContain('  "metrics": { "base": 73.5, "novel": 52.25, "hm": 61.08 },\n');
    expect(text.split("\n").filter((line) => line.includes('"epoch":'))).toHaveLength(2);
    saveRun(run, root);
    expect(readFileSync(file, "utf8")).toBe(text);
  });

  it("takes a damaged or foreign file for none", () => {
    const file = saveRun(run, root);
    writeFileSync(file, readFileSync(file, "utf8").slice(0, 100));
    expect(findRun(identity, root)).toBeUndefined();
    expect(listRuns("base-to-novel", root)).toEqual([]);
    writeFileSync(file, JSON.stringify({ ...run, seed: 9 })); // its key no longer fits its content
    expect(findRun(identity, root)).toBeUndefined();
  });

  it("replaces a file whole or leaves the old one", () => {
    const file = saveRun(run, root);
    const before = readFileSync(file, "utf8");
    expect(() => writeAtomic(file, 5 as unknown as string)).toThrow();
    expect(readFileSync(file, "utf8")).toBe(before);
    expect(readdirSync(join(root, "base-to-novel", "food"))).toEqual([runFile(identity, root).split("/").pop()]);
  });
});
