import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { writeAtomic } from "../../src/io/atomicWrite";
import { canonical } from "../../src/io/json";
import {
  findRun,
  type Identity,
  type Run,
  resultsFolder,
  runFile,
  runKey,
  saveRun,
  ship,
  shippedRuns,
} from "../../src/results/store";
import { numericsVersion } from "../../src/util/numerics";
import { temporaryFolder } from "../temporary";

let root: string;
beforeEach(() => {
  root = temporaryFolder("store");
});

const identity: Identity = {
  benchmark: "base-to-novel",
  method: "promptsrc",
  dataset: "food",
  split: "renders",
  subset: "test",
  shots: 16,
  seed: 1,
  config: { lr: 0.03, gpa: { mean: 15, std: 1 } },
  data: "d".repeat(64),
  model: "m".repeat(64),
};
const run: Run = {
  ...identity,
  key: runKey(identity),
  metrics: { base: 73.5, novel: 52.25, hm: 61.08 },
  epochs: [1, 2].map((epoch) => ({
    epoch,
    lr: 0.03,
    losses: { ce: 1 / epoch, total: 2 / epoch },
    metrics: { base: 60, novel: 50 },
  })),
  seconds: 12.5,
  finished: "2026-01-01T00:00:00.000Z",
  provenance: { kit: "0.1.0", engine: "engine native", numerics: numericsVersion(), versions: { node: "20.0.0" } },
};

describe("store", () => {
  it("finds a run if its whole identity agrees, and only then", () => {
    saveRun(run, root);
    expect(findRun(identity, root)).toEqual(run);
    // the order of keys does not matter
    expect(findRun({ ...identity, config: { gpa: { std: 1, mean: 15 }, lr: 0.03 } }, root)).toEqual(run);
    const others: Identity[] = [
      { ...identity, seed: 2 },
      { ...identity, subset: "val" },
      { ...identity, split: "disjoint" },
      { ...identity, shots: 8 },
      { ...identity, data: "other" },
      { ...identity, model: "other" },
      { ...identity, config: { lr: 0.02, gpa: { mean: 15, std: 1 } } },
    ];
    for (const other of others) expect(findRun(other, root)).toBeUndefined();
    expect(new Set([identity, ...others].map(runKey)).size).toBe(others.length + 1);
    expect(canonical({ b: [1, { d: 1, c: undefined }], a: null })).toBe('{"a":null,"b":[1,{"d":1}]}');
  });

  it("writes a readable file, and the same text for the same run", () => {
    const file = saveRun(run, root);
    const text = readFileSync(file, "utf8");
    expect(text).toContain('  "metrics": { "base": 73.5, "novel": 52.25, "hm": 61.08 },\n');
    expect(text.split("\n").filter((line) => line.includes('"epoch":'))).toHaveLength(2);
    saveRun(run, root);
    expect(readFileSync(file, "utf8")).toBe(text);
  });

  it("ignores a damaged file and a file whose key does not fit its content", () => {
    const file = saveRun(run, root);
    writeFileSync(file, readFileSync(file, "utf8").slice(0, 100));
    expect(findRun(identity, root)).toBeUndefined();
    writeFileSync(file, JSON.stringify({ ...run, seed: 9 }));
    expect(findRun(identity, root)).toBeUndefined();
  });

  it("sets aside a run whose accuracy was changed to another that may be", () => {
    const file = saveRun(run, root);
    expect(findRun(identity, root)).toEqual(run);
    writeFileSync(file, readFileSync(file, "utf8").replace('"base": 73.5', '"base": 74.5'));
    expect(findRun(identity, root)).toBeUndefined();
    expect(readFileSync(`${file}.damaged`, "utf8")).toContain("74.5");
    expect(existsSync(file)).toBe(false);
  });

  it("writes a file atomically: after a failed write, the old file is unchanged", () => {
    const file = saveRun(run, root);
    const before = readFileSync(file, "utf8");
    expect(() => writeAtomic(file, 5 as unknown as string)).toThrow();
    expect(readFileSync(file, "utf8")).toBe(before);
    expect(readdirSync(join(root, "base-to-novel", "food"))).toEqual([runFile(identity, root).split("/").pop()]);
  });

  it("ignores runs with impossible accuracies", () => {
    const file = saveRun(run, root);
    for (const base of [101, -1, "99", null]) {
      writeFileSync(file, JSON.stringify({ ...run, metrics: { ...run.metrics, base } }));
      expect(findRun(identity, root)).toBeUndefined();
    }
  });

  it("ignores runs of another numerics version", () => {
    saveRun({ ...run, provenance: { ...run.provenance, numerics: "other" } }, root);
    expect(findRun(identity, root)).toBeUndefined();
  });

  it("ships runs as sorted lines, and finds shipped runs of any numerics version", () => {
    saveRun(run, root);
    const second = { ...identity, seed: 2 };
    const other = { ...run, ...second, key: runKey(second), provenance: { ...run.provenance, numerics: "other" } };
    saveRun(other, root);
    const folder = join(root, "shipped");
    expect(ship(root, folder)).toBe(2);
    const lines = readFileSync(join(folder, "base-to-novel.jsonl"), "utf8").trim().split("\n");
    expect(lines.map((line) => JSON.parse(line).seed)).toEqual([1, 2]);
    expect(shippedRuns(folder).get(other.key)).toEqual(other);
    writeFileSync(join(folder, "base-to-novel.jsonl"), `${lines[0]}\n${lines[1].replace("73.5", "173.5")}\n`);
    expect(() => shippedRuns(folder)).toThrow("line 2: its base is 173.5");
    writeFileSync(join(folder, "base-to-novel.jsonl"), lines[0].replace("73.5", "63.5"));
    expect(() => shippedRuns(folder)).toThrow("line 1: its checksum does not fit");
  });

  it("every run that is shipped with the kit is valid and names its engine", () => {
    const runs = [...shippedRuns().values()];
    expect(runs.length).toBeGreaterThanOrEqual(1618);
    for (const { provenance } of runs) expect(provenance.engine).toMatch(/^engine /);
  });
});

it.skipIf(!existsSync(".git"))("what commands and notebooks write is ignored by git", () => {
  const written = [
    runFile(identity),
    join(resultsFolder, "figures", "quickstart-accuracy.svg"),
    join(resultsFolder, ".trained", "0123.safetensors"),
    ...["texts", "pictures", "decoded"].map((folder) => join(".cache", folder, "0123.json")),
    join("data", "food", "images", "apple", "0.png"),
  ];
  const { stdout } = spawnSync("git", ["check-ignore", ...written], { encoding: "utf8" });
  expect(stdout.trim().split("\n")).toEqual(written);
});
