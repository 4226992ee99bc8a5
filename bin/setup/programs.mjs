/**
 * Programs that set-up and the launchers start: each ends with the process that started it (leash.mjs), and a set-up
 * that was killed leaves a note of what it had running, so that the next one can wait for its end.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { path, readJson, root, SetupError, work, writeWhole } from "./tools.mjs";

const leash = path("bin", "setup", "leash.mjs");
const running = join(work, "running");
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
    const child = spawn(process.execPath, [leash, "group", program, ...args], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      // a separate process group, so that an interrupt also ends the program's children, such as a linker
      detached: true,
      ...options,
      env: { ...process.env, TMPDIR: temporary, ...options.env },
    });
    children.add(child);
    const note = join(running, `${child.pid}.json`);
    writeWhole(note, JSON.stringify({ pid: child.pid, started: startOf(child.pid), program, owner: process.pid }));
    let output = "";
    let allOutput = "";
    child.stdout.on("data", (data) => {
      output += data;
      allOutput += data;
    });
    child.stderr.on("data", (data) => {
      allOutput += data;
    });
    child.on("exit", (_, signal) => signal && endGroup(child.pid)); // the leash was killed, the program goes on
    child.on("close", (code, signal) => {
      children.delete(child);
      rmSync(note, { force: true });
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

/** The trimmed standard output of a program, or undefined if the program is missing or fails. */
export async function ask(program, args) {
  try {
    return (await run(program, args)).trim();
  } catch {
    return undefined;
  }
}

/**
 * Runs a program in this terminal until it ends. It is asked to end when this process is (SIGTERM, SIGHUP), and ends
 * with it if this process is killed. Ctrl-C reaches it directly.
 * @returns its exit status, or 128 plus the number of the signal that ended it
 */
export function foreground(program, args, options = {}) {
  const child = spawn(process.execPath, [leash, "alone", program, ...args], {
    cwd: root,
    ...options,
    stdio: ["inherit", "inherit", "inherit", "ipc"],
  });
  const end = () => child.kill("SIGTERM");
  const onInterrupt = () => process.stdin.isTTY || end(); // without a terminal, it was sent to this process alone
  process.on("SIGTERM", end).on("SIGHUP", end).on("SIGINT", onInterrupt);
  let pid;
  child.on("message", (started) => {
    pid = started;
  });
  return new Promise((resolve) => {
    child.on("exit", async (code, signal) => {
      if (signal && pid) await endProcess(pid); // the leash was killed, the program goes on
      process.off("SIGTERM", end).off("SIGHUP", end).off("SIGINT", onInterrupt);
      resolve(code ?? 128 + constants.signals[signal]);
    });
  });
}

/** Ends the programs that this process has started, with their children, and waits until they have ended. */
export const endPrograms = () => Promise.all([...children].map(({ pid }) => endGroup(pid)));

/**
 * Ends what a set-up that was killed has left running, and says so: two npm that write to one node_modules destroy it.
 * The caller holds the lock of the set-up.
 */
export async function endLeftovers() {
  mkdirSync(running, { recursive: true });
  for (const name of readdirSync(running)) {
    const file = join(running, name);
    const { pid, started, program, owner } = readJson(file) ?? {};
    const now = pid && startOf(pid);
    // Numbers of processes are given again: another start is another process.
    const isOurs = pid && owner !== process.pid && isAlive(-pid) && (now === undefined || now === started);
    if (isOurs) {
      console.log(`an interrupted set-up left ${program} running (process group ${pid}): ending it`);
      await endGroup(pid);
    }
    rmSync(file, { force: true });
  }
}

/** Asks a process, or the group of a negative number, to end, and kills it after ten seconds. */
async function endProcess(pid) {
  for (let waited = 0; isAlive(pid) && waited < 15_000; waited += 100) {
    try {
      process.kill(pid, waited < 10_000 ? "SIGTERM" : "SIGKILL");
    } catch {}
    await setTimeout(100);
  }
}

const endGroup = (pid) => endProcess(-pid);

/** Whether a process runs; of a negative number, whether any process of that group does. */
export function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** When a process started, in ticks since the boot; undefined if it does not run, or without /proc. */
export function startOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ")[19];
  } catch {
    return undefined;
  }
}
