/** The lock of the set-up: one at a time in a clone. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { endLeftovers, endPrograms, isAlive, startOf } from "./programs.mjs";
import { readJson, SetupError, work } from "./tools.mjs";

/**
 * Holds the set-up lock of the clone while `task` runs. A second set-up waits for the lock; the lock of a process that
 * no longer exists is removed.
 */
export async function locked(task) {
  mkdirSync(work, { recursive: true });
  const lock = join(work, "lock");
  const lockContent = JSON.stringify({ pid: process.pid, started: startOf(process.pid), host: hostname() });
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
  let isStopping = false;
  const stop = async () => {
    if (isStopping) return; // Ctrl-C comes from the terminal and from npm
    isStopping = true;
    await endPrograms();
    rmSync(lock, { force: true });
    console.error("\nset-up interrupted; running the same command again goes on from here");
    process.exit(130);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, stop);
  try {
    await endLeftovers();
    return await task();
  } finally {
    clearInterval(refresh);
    for (const signal of signals) process.off(signal, stop);
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
    const isOwned = owner && (owner.host !== hostname() || isSame(owner));
    if (!isUnrefreshed && (!owner || isOwned)) return false;
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

/** Whether the process of a lock runs: numbers of processes are given again, soon in containers. */
const isSame = ({ pid, started }) => isAlive(pid) && (started === undefined || startOf(pid) === started);
