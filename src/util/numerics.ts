/**
 * The numerics version: a hash of all source files that can change a number. It is computed, so that nobody has to
 * remember to increase it. It is stored with everything that is saved for later (trained prompts, results, text
 * features), so that a value computed by other code is never mistaken for one that the current code would compute.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * The folders of src with code that an accuracy depends on. Figures, tables, notebooks and the command line only read
 * numbers.
 */
const sourceFolders = [
  "cache",
  "clip",
  "configs",
  "datasets",
  "engine",
  "experiments",
  "io",
  "methods",
  "solvers",
  "training",
  "util",
];

let version: string | undefined;

/**
 * 16 hexadecimal digits of the SHA-256 over the names and contents of the TypeScript and C++ sources and of
 * package-lock.json.
 */
export function numericsVersion(root = process.cwd()): string {
  if (version !== undefined && root === process.cwd()) return version;
  const hash = createHash("sha256");
  for (const file of [
    ...sourceFolders.flatMap((folder) => sources(join(root, "src", folder))),
    join(root, "package-lock.json"),
  ]) {
    hash.update(file.slice(root.length)).update(withoutComments(readFileSync(file, "utf8")));
  }
  const digest = hash.digest("hex").slice(0, 16);
  if (root === process.cwd()) version = digest;
  return digest;
}

/** The text without comments and extra white space, which cannot change a number. */
const withoutComments = (text: string): string =>
  text
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/^\s*\/\/.*$/gm, "")
    .replace(/\s+/g, " ");

const sources = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(ts|cc|h)$/.test(name))
    .sort()
    .map((name) => join(folder, name));
