/**
 * `npm run cross`: the native engine of other machines. For Linux and macOS on arm64, it downloads TensorFlow's wheel,
 * compiles the binding with zig, and checks what the file tells: format, processor, run path, exports, and that every
 * import is in a library or in Node. The Linux one is then run, emulated, on the reference numbers of PromptSRC. It needs
 * a clone that is set up, 4 GB of disk and the registries of PyPI, npm and Debian; without them it says what was not
 * tried. It takes about five minutes on two cores.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
// @ts-expect-error: the scripts of set-up have no declarations
import { compileBinding, download, installZig, unpack, zigFor } from "../../bin/setup/engine.mjs";
// @ts-expect-error
import { platforms } from "../../bin/setup/platforms.mjs";
// @ts-expect-error
import { run } from "../../bin/setup/programs.mjs";
// @ts-expect-error
import { install, python } from "../../bin/setup/python.mjs";
// @ts-expect-error
import { reporter, SetupError } from "../../bin/setup/tools.mjs";
import { type Binding, type Expected, faults, origins } from "./binding";
import { arm64Clone, arm64Node, missingForEmulation } from "./emulation";

const entries = ["napi_register_module_v1", "node_api_module_get_api_version_v1"];
const place = "../../../../../.engine/tensorflow";
const expectations: Record<string, Expected> = {
  "linux-arm64": {
    format: "ELF",
    processor: "AARCH64",
    libraries: ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"],
    runPaths: [`$ORIGIN/${place}`],
    exports: [...entries, "TFE_NewContext", "TFE_NewContextOptions", "_ZN4absl12lts_2025081411MinLogLevelEv"],
  },
  "darwin-arm64": {
    format: "Mach-O",
    processor: "ARM64",
    libraries: ["libtensorflow_cc.2.dylib", "libtensorflow_framework.2.dylib"],
    runPaths: [`@loader_path/${place}`],
    exports: entries,
  },
};

const folder = mkdtempSync(join(tmpdir(), "promptsrc-cross-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
const problems: string[] = [];
const bindingOf = (name: string) => join(folder, name, "tfjs_binding.node");
const libraryOf = (name: string) => join(folder, name, "tensorflow");

/** Builds the binding of a platform, and says what is wrong with it. */
async function crossBuild(name: string, zig: string): Promise<void> {
  const [say, platform, expected] = [reporter(`[${name}]`), platforms[name], expectations[name]];
  const wheels = join(folder, name, "wheels");
  await say.during("pip downloads TensorFlow", download(wheels, platform));
  await unpack(wheels, join(folder, name));
  rmSync(wheels, { recursive: true });
  await compileBinding(say, bindingOf(name), { compiler: zigFor(platform, zig), platform, library: libraryOf(name) });
  const reader = join("test", "cross", "readBinding.py");
  // The linker for macOS notes of which library a function is; for Linux, they are looked up in TensorFlow's.
  const libraries = expected.format === "ELF" ? expected.libraries.map((file) => join(libraryOf(name), file)) : [];
  const options = { env: { PYTHONPATH: join(folder, "lief") } };
  const binding: Binding = JSON.parse(await run(python, [reader, bindingOf(name), ...libraries], options));
  say(
    `${binding.format}, ${binding.processor}; imports: ${[...origins(binding)].map((pair) => pair.join(" ")).join(", ")}`,
  );
  const found = faults(binding, expected);
  if (found.length === 0) say("ok: Node can load it, as far as the file tells");
  problems.push(...found.map((fault) => `${name}: ${fault}`));
}

/** Runs the binding for Linux in an emulation. */
async function emulate(): Promise<void> {
  const say = reporter("[emulated linux-arm64]");
  const missing = missingForEmulation();
  if (missing) return say(`skipped: ${missing}`);
  const [program, ...options] = await say.during(
    "downloads of Node and the C library",
    arm64Node(join(folder, "arm64")),
  );
  const clone = join(folder, "clone");
  await arm64Clone(clone, bindingOf("linux-arm64"), libraryOf("linux-arm64"), join("test", "cross", "emulated.ts"));
  const [from, golden] = [join(process.cwd(), "test", "golden"), join(clone, "golden")];
  mkdirSync(golden);
  const files = ["model", "common", "promptsrc"].map((file) => `${file}.safetensors`);
  for (const file of [...files, "meta.json", "config.json", "tokenizer.json", "preprocessor_config.json"])
    symlinkSync(join(from, file), join(golden, file));
  const links = ["--preserve-symlinks", "--preserve-symlinks-main"];
  const parity = run(program, [...options, ...links, "program.mjs", "golden"], { cwd: clone });
  const lines: string[] = (await say.during("parity with the official code", parity)).trim().split("\n");
  const differences = lines.flatMap((line) => {
    const [, difference, largest] = /largest difference (\S+) of (\S+)/.exec(line) ?? [];
    return difference ? [Number(difference) / Number(largest)] : [];
  });
  say(lines.filter((line) => /^engine|passed|kernels/.test(line)).join("; "));
  say(`the largest difference, as a part of the largest element: ${Math.max(...differences).toExponential(1)}`);
}

try {
  const list = join("test", "cross", "lief.txt");
  await install(python, list, "--only-binary=:all:", "--target", join(folder, "lief"));
} catch (error) {
  console.log(
    `skipped: pip cannot download what is needed (or npm run setup was not run)\n${(error as Error).message}`,
  );
  process.exit(0);
}
try {
  const zig = await installZig(join(folder, "zig"), reporter("[cross]"));
  for (const name of Object.keys(expectations)) await crossBuild(name, zig);
  await emulate();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  problems.push((error as Error).message);
}
for (const problem of problems) console.error(`NOT: ${problem}`);
console.log("Not shown here: that macOS loads its binding, what it computes there, and the speed of either.");
console.log(problems.length === 0 ? "ok" : `${problems.length} problems`);
process.exit(problems.length === 0 ? 0 : 1);
