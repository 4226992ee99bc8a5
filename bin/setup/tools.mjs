/** What every step of the set-up uses: paths, hashes, child processes, progress lines, the lock. Plain Node, no packages. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const work = join(root, ".setup");
export const path = (...parts) => join(root, ...parts);

/** Given to `node --import`, runs TypeScript files (package tsx). */
export const typescriptLoader = pathToFileURL(path("node_modules", "tsx", "dist", "loader.mjs")).href;

/** Something that the user must do; shown without a stack trace. */
export class SetupError extends Error {}

/** Hash of strings and buffers, in order. */
export const hash = (...contents) =>
  contents.reduce((sum, content) => sum.update(content).update("\0"), createHash("sha256")).digest("hex");

/** JSON of a file, or undefined when it is absent or cut short. */
export function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

/** Writes a file so that it is either absent, old, or complete. */
export function writeWhole(file, content) {
  mkdirSync(dirname(file), { recursive: true });
  const part = `${file}.${process.pid}.part`;
  writeFileSync(part, content);
  renameSync(part, file);
}

const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`;

/** A reporter for one step: `say("text")` prints a line, `await say.during("text", promise)` prints it with its seconds. */
export function reporter(prefix) {
  const say = (text) => console.log(`${prefix} ${text}`);
  say.during = async (text, work) => {
    const since = Date.now();
    say(`${text} ...`);
    const pulse = setInterval(() => say(`${text}: ${seconds(since)} so far`), 15_000);
    try {
      const result = await work;
      say(`${text}: ${seconds(since)}`);
      return result;
    } finally {
      clearInterval(pulse);
    }
  };
  return say;
}

const children = new Set();

/** Runs a program, returns its standard output; throws SetupError with what it said when it fails or does not exist. */
export function run(program, args, options = {}) {
  const temporary = join(work, "tmp");
  mkdirSync(temporary, { recursive: true });
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true, // a process group of its own, so that an interrupt ends a compiler's linker too
      ...options,
      env: { ...process.env, TMPDIR: temporary, ...options.env },
    });
    children.add(child);
    let output = "";
    let everything = "";
    child.stdout.on("data", (data) => {
      output += data;
      everything += data;
    });
    child.stderr.on("data", (data) => {
      everything += data;
    });
    child.on("error", (error) => {
      children.delete(child);
      reject(new SetupError(`${program} does not run: ${error.message}`));
    });
    child.on("close", (code, signal) => {
      children.delete(child);
      if (code === 0) resolve(output);
      else
        reject(
          new SetupError(
            `${[program, ...args].join(" ")}\nended with ${signal ?? `status ${code}`}:\n${ends(everything)}`,
          ),
        );
    });
  });
}

/** What a failed program said: programs name the reason first or last. */
function ends(text) {
  const lines = text.trimEnd().split("\n");
  return (lines.length <= 24 ? lines : [...lines.slice(0, 12), "...", ...lines.slice(-12)]).join("\n");
}

function endGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    child.kill(signal); // it has ended already, or never began
  }
}

/** Standard output of a quick program, or undefined when it is missing or fails. */
export async function ask(program, args) {
  try {
    return (await run(program, args)).trim();
  } catch {
    return undefined;
  }
}

/** Holds the clone's set-up lock while `task` runs; a second set-up waits, a dead one's lock is taken over. */
export async function locked(task) {
  mkdirSync(work, { recursive: true });
  const lock = join(work, "lock");
  const mine = JSON.stringify({ pid: process.pid, host: hostname() });
  let told = false;
  for (;;) {
    try {
      writeFileSync(lock, mine, { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw new SetupError(`The set-up cannot write ${lock}: ${error.message}`);
    }
    if (takeOverDead(lock)) continue;
    if (!told)
      console.log(`another set-up is at work here (process ${readJson(lock)?.pid ?? "unknown"}), waiting for it`);
    told = true;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  const alive = setInterval(() => utimesSync(lock, new Date(), new Date()), 5_000);
  const stop = (signal) => {
    for (const child of children) endGroup(child, signal);
    rmSync(lock, { force: true });
    console.error("\nset-up interrupted; the same command goes on from here");
    process.exit(130);
  };
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  try {
    return await task();
  } finally {
    clearInterval(alive);
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
    rmSync(join(work, "tmp"), { recursive: true, force: true });
    rmSync(lock, { force: true });
  }
}

/** Removes a lock whose owner is gone: no such process on this host, or no sign of life for a minute. True when the lock may be tried again. */
function takeOverDead(lock) {
  try {
    const text = readFileSync(lock, "utf8");
    const owner = JSON.parse(text || "null");
    const silent = Date.now() - statSync(lock).mtimeMs > 60_000;
    if (!silent && (!owner || owner.host !== hostname() || isAlive(owner.pid))) return false;
    const aside = `${lock}.${process.pid}`;
    renameSync(lock, aside);
    if (readFileSync(aside, "utf8") !== text)
      renameSync(aside, lock); // someone else was faster: that lock is a living one
    else rmSync(aside);
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
