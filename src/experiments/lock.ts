/**
 * Locks between processes that work on one grid: a file that names its owner. A lock whose process is dead, or that was not touched for
 * half an hour, is taken over. Two processes that take over the same lock at the same moment both get it; they then compute the same
 * numbers twice, which costs time and harms nothing, as every file is written whole.
 */
import * as fs from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";

export type Lock = { touch(): void; release(): void };

const staleAfter = 30 * 60 * 1000;

/** The lock, or undefined while another living process holds it. */
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
    return age > 10_000; // gone or being written, unless it stays so: a full disk leaves empty files
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
