import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { parseChange, put, settingsOf } from "../../src/configs/change";
import { changed, configFor, schemaOf } from "../../src/methods/method";
import { methods } from "../../src/methods/registry";
import { nearNames, UsageError } from "../../src/util/errors";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";
import { commandLine } from "./commandLine";

let folder: string;
beforeAll(async () => {
  folder = temporaryFolder("cli");
  await drawShapes(join(folder, "shapes"));
});

const cli = commandLine(() => folder);

describe("command line", () => {
  it("names the near ones of what it does not know, with status 2 and no stack trace", () => {
    const mistakes: [string[], string][] = [
      [["rnu"], 'error: unknown command "rnu". Did you mean "run"?'],
      [
        ["run", "base-to-novel", "--methods", "clip,promtsrc"],
        'error: unknown method "promtsrc". Did you mean "promptsrc"?',
      ],
      [["run", "componets"], 'error: unknown benchmark or ablation "componets". Did you mean "components"?'],
      [
        ["run", "base-to-novel", "--data", ".", "--datasets", "shpaes"],
        'error: unknown dataset "shpaes". Did you mean "shapes"?',
      ],
    ];
    for (const [args, message] of mistakes) {
      const { status, out, err } = cli(...args);
      expect([status, out]).toEqual([2, ""]);
      expect(err).toContain(message);
      expect(err.trim().split("\n")).toHaveLength(1);
    }
  });

  it("runs base-to-novel from options to JSON", () => {
    const common = [
      "run",
      "base-to-novel",
      "--data",
      ".",
      "--datasets",
      "shapes",
      "--model",
      join(process.cwd(), "test", "golden"),
    ];
    const args = [
      ...common,
      "--methods",
      "clip,promptsrc",
      "--seeds",
      "1,2",
      "--shots",
      "4",
      "--set",
      "epochs=2",
      "--set",
      "ensemble=null", // the paper's Gaussian, around epoch 15, says nothing about two epochs
      "--set",
      "batch=8",
    ];
    const { status, out, err } = cli(...args, "--results", "results", "--json", "out.json");
    expect([status, err.includes("error")]).toEqual([0, false]);
    expect(out.split("\n")[0]).toMatch(/^engine \w+, TensorFlow/);
    expect(out).toMatch(/PromptSRC +\d/);
    const report = JSON.parse(readFileSync(join(folder, "out.json"), "utf8"));
    expect(report.runs.map((r: { method: string; seed: number }) => `${r.method} ${r.seed}`)).toEqual([
      "clip 1",
      "clip 2",
      "promptsrc 1",
      "promptsrc 2",
    ]);
    for (const run of report.runs) {
      expect(run.base).toBeGreaterThanOrEqual(0);
      expect(run.seconds).toBeGreaterThan(0);
    }
    expect(Object.keys(report.versions)).toEqual(expect.arrayContaining(["node", "tfjs"]));
    expect(report).toMatchObject({
      kit: expect.any(String),
      numerics: expect.any(String),
      fusedKernels: expect.any(Boolean),
    });

    const both = cli(...args, "--results", "shared", "--processes", "2", "--json", "both.json");
    expect([both.status, both.out.split("\n")[0]]).toEqual([0, expect.stringMatching(/ 1 thread$/)]);
    const { runs } = JSON.parse(readFileSync(join(folder, "both.json"), "utf8"));
    const accuracies = ({ key, base, novel }: Record<string, unknown>) => ({ key, base, novel });
    expect(runs.map(accuracies)).toEqual(report.runs.map(accuracies));
  });
});

describe("settings", () => {
  const config = configFor(methods.promptsrc, "embedded", "baseToNovel");
  const set = (text: string, method = methods.promptsrc) => {
    const { key, value } = parseChange(text);
    return changed(method, configFor(method, "embedded", "baseToNovel"), (before) => put(before, key, value));
  };

  it("replace what is there, by its type", () => {
    expect(set("lr=0.02").lr).toBe(0.02);
    expect(set("ensemble.mean=10").ensemble).toEqual({ mean: 10, std: 1 });
    expect(set("ensemble=null").ensemble).toBeNull();
    expect(set("contextInit=a photo of a").contextInit).toBe("a photo of a");
    expect(set('textTargetTemplates=["a {}."]').textTargetTemplates).toEqual(["a {}."]);
    expect(set("consistency=mse").consistency).toBe("mse");
    expect(config.ensemble).toEqual({ mean: 15, std: 1 });
  });

  it.each([
    ["lr=fast", "lr"],
    ["lr=-1", ">0"],
    ["epochs=1.5", "int"],
    ["epochs=0", ">=1"],
    ["epochs=[1]", "epochs"],
    ["momentum=5", "<1"],
    ["batch=-3", ">=1"],
    ["depth.text=0", ">=1"],
    ["depth.image=2.5", "int"],
    ["tokens.text=500", "<=64"],
    ["lossWeights.text=-1", ">=0"],
    ["augmentation.scale=[5,9]", "<=1"],
    ["augmentation.scale=[0.9,0.5]", "smaller number first"],
    ["ensemble=3", "ensemble"],
    ['ensemble={"mean":1}', "ensemble"],
    ["ensemble.std=0", "ensemble"],
    ['textTargetTemplates=["a photo"]', "needs {}"],
    ["textTargetTemplates=[]", ">=1"],
  ])("%s is refused with what was wanted", (text, wanted) => {
    expect(() => set(text)).toThrow(UsageError);
    expect(() => set(text)).toThrow(wanted);
  });

  it("a method's own numbers can be set, and those of others are refused by name", () => {
    expect(set("proda.contexts=4", methods.proda).proda).toEqual({ contexts: 4, orthogonality: 0.1 });
    expect(set("kgcoop.weight=4", methods.kgcoop).kgcoop).toEqual({ weight: 4 });
    expect(() => set("depth=9", methods.coop)).toThrow('CoOp has no setting "depth"');
    const refused = cli("run", "base-to-novel", "--methods", "coop", "--set", "depth.image=9");
    expect([refused.status, refused.err]).toEqual([2, expect.stringContaining('unknown setting "depth.image"')]);
    const mixed = cli("run", "base-to-novel", "--methods", "coop,ivlp", "--set", "depth.image=2");
    expect(mixed.err).toContain("--set depth.image: coop has no such setting; ivlp has it");
    expect(cli("run", "base-to-novel", "--methods", "promptsrc", "--set", "lossWeights.txt=1").err).toContain(
      '"lossWeights.text"',
    );
  });

  it("are listed with meaning and range", () => {
    const rows = settingsOf(schemaOf(methods.promptsrc));
    expect(rows.find(({ key }) => key === "lossWeights.text")).toMatchObject({
      about: "weight of L_SCL-text",
      range: "number from 0",
    });
    const leaves = rows.filter(({ range }) => !range.startsWith("record"));
    expect(leaves.filter(({ about }) => about === "").map(({ key }) => key)).toEqual([]);
    expect(nearNames("xyz", ["lr", "epochs"])).toEqual([]);
  });
});
