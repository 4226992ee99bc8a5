/**
 * Functions that all steps of the set-up share: paths, hashes, files, progress lines. They use Node only, because no
 * package is installed yet.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const work = join(root, ".setup");
export const path = (...parts) => join(root, ...parts);

/** The loader of the package tsx: `node --import <this>` runs TypeScript files. */
export const typescriptLoader = pathToFileURL(path("node_modules", "tsx", "dist", "loader.mjs")).href;

/** An error that the user can solve; it is shown without a stack trace. */
export class SetupError extends Error {}

/** SHA-256 of a sequence of strings and buffers, hexadecimal. */
export const hash = (...contents) =>
  contents.reduce((sum, content) => sum.update(content).update("\0"), createHash("sha256")).digest("hex");

/** The JSON value in a file, or undefined if the file is missing or incomplete. */
export function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

/** Writes a file atomically: at any time, the file is missing, has its old content, or is complete. */
export function writeWhole(file, content) {
  mkdirSync(dirname(file), { recursive: true });
  const part = `${file}.${process.pid}.part`;
  writeFileSync(part, content, { flush: true }); // on the disk before the renaming, against a power cut
  renameSync(part, file);
}

const secondsSince = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`;

/**
 * A reporter for one step: `say("text")` prints a line, `await say.during("text", promise)` prints it with its seconds.
 */
export function reporter(prefix) {
  const say = (text) => console.log(`${prefix} ${text}`);
  say.during = async (text, work) => {
    const startTime = Date.now();
    say(`${text} ...`);
    const timer = setInterval(() => say(`${text}: ${secondsSince(startTime)} so far`), 15_000);
    try {
      const result = await work;
      say(`${text}: ${secondsSince(startTime)}`);
      return result;
    } finally {
      clearInterval(timer);
    }
  };
  return say;
}
