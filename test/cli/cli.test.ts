import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Config, embedded, optionalSettings } from "../../src/configs/config";
import { override } from "../../src/configs/override";
import { nearNames, UsageError } from "../../src/util/errors";
import { drawShapes } from "../shapes";

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "cli-"));
  await drawShapes(join(folder, "shapes"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function cli(...args: string[]): { status: number | null; out: string; err: string } {
  const env = { ...process.env, INIT_CWD: folder };
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--import", "tsx", "src/cli/main.ts", ...args], {
    encoding: "utf8",
    env,
  });
  return { status, out: stdout, err: stderr };
}

describe("command line", () => {
  it("names the near ones of what it does not know, with status 2 and no stack trace", () => {
    const mistakes: [string[], string][] = [
      [["rnu"], 'error: unknown command "rnu". Did you mean "run"?'],
      [["run", "base-to-novel", "--methods", "clip,promtsrc"], 'error: unknown method "promtsrc". Did you mean "promptsrc"?'],
      [["run", "componets"], 'error: unknown benchmark or ablation "componets". Did you mean "components"?'],
      [["run", "base-to-novel", "--data", ".", "--datasets", "shpaes"], 'error: unknown dataset "shpaes". Did you mean "shapes"?'],
    ];
    for (const [args, message] of mistakes) {
      const { status, out, err } = cli(...args);
      expect([status, out]).toEqual([2, ""]);
      expect(err).toContain(message);
      expect(err.trim().split("\n")).toHaveLength(1);
    }
  });

  it("runs base-to-novel from options to JSON", () => {
    const common = ["run", "base-to-novel", "--data", ".", "--datasets", "shapes", "--model", join(process.cwd(), "test", "golden")];
    const args = [...common, "--methods", "clip,promptsrc", "--seeds", "1,2", "--shots", "4", "--set", "epochs=2", "--set", "batch=8"];
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
    expect(Object.keys(report.versions)).toEqual(expect.arrayContaining(["kit", "node", "tfjs"]));

    const both = cli(...args, "--results", "shared", "--processes", "2", "--json", "both.json");
    expect([both.status, both.out.split("\n")[0]]).toEqual([0, expect.stringMatching(/ 1 thread$/)]);
    const { runs } = JSON.parse(readFileSync(join(folder, "both.json"), "utf8"));
    const accuracies = ({ key, base, novel }: Record<string, unknown>) => ({ key, base, novel });
    expect(runs.map(accuracies)).toEqual(report.runs.map(accuracies));
  });
});

describe("settings", () => {
  it("replace what is there, by its type", () => {
    expect(override(embedded.baseToNovel, "lr=0.02").lr).toBe(0.02);
    expect(override(embedded.baseToNovel, "gpa.mean=10").gpa).toEqual({ mean: 10, std: 1 });
    expect(override(embedded.baseToNovel, "gpa=null").gpa).toBeNull();
    expect(override(embedded.baseToNovel, "init=a photo of a").init).toBe("a photo of a");
    expect(override(embedded.baseToNovel, 'templates=["a {}."]').templates).toEqual(["a {}."]);
    expect(embedded.baseToNovel.gpa).toEqual({ mean: 15, std: 1 });
    for (const wrong of ["lr=fast", "lr", "epochs=[1]", "gpa=3", "templates=a {}.", "weights.txt=1"]) {
      expect(() => override(embedded.baseToNovel, wrong)).toThrow(UsageError);
    }
    const ivlp = { ...embedded.baseToNovel, gpa: null };
    const set = (setting: string) => override<Config>(ivlp, setting, { ...optionalSettings, ...embedded.baseToNovel });
    expect(set("consistency=mse").consistency).toBe("mse");
    for (const others of ["gpa.mean=10", "coop.position=front"]) expect(set(others)).toEqual(ivlp); // switched off; another method's
    expect(() => set("consistancy=mse")).toThrow('Did you mean "consistency"');
    expect(() => override(embedded.baseToNovel, "weights.txt=1")).toThrow('Did you mean "weights.text"');
    expect(nearNames("xyz", ["lr", "epochs"])).toEqual([]);
  });
});
