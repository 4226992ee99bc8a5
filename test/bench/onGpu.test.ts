/** The prepared script of a GPU: its dry run names every step, and they fit in nine minutes. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

it("has install, parity, a grid and the bench within 540 seconds, each a script of package.json", () => {
  const { status, stdout } = spawnSync(process.execPath, ["bench/onGpu.mjs", "--dry-run"], { encoding: "utf8" });
  expect(status).toBe(0);
  const steps = [...stdout.matchAll(/^ {2}(\w+), (\d+) s: npm run (\S+)/gm)];
  expect(steps.map(([, name]) => name)).toEqual(["setup", "parity", "grid", "bench"]);
  expect(steps.reduce((sum, [, , seconds]) => sum + Number(seconds), 0)).toBeLessThan(540);
  const { scripts } = JSON.parse(readFileSync("package.json", "utf8"));
  for (const [, , , script] of steps) expect(scripts).toHaveProperty(script);
});
