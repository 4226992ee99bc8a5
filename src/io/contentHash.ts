/**
 * What is inside picture files, by SHA-256. A file is read once: its hash is remembered in `.cache/pictures`, one file for each dataset
 * folder, by size, time of change and inode, so that a dataset of 100,000 pictures is hashed when it is first used and only looked at later.
 */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { join, relative, resolve } from "node:path";
import { writeAtomic } from "../io/atomicWrite";

const cacheFolder = join(".cache", "pictures");

/** A file that changed this recently may change again within the same tick of the file system's clock: its hash is not remembered. */
const settledAfter = 2000;

type Known = Record<string, { stamp: string; hash: string }>;

export const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex").slice(0, 32);

/** Size, times of change (a file that is moved over another keeps its own `mtime`, but not its `ctime`) and inode. */
const stampOf = ({ size, mtimeNs, ctimeNs, ino }: fs.BigIntStats): string => `${size} ${mtimeNs} ${ctimeNs} ${ino}`;

/**
 * The hashes of files of one folder, in their order; undefined where there is no such file. A cache that cannot be read is made again, and one
 * that cannot be written is done without.
 */
export function contentHashes(folder: string, files: string[], cache = cacheFolder): (string | undefined)[] {
  const store = join(cache, `${hashOf(Buffer.from(resolve(folder)))}.json`);
  const known = readKnown(store);
  let changed = false;
  const hashes = files.map((file) => {
    const found = fs.statSync(file, { bigint: true, throwIfNoEntry: false });
    if (!found?.isFile()) return undefined;
    const [name, stamp] = [relative(folder, file), stampOf(found)];
    if (known[name]?.stamp === stamp) return known[name].hash;
    const hash = hashOf(fs.readFileSync(file));
    if (Date.now() - Number(found.ctimeNs / 1_000_000n) > settledAfter) {
      known[name] = { stamp, hash };
      changed = true;
    }
    return hash;
  });
  if (changed) {
    try {
      writeAtomic(store, JSON.stringify(known));
    } catch {
      // read-only or full: the pictures are hashed again next time
    }
  }
  return hashes;
}

function readKnown(store: string): Known {
  try {
    return JSON.parse(fs.readFileSync(store, "utf8")) as Known;
  } catch {
    return {};
  }
}
