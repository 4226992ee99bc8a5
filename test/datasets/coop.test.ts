/** The fifteen datasets of CoOp, read in place from a root of made-up pictures. */
import { copyFileSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { coopDatasets } from "../../src/datasets/coop";
import { drawFewShot } from "../../src/datasets/fewShot";
import { differsFromOfficial, readOfficialDraw } from "../../src/datasets/officialDraws";
import { datasetNames, loadDataset, trainableDatasets } from "../../src/datasets/split";
import { writeCoopRoot } from "../coopRoot";
import { temporaryFolder } from "../temporary";

const root = temporaryFolder("coop");
beforeAll(() => writeCoopRoot(root));

const counts = (name: string) => {
  const { classNames, train, val, test } = loadDataset(join(root, name));
  return [classNames.length, train.length, val.length, test.length];
};

describe("a CoOp root", () => {
  it("holds all fifteen datasets in one grid, each with its template and its name in the paper", () => {
    expect(datasetNames(root)).toEqual(coopDatasets.map(({ name }) => name));
    expect(trainableDatasets(root)).toHaveLength(11);
    for (const { name, template, paper } of coopDatasets) {
      expect(loadDataset(join(root, name))).toMatchObject({ name, template, paper, split: "coop" });
    }
  });

  it("has the counts of its lists", () => {
    for (const { name, splitFile } of coopDatasets) if (splitFile) expect(counts(name), name).toEqual([6, 24, 6, 12]);
    expect(counts("fgvc_aircraft")).toEqual([4, 16, 4, 8]);
    expect(counts("imagenet")).toEqual([6, 24, 12, 12]);
    expect(counts("imagenetv2")).toEqual([6, 0, 0, 12]);
    expect(counts("imagenet_sketch")).toEqual([6, 0, 0, 12]);
    expect(counts("imagenet_a")).toEqual([3, 0, 0, 6]);
    expect(counts("imagenet_r")).toEqual([3, 0, 0, 6]);
  });

  it("keeps two ImageNet classes of one name apart, and validates on the test pictures, as the official code", () => {
    const { classNames, val, test } = loadDataset(join(root, "imagenet"));
    expect(classNames).toEqual(["cat", "golden_retriever", "air plane", "sunflower", "snow leopard", "sunflower"]);
    expect(val).toBe(test);
    expect(loadDataset(join(root, "imagenet_a")).classNames).toEqual(["cat", "air plane", "snow leopard"]);
  });

  it("is found by the name of the dataset or of its folder", () => {
    expect(loadDataset(join(root, "food-101")).fingerprint).toBe(loadDataset(join(root, "food101")).fingerprint);
  });

  it("compares a stored few-shot draw of CoOp's code with the official draw", () => {
    const stored = join(root, "dtd", "split_fewshot", "shot_2-seed_1.pkl");
    mkdirSync(join(root, "dtd", "split_fewshot"));
    const drawn = () => drawFewShot(loadDataset(join(root, "dtd")), 2, 1);
    expect(differsFromOfficial(drawn(), 2, 1)).toBeUndefined();
    copyFileSync(join("test", "datasets", "draws", "dtd-shot_2-seed_1.pkl"), stored);
    expect(readOfficialDraw(stored).train).toHaveLength(12);
    expect(differsFromOfficial(drawn(), 2, 1)).toBeUndefined();
    copyFileSync(join("test", "datasets", "draws", "dtd-other.pkl"), stored);
    expect(differsFromOfficial(drawn(), 2, 1)).toMatch(/other training pictures than the official draw of seed 1/);
    writeFileSync(stored, "\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.", "latin1");
    expect(() => differsFromOfficial(drawn(), 2, 1)).toThrow(/it would call os\.system, which is not allowed/);
  });

  it("says what is missing where a dataset is not there", () => {
    const [from, to] = ["dtd", "dtd-away"].map((name) => join(root, name));
    renameSync(from, to);
    expect(datasetNames(root)).not.toContain("dtd");
    expect(() => loadDataset(from)).toThrow(/dtd/);
    renameSync(to, from);
  });
});
