#!/usr/bin/env node
/**
 * npm test: set-up, then formatter and linter, both type checks and vitest. Words after `--` go to vitest: `npm test -- test/notebook/kernel.test.ts`.
 * The last line is `N passed, N failed`; each check counts as one test.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { path, readJson, root, work } from "./setup/tools.mjs";
import { launch, setup } from "./setup.mjs";

/** Where tests put what they make; removed at the end. */
const scratch = mkdtempSync(join(tmpdir(), "promptsrc-test-"));
process.once("exit", () => rmSync(scratch, { recursive: true, force: true }));

const node = (...args) =>
  spawnSync(process.execPath, args, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, TMPDIR: scratch, TF_CPP_MIN_LOG_LEVEL: "2" },
  }).status;
const inside = (...parts) => path("node_modules", ...parts);

const checks = [
  ["formatter and linter (biome)", () => node(inside("@biomejs", "biome", "bin", "biome"), "check")],
  ["types (tsc)", () => node(inside("typescript", "bin", "tsc"), "-p", ".")],
  ["types of src under the notebooks' TypeScript 5.0.4 (tslab)", () => node(path("bin", "check-tslab.cjs"))],
];

await launch(async () => {
  await setup();
  const since = Date.now();
  let passed = 0;
  const failed = [];
  for (const [name, check] of checks) {
    const ok = check() === 0;
    console.log(`${ok ? "ok" : "FAILED"}: ${name}`);
    if (ok) passed++;
    else failed.push(name);
  }
  const report = `${work}/vitest.json`;
  rmSync(report, { force: true });
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const status = node(inside("vitest", "vitest.mjs"), "run", ...reporters, ...process.argv.slice(2));
  const result = readJson(report);
  passed += result?.numPassedTests ?? 0;
  // A file that does not even load has no tests to count.
  const broken = (result?.testResults ?? []).filter(
    (file) => file.status === "failed" && file.assertionResults.every((test) => test.status !== "failed"),
  );
  let failures = failed.length + (result?.numFailedTests ?? 0) + broken.length;
  if (status !== 0 && failures === failed.length) failures++;
  const skipped = (result?.numPendingTests ?? 0) + (result?.numTodoTests ?? 0);
  if (failed.length > 0) console.log(`failed checks: ${failed.join("; ")}`);
  console.log(`${((Date.now() - since) / 1000).toFixed(0)} s without the set-up`);
  console.log(`${passed} passed, ${failures} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
  return failures > 0 ? 1 : 0;
});
