/**
 * Locks between processes that work on the same grid. A lock is a file that names its owner. It is taken over if its
 * process is dead or if it was not touched for half an hour. Two processes that take over the same lock at the same
 * moment both get it. They then compute the same numbers twice, which costs time but does no harm, because every file
 * is written atomically.
 */
import * as fs from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";

export type Lock = { touch(): void; release(): void };

const staleAfter = 30 * 60 * 1000; // milliseconds

/** Acquires the lock. Returns undefined while another living process holds it. */
export function claim(file: string): Lock | undefined {
  fs.mkdirSync(dirname(file), { recursive: true });
  const create = (): boolean => {
    try {
      fs.writeFileSync(file, JSON.stringify({ pid: process.pid, host: hostname() }), { flag: "wx" });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw error;
    }
  };
  if (!create()) {
    if (!isStale(file)) return undefined;
    fs.rmSync(file, { force: true });
    if (!create()) return undefined;
  }
  let touched = Date.now();
  return {
    touch() {
      if (Date.now() - touched < 60_000) return;
      touched = Date.now();
      fs.utimesSync(file, new Date(), new Date());
    },
    release: () => fs.rmSync(file, { force: true }),
  };
}

function isStale(file: string): boolean {
  const age = Date.now() - (fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
  if (age > staleAfter) return true;
  try {
    const { pid, host } = JSON.parse(fs.readFileSync(file, "utf8")) as { pid: number; host: string };
    return host === hostname() && !isAlive(pid);
  } catch {
    // The file was just removed or is being written. If it stays unreadable for 10 s, a full disk has left it empty.
    return age > 10_000;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
