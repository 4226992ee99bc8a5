#!/usr/bin/env node
/**
 * node bin/wasm.mjs: compiles the kernels of the WebAssembly engine, src/engine/wasm, into the file kernels.wasm beside
 * them. That file is kept in git, because the engine is there for machines that have no compiler. The compiler is the
 * one in the ziglang wheel, whose version set-up fixes too, or the one that ZIG names; the same version writes the same
 * bytes on every machine. A test tells when kernels.wasm is older than its sources.
 */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { installZig } from "./setup/engine.mjs";
import { run } from "./setup/programs.mjs";
import { path, reporter, writeWhole } from "./setup/tools.mjs";

const folder = path("src", "engine", "wasm");
const sources = ["multiply.cc", "kernels.cc", "attention.cc", "threads.cc"];
const headers = [join("..", "native", "kernels.h"), "multiply.h", "vectors.h"];

const compileFlags = [
  ...["-target", "wasm32-wasi", "-mcpu=generic+simd128+atomics+bulk_memory", "-pthread", "-std=c++17", "-O3"],
  ...["-fno-builtin", "-fno-exceptions", "-fno-rtti", "-Wall", "-Wno-vla-cxx-extension"],
];
const linkFlags = [
  ...["--no-entry", "--import-memory", "--shared-memory", "--max-memory=4294967296", "--strip-all"],
  ...["--export=__stack_pointer", "--export=__heap_base", "-z", `stack-size=${2 ** 24}`],
];

/** Hash of what kernels.wasm is made from. It is stored in it, in the custom section "sources". */
export function sourceHash() {
  const hash = createHash("sha256").update(JSON.stringify([compileFlags, linkFlags]));
  for (const name of [...sources, ...headers]) hash.update(readFileSync(join(folder, name)));
  return hash.digest("hex");
}

/** A custom section: id 0, its length, the length of its name, its name, its contents; all shorter than 128 bytes. */
function customSection(name, text) {
  const [nameBytes, contents] = [Buffer.from(name), Buffer.from(text)];
  const body = Buffer.concat([Buffer.from([nameBytes.length]), nameBytes, contents]);
  return Buffer.concat([Buffer.from([0, body.length]), body]);
}

async function build() {
  const say = reporter("[wasm]");
  const zig = process.env.ZIG ?? (await installZig(path(".engine", "zig"), say));
  const part = mkdtempSync(join(tmpdir(), "promptsrc-wasm-"));
  try {
    const env = { ZIG_GLOBAL_CACHE_DIR: join(part, "cache"), ZIG_LOCAL_CACHE_DIR: join(part, "cache") };
    const objects = sources.map((name) => join(part, `${name}.o`));
    for (const [i, name] of sources.entries())
      await run(zig, ["c++", ...compileFlags, "-c", join(folder, name), "-o", objects[i]], { env });
    const linked = join(part, "kernels.wasm");
    await run(zig, ["wasm-ld", ...linkFlags, "-o", linked, ...objects], { env });
    const bytes = Buffer.concat([readFileSync(linked), customSection("sources", sourceHash())]);
    writeWhole(join(folder, "kernels.wasm"), bytes);
    say(`kernels.wasm: ${bytes.length} bytes`);
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await build();
