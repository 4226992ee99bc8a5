import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";

let folder: string;
beforeAll(async () => {
  folder = temporaryFolder("quickstart");
  await drawShapes(join(folder, "shapes"));
});

type Output = { output_type: string; text?: string[]; data?: Record<string, unknown> };

describe("notebooks/00-quickstart.ipynb", () => {
  it("runs from top to bottom on a small dataset and model, and shows pictures, progress, tables and figures", () => {
    const small = {
      dataset: join(folder, "shapes"),
      model: "test/golden",
      results: join(folder, "results"),
      figures: join(folder, "figures"),
    };
    const settings = Object.entries({ ...small, epochs: 12, shots: 4 }).map(([key, value]) => `${key}=${value}`);
    const out = join(folder, "out.ipynb");
    const args = ["bin/run-notebook.cjs", "notebooks/00-quickstart.ipynb", ...settings, "--out", out];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    expect(status, stdout + stderr).toBe(0);

    const cells = JSON.parse(readFileSync(out, "utf8")).cells as { id: string; outputs?: Output[] }[];
    const outputs = (id: string) => cells.find((cell) => cell.id === id)?.outputs ?? [];
    const text = (id: string) =>
      outputs(id)
        .flatMap((o) => o.text ?? (o.data?.["text/plain"] as string[]))
        .join("");
    const types = (id: string) => outputs(id).map((o) => Object.keys(o.data ?? {})[0]);
    expect(text("imports")).toMatch(/^engine /);
    expect(types("dataset")).toContain("text/html");
    expect(text("run")).toMatch(/PromptSRC \u00b7 seed 1: base \d/);
    expect([types("table"), types("frame")]).toEqual([["text/html"], ["text/html"]]);
    for (const id of ["figure", "forgetting"]) expect(types(id)).toEqual(["application/vnd.plotly.v1+json"]);
    for (const name of ["accuracy", "forgetting"]) {
      expect(readFileSync(join(folder, "figures", `quickstart-${name}.svg`), "utf8")).toMatch(/^<svg[\s\S]*PromptSRC/);
      expect(
        readFileSync(join(folder, "figures", `quickstart-${name}.png`))
          .subarray(1, 4)
          .toString(),
      ).toBe("PNG");
    }
  }, 600_000);
});
