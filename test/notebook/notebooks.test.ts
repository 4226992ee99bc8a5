/**
 * Runs every notebook in notebooks/ from top to bottom in its smallest size, except the quickstart: it has other
 * parameters and a separate test.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";

type Cell = { source: string[]; metadata: { tags?: string[] }; outputs?: { data?: Record<string, unknown> }[] };

const cellsOf = (file: string): Cell[] => JSON.parse(readFileSync(file, "utf8")).cells;
const notebooks = readdirSync("notebooks").filter((name) => name.endsWith(".ipynb") && name !== "00-quickstart.ipynb");

let folder: string;
beforeAll(async () => {
  folder = temporaryFolder("notebooks");
  await drawShapes(join(folder, "shapes"));
});

test.each(notebooks)(
  "%s runs and shows figures and tables",
  (name) => {
    const file = join("notebooks", name);
    const out = join(folder, name);
    const declared =
      cellsOf(file)
        .find((cell) => cell.metadata.tags?.includes("parameters"))
        ?.source.join("") ?? "";
    const small = {
      profile: "small",
      model: "test/golden",
      results: join(folder, "results"),
      dataset: join(folder, "shapes"),
      source: join(folder, "shapes"),
    };
    const settings = Object.entries(small).filter(([key]) => new RegExp(`\\blet ${key} =`).test(declared));
    expect(settings.map(([key]) => key)).toEqual(expect.arrayContaining(["profile", "model", "results"]));

    const args = ["bin/run-notebook.cjs", file, ...settings.map(([key, value]) => `${key}=${value}`), "--out", out];
    const env = { ...process.env, PROMPTSRC_SAVE: folder };
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", env });
    expect(status, stdout + stderr).toBe(0);
    const outputs = cellsOf(out).flatMap(({ outputs }) => outputs ?? []);
    for (const type of ["application/vnd.plotly.v1+json", "text/html"])
      expect(
        outputs.some(({ data }) => data && type in data),
        type,
      ).toBe(true);
    // With another model the stored rows of the embedded one stand beside its own.
    const text = JSON.stringify(outputs);
    if (declared.includes("let root =")) expect(text).toContain("The same on the embedded model and datasets");
  },
  300_000,
);
