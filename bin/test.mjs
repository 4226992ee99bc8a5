#!/usr/bin/env node
/**
 * npm test: set-up, then formatter and linter, two type checks, and vitest. Arguments after `--` are passed on to
 * vitest: `npm test -- test/notebook/kernel.test.ts`. The last line is `N passed, N failed`; each check counts as one
 * test.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { foreground } from "./setup/programs.mjs";
import { path, readJson, work } from "./setup/tools.mjs";
import { launch, setup } from "./setup.mjs";

/** The temporary folder of the tests; it is removed at the end. */
const scratch = mkdtempSync(join(tmpdir(), "promptsrc-test-"));
process.once("exit", () => rmSync(scratch, { recursive: true, force: true }));

const runNode = (...args) =>
  foreground(process.execPath, args, { env: { ...process.env, TMPDIR: scratch, TF_CPP_MIN_LOG_LEVEL: "2" } });
const inNodeModules = (...parts) => path("node_modules", ...parts);

const checks = [
  ["formatter and linter (biome)", () => runNode(inNodeModules("@biomejs", "biome", "bin", "biome"), "check")],
  ["types (tsc)", () => runNode(inNodeModules("typescript", "bin", "tsc"), "-p", ".")],
  ["types of src under the notebooks' TypeScript 5.0.4 (tslab)", () => runNode(path("bin", "library.cjs"))],
];

await launch(async () => {
  await setup();
  const startTime = Date.now();
  let passed = 0;
  const failedChecks = [];
  for (const [name, check] of checks) {
    const isOk = (await check()) === 0;
    console.log(`${isOk ? "ok" : "FAILED"}: ${name}`);
    if (isOk) passed++;
    else failedChecks.push(name);
  }
  const report = `${work}/vitest.json`;
  rmSync(report, { force: true });
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const status = await runNode(inNodeModules("vitest", "vitest.mjs"), "run", ...reporters, ...process.argv.slice(2));
  const result = readJson(report);
  passed += result?.numPassedTests ?? 0;
  // A test file that fails to load has no failed tests, so such files are counted as failures themselves.
  const unloadedFiles = (result?.testResults ?? []).filter(
    (file) => file.status === "failed" && file.assertionResults.every((test) => test.status !== "failed"),
  );
  let failures = failedChecks.length + (result?.numFailedTests ?? 0) + unloadedFiles.length;
  if (status !== 0 && failures === failedChecks.length) failures++;
  const skipped = (result?.numPendingTests ?? 0) + (result?.numTodoTests ?? 0);
  if (failedChecks.length > 0) console.log(`failed checks: ${failedChecks.join("; ")}`);
  console.log(`${((Date.now() - startTime) / 1000).toFixed(0)} s without the set-up`);
  console.log(`${passed} passed, ${failures} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
  return failures > 0 ? 1 : 0;
});
