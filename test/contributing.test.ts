/** The diffs of CONTRIBUTING.md: they apply to this tree, its types still fit, and what they add works. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import { temporaryFolder } from "./temporary";

const folder = temporaryFolder("contributing");

const run = (...[command, ...args]: string[]) => {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: folder, encoding: "utf8" });
  return { status, out: stdout + stderr };
};

it("apply, fit the types, and add what they say", () => {
  for (const name of ["src", "package.json", "tsconfig.json", "package-lock.json"])
    cpSync(name, join(folder, name), { recursive: true });
  symlinkSync(resolve("node_modules"), join(folder, "node_modules"));
  const diffs = [...readFileSync("CONTRIBUTING.md", "utf8").matchAll(/```diff\n([\s\S]*?)```/g)].map(
    ([, diff]) => diff,
  );
  expect(diffs.length).toBe(5);
  for (const [k, diff] of diffs.entries()) {
    writeFileSync(join(folder, `${k}.diff`), diff);
    // MMRL's lies in this tree already: it is taken back first, which fails where the tree has other lines.
    if (diff.includes("mmrl.ts"))
      expect(run("git", "apply", "-R", "--unidiff-zero", `${k}.diff`)).toEqual({ status: 0, out: "" });
    expect(run("git", "apply", "--unidiff-zero", `${k}.diff`)).toEqual({ status: 0, out: "" });
  }
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ extends: resolve("tsconfig.json"), include: ["src"] }));
  expect(run(process.execPath, join("node_modules", "typescript", "bin", "tsc"), "-p", ".")).toEqual({
    status: 0,
    out: "",
  });
  const cli = (...args: string[]) =>
    run(process.execPath, "--import", resolve("node_modules/tsx/dist/loader.mjs"), "src/cli/main.ts", ...args);
  expect(cli("settings", "smoothed").out).toMatch(
    /smoothing\.epsilon +share of the label that all classes have; number from 0 to 1; paper 0\.1/,
  );
  mkdirSync(join(folder, "root", "CUB_200_2011"), { recursive: true });
  expect(cli("check", join(folder, "root")).out).toContain("cub200           lacks split_CUB200.json");
  writeFileSync(
    join(folder, "figure.mts"),
    `import { learningRateFigure } from "./src/figures/learningRate";
     const run = { method: "ivlp", epochs: [{ epoch: 1, lr: 0.1 }, { epoch: 2, lr: 0.05 }] };
     console.log(learningRateFigure([run] as any).alt);`,
  );
  expect(run(process.execPath, "--import", resolve("node_modules/tsx/dist/loader.mjs"), "figure.mts").out).toContain(
    "the highest: ivlp 0.1",
  );
  expect(cli("run", "momentum", "--variants", "non").out).toContain('Did you mean "none"');
});
