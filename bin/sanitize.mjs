#!/usr/bin/env node
/**
 * npm run sanitize: compiles the native operations under AddressSanitizer
 * (https://clang.llvm.org/docs/AddressSanitizer.html), in a temporary folder, and runs the tests of the operations and
 * of the encoders with them. A read or write beyond an array ends the run with a report of the place. It needs Linux
 * and a g++ with libasan (Debian and Ubuntu: the package g++), and takes about two minutes.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compileBinding } from "./setup/engine.mjs";
import { ask } from "./setup/programs.mjs";
import { path, reporter } from "./setup/tools.mjs";

const tests = ["nativeOperations", "compiled"]
  .map((name) => `test/engine/${name}.test.ts`)
  .concat("test/clip/encoders.test.ts");
const flags = ["-fsanitize=address", "-fno-omit-frame-pointer", "-g1"];

const compiler = process.env.CXX ?? "g++";
const library = (await ask(compiler, ["-print-file-name=libasan.so"]))?.trim();
if (!library || !existsSync(library)) {
  console.error(`no ${compiler} with libasan.so is installed; on Debian or Ubuntu: sudo apt-get install g++`);
  process.exit(1);
}
const folder = mkdtempSync(join(tmpdir(), "promptsrc-sanitize-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
const binding = join(folder, "tfjs_binding.node");
await compileBinding(reporter("[sanitize]"), binding, { compiler: [compiler], more: flags });
const preload = path("bin", "sanitizedBinding.cjs");
const run = spawnSync(process.execPath, [path("node_modules", "vitest", "vitest.mjs"), "run", ...tests], {
  stdio: "inherit",
  env: {
    ...process.env,
    NODE_OPTIONS: `--require ${JSON.stringify(preload)}`,
    PROMPTSRC_BINDING: binding,
    LD_PRELOAD: library,
    LD_LIBRARY_PATH: path(".engine", "tensorflow"),
    // Node and TensorFlow keep memory until they end, which is no error; a crash is reported by AddressSanitizer.
    ASAN_OPTIONS: "detect_leaks=0:detect_odr_violation=0",
  },
});
process.exit(run.status ?? 1);
