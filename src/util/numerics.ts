/**
 * The numerics version: a hash of every source that can change a number. It is computed, so nobody has to remember to raise it, and it is part
 * of whatever is kept for later (trained prompts, results, features of texts): what other code made is not taken for what this code makes.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The folders of src between the files of a user and an accuracy. Figures, tables, notebooks and the command line only read numbers. */
const rooms = [
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

/** 16 hexadecimal digits of the SHA-256 over names and contents of the sources, TypeScript and C++, and the locked packages. */
export function numericsVersion(root = process.cwd()): string {
  if (version !== undefined && root === process.cwd()) return version;
  const hash = createHash("sha256");
  for (const file of [...rooms.flatMap((room) => sources(join(root, "src", room))), join(root, "package-lock.json")]) {
    hash.update(file.slice(root.length)).update(withoutComments(readFileSync(file, "utf8")));
  }
  const digest = hash.digest("hex").slice(0, 16);
  if (root === process.cwd()) version = digest;
  return digest;
}

/** Comments and white space change no number. */
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
