/**
 * SHA-256 hashes of the content of image files. Each file is read once: its hash is cached in `.cache/pictures` (one
 * cache file per dataset folder) together with the file's size, times of change and inode. A dataset of 100,000 images
 * is thus hashed when it is first used, and later only the file metadata are checked.
 */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { join, relative, resolve } from "node:path";
import { fileStats } from "./identify";
import { readSealedJson, writeSealedJson } from "./sealedJson";

const cacheFolder = join(".cache", "pictures");

/**
 * Milliseconds. The hash of a file that changed more recently is not cached, because the file may change again within
 * the same tick of the file system's clock.
 */
const settledAfter = 2000;

/** Milliseconds between lines that say how far the first reading of a large dataset has come. */
const sayEvery = 5000;

type HashCache = Record<string, { stamp: string; hash: string }>;

export const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex").slice(0, 32);

/**
 * Size, modification time, change time and inode. A file moved over another keeps its own `mtime`, but not its `ctime`.
 */
const stampOf = ({ size, mtimeNs, ctimeNs, ino }: fs.BigIntStats): string => `${size} ${mtimeNs} ${ctimeNs} ${ino}`;

/**
 * The hashes of files of one folder, in the order of `files`; undefined for a file that does not exist. A damaged cache
 * is set aside and made again. A cache that cannot be written is ignored.
 */
export function contentHashes(folder: string, files: string[], cache = cacheFolder): (string | undefined)[] {
  const store = join(cache, `${hashOf(Buffer.from(resolve(folder)))}.json`);
  const cached = readSealedJson<HashCache>(store, "the pictures are read again") ?? {};
  let changed = false;
  let lastSaid = Date.now();
  const hashes = files.map((file, i) => {
    if (Date.now() - lastSaid > sayEvery) {
      console.warn(
        `${folder}: reading the pictures for their hashes, ${i} of ${files.length}; next time only new ones`,
      );
      lastSaid = Date.now();
    }
    const stats = fileStats(file);
    if (!stats?.isFile()) return undefined;
    const [name, stamp] = [relative(folder, file), stampOf(stats)];
    if (cached[name]?.stamp === stamp) return cached[name].hash;
    const hash = hashOf(fs.readFileSync(file));
    if (Date.now() - Number(stats.ctimeNs / 1_000_000n) > settledAfter) {
      cached[name] = { stamp, hash };
      changed = true;
    }
    return hash;
  });
  if (changed) {
    try {
      writeSealedJson(store, cached);
    } catch {
      // The disk is read-only or full: the images are hashed again next time.
    }
  }
  return hashes;
}
