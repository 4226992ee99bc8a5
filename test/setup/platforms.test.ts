/** The platforms of the native engine: what differs between them is complete, and where there is none it is said why. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
// @ts-expect-error: the scripts of set-up have no declarations
import { platforms, unsupported } from "../../bin/setup/platforms.mjs";
import { type Binding, faults, origins } from "../cross/binding";

type Platform = { wheels: Record<string, string>; sources: string[]; linking(folder: string): string[] };

test("a platform's wheel lists and own sources are there", () => {
  const files = Object.values<Platform>(platforms).flatMap(({ wheels, sources }) => [
    ...Object.values(wheels).map((name) => join("bin", "setup", "wheels", `${name}.txt`)),
    ...sources.map((name) => join("src", "engine", "native", name)),
  ]);
  expect(files.filter((file) => !existsSync(file))).toEqual([]);
});

test("a machine without the native engine is told why", () => {
  const glibc = "2.36";
  for (const name of Object.keys(platforms)) {
    const [platform, arch] = name.split("-");
    expect(unsupported({ platform, arch, glibc })).toBeUndefined();
  }
  const intel = { platform: "darwin", arch: "x64" };
  expect(unsupported({ ...intel, processor: "Intel(R) Core(TM) i5" })).toMatch(/no library for Intel Macs/);
  expect(unsupported({ ...intel, processor: "VirtualApple @ 2.50GHz" })).toMatch(/install Node.js for arm64/);
  expect(unsupported({ platform: "linux", arch: "x64" })).toMatch(/glibc/);
  expect(unsupported({ platform: "linux", arch: "riscv64", glibc })).toMatch(/this is linux-riscv64/);
});

test("a binding that would not be loaded is told by its file", () => {
  const expected = { format: "Mach-O", processor: "ARM64", libraries: ["a.dylib"], runPaths: ["@loader_path/x"] };
  const imports = { TF_Version: "a.dylib", napi_typeof: null };
  const good: Binding = { ...expected, signed: true, exports: ["napi_register_module_v1"], imports };
  const wanted = { ...expected, exports: ["napi_register_module_v1"] };
  expect(faults(good, wanted)).toEqual([]);
  expect([...origins(good)]).toEqual([
    ["a.dylib", 1],
    ["Node", 1],
  ]);
  const bad = { ...good, processor: "X86_64", runPaths: [], signed: false, imports: { ...imports, napi_no: null } };
  expect(faults(bad, wanted)).toEqual([
    "the processor is X86_64, wanted is ARM64",
    "no run path @loader_path/x; there is none",
    "no library has napi_no",
    "there is no code signature, without which macOS on arm64 loads nothing",
  ]);
});
