/**
 * Functions that all steps of the set-up share: paths, hashes, child processes, progress lines, the lock. They use Node
 * only, because no package is installed yet.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
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
  writeFileSync(part, content);
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

const children = new Set();

/**
 * Runs a program.
 * @returns its standard output
 * @throws SetupError with the program's output when it fails, or when it does not exist
 */
export function run(program, args, options = {}) {
  const temporary = join(work, "tmp");
  mkdirSync(temporary, { recursive: true });
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
      // a separate process group, so that an interrupt also ends the program's children, such as a linker
      detached: true,
      ...options,
      env: { ...process.env, TMPDIR: temporary, ...options.env },
    });
    children.add(child);
    let output = "";
    let allOutput = "";
    child.stdout.on("data", (data) => {
      output += data;
      allOutput += data;
    });
    child.stderr.on("data", (data) => {
      allOutput += data;
    });
    child.on("error", (error) => {
      children.delete(child);
      reject(new SetupError(`${program} cannot be started: ${error.message}`));
    });
    child.on("close", (code, signal) => {
      children.delete(child);
      if (code === 0) resolve(output);
      else
        reject(
          new SetupError(
            `${[program, ...args].join(" ")}\nended with ${signal ?? `status ${code}`}:\n${shortened(allOutput)}`,
          ),
        );
    });
  });
}

/**
 * The first and last 12 lines of a failed program's output: programs state the reason at the beginning or at the end.
 */
function shortened(text) {
  const lines = text.trimEnd().split("\n");
  return (lines.length <= 24 ? lines : [...lines.slice(0, 12), "...", ...lines.slice(-12)]).join("\n");
}

function endGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    child.kill(signal); // the process group does not exist: the program has ended already, or did not start
  }
}

/** The trimmed standard output of a program, or undefined if the program is missing or fails. */
export async function ask(program, args) {
  try {
    return (await run(program, args)).trim();
  } catch {
    return undefined;
  }
}

/**
 * Holds the set-up lock of the clone while `task` runs. A second set-up waits for the lock; the lock of a process that
 * no longer exists is removed.
 */
export async function locked(task) {
  mkdirSync(work, { recursive: true });
  const lock = join(work, "lock");
  const lockContent = JSON.stringify({ pid: process.pid, host: hostname() });
  let isWaiting = false;
  for (;;) {
    try {
      writeFileSync(lock, lockContent, { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw new SetupError(`The set-up cannot write ${lock}: ${error.message}`);
    }
    if (removeStaleLock(lock)) continue;
    if (!isWaiting)
      console.log(`another set-up is at work here (process ${readJson(lock)?.pid ?? "unknown"}), waiting for it`);
    isWaiting = true;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  const refresh = setInterval(() => utimesSync(lock, new Date(), new Date()), 5_000);
  const stop = (signal) => {
    for (const child of children) endGroup(child, signal);
    rmSync(lock, { force: true });
    console.error("\nset-up interrupted; running the same command again goes on from here");
    process.exit(130);
  };
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  try {
    return await task();
  } finally {
    clearInterval(refresh);
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
    rmSync(join(work, "tmp"), { recursive: true, force: true });
    rmSync(lock, { force: true });
  }
}

/**
 * Removes a lock whose owner has ended: the process does not exist on this host, or the lock was not refreshed for a
 * minute.
 * @returns whether the caller may try to take the lock again
 */
function removeStaleLock(lock) {
  try {
    const text = readFileSync(lock, "utf8");
    const owner = JSON.parse(text || "null");
    const isUnrefreshed = Date.now() - statSync(lock).mtimeMs > 60_000;
    if (!isUnrefreshed && (!owner || owner.host !== hostname() || isAlive(owner.pid))) return false;
    const moved = `${lock}.${process.pid}`;
    renameSync(lock, moved);
    if (readFileSync(moved, "utf8") !== text)
      renameSync(moved, lock); // another process took over first: the lock that was moved is valid
    else rmSync(moved);
    return true;
  } catch (error) {
    if (error.code === "ENOENT" || !existsSync(lock)) return true;
    return false;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}
