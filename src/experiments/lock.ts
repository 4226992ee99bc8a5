/**
 * Locks between processes that work on the same grid. A lock is a file that names its owner. It is taken over if its
 * process is dead or if it was not touched for half an hour. Two processes that take over the same lock at the same
 * moment both get it. They then compute the same numbers twice, which costs time but does no harm, because every file
 * is written atomically.
 */
import * as fs from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { removeIfPossible } from "../io/atomicWrite";
import { diskError, makeFolder } from "../io/disk";
import { outOfMemoryKills } from "../util/memory";

/** What a lock's file says of its owner: what it computes, and how often memory had run out when it began. */
type Owner = { pid: number; host: string; started?: string; place: string; kills: { group: number; machine: number } };

export type Lock = {
  /** Shows that the owner still works. */
  touch(): void;
  release(): void;
  /**
   * The owner before, if its process has ended without releasing the lock, for example because it was killed.
   * `outOfMemory`: the kernel has ended processes since it began, because memory ran out.
   */
  abandoned?: { pid: number; place: string; outOfMemory: boolean };
};

const staleAfter = 30 * 60 * 1000; // milliseconds

/**
 * Acquires the lock. Returns undefined while another living process holds it.
 * @param place what is computed under the lock, in the words of the progress line
 * @param alone whether no other machine computes this: its lock is then of an attempt that has ended
 * @throws DiskError
 */
export function claim(file: string, place: string, alone = false): Lock | undefined {
  makeFolder(dirname(file));
  const own: Owner = {
    pid: process.pid,
    host: hostname(),
    started: startOf(process.pid),
    place,
    kills: outOfMemoryKills(),
  };
  const content = JSON.stringify(own);
  let abandoned: Lock["abandoned"];
  if (!create(file, content)) {
    const owner = readOwner(file);
    if (!isStale(file, owner) && !(alone && owner !== undefined && owner.host !== own.host)) return undefined;
    fs.rmSync(file, { force: true });
    if (!create(file, content)) return undefined;
    if (owner?.kills) {
      const { pid, place, kills: before } = owner;
      const now = outOfMemoryKills();
      const outOfMemory = owner.host === own.host && (now.group > before.group || now.machine > before.machine);
      abandoned = { pid, place, outOfMemory };
    }
  }
  let touched = Date.now();
  const isOwn = () => {
    try {
      return fs.readFileSync(file, "utf8") === content;
    } catch {
      return false; // another process took it over, because this one was stopped for half an hour
    }
  };
  return {
    abandoned,
    touch() {
      if (Date.now() - touched < 60_000) return;
      touched = Date.now();
      if (!isOwn()) return;
      try {
        fs.utimesSync(file, new Date(), new Date());
      } catch {} // a read-only disk is reported by the next result
    },
    release: () => isOwn() && removeIfPossible(file),
  };
}

/** Creates the file unless it exists. */
function create(file: string, content: string): boolean {
  try {
    fs.writeFileSync(file, content, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    removeIfPossible(file); // a full disk leaves it empty
    throw diskError(error, file, content.length);
  }
}

function readOwner(file: string): Owner | undefined {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

function isStale(file: string, owner: Owner | undefined): boolean {
  const age = Date.now() - (fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
  // The file was just removed or is being written. If it stays unreadable for 10 s, its writer was killed.
  if (owner === undefined) return age > 10_000;
  return age > staleAfter || (owner.host === hostname() && !isAlive(owner.pid, owner.started));
}

/** Whether a process runs, and is the one that started then: numbers of processes are given again, soon in containers. */
function isAlive(pid: number, started?: string): boolean {
  if (started !== undefined) return startOf(pid) === started;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** When a process started: the boot of the machine and the tick since then. Undefined if it ended, or without /proc. */
function startOf(pid: number): string | undefined {
  try {
    const fields = fs
      .readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    if (fields[0] === "Z") return undefined; // ended, but its parent has not asked for its status
    return `${fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${fields[19]}`;
  } catch {
    return undefined;
  }
}
