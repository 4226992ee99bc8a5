/** Atomic file writes: a reader never sees a partly written file. */
import * as fs from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { diskError, makeFolder } from "./disk";

/**
 * Writes a file completely or not at all: if the process is killed, the power fails or the disk is full, the previous
 * file remains. Creates the folder.
 * @throws DiskError that says what is wrong with the disk, how much is needed and free
 */
export function writeAtomic(file: string, content: string | Uint8Array): void {
  makeFolder(dirname(file));
  const temporary = `${file}.${hostname()}.${process.pid}.part`; // on a shared disk, machines have the same numbers
  const bytes = Buffer.from(content as Uint8Array);
  try {
    const handle = fs.openSync(temporary, "w");
    try {
      for (let written = 0; written < bytes.length; ) written += fs.writeSync(handle, bytes, written);
      fs.fsyncSync(handle); // else a power cut after the renaming could leave an empty file
    } finally {
      fs.closeSync(handle);
    }
    fs.renameSync(temporary, file);
  } catch (error) {
    removeIfPossible(temporary);
    throw diskError(error, file, bytes.length);
  }
  syncFolder(dirname(file));
}

/** Makes a renaming last through a power cut. Some network file systems cannot, and need no more than was done. */
function syncFolder(folder: string): void {
  try {
    const handle = fs.openSync(folder, "r");
    try {
      fs.fsyncSync(handle);
    } finally {
      fs.closeSync(handle);
    }
  } catch {}
}

/** Removes a file or folder that is not needed any more; on a read-only disk it stays. */
export function removeIfPossible(path: string): void {
  try {
    fs.rmSync(path, { recursive: true, force: true });
  } catch {}
}

/** A write takes seconds; a part that has not grown for ten minutes is of a process that was killed. */
const abandonedAfter = 10 * 60 * 1000; // milliseconds

/** Removes what killed processes have left of half written files, in a folder and those inside it. */
export function removeAbandonedParts(folder: string): void {
  if (!fs.existsSync(folder)) return;
  for (const name of fs.readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".part")) continue;
    const stats = fs.statSync(join(folder, name), { throwIfNoEntry: false });
    if (stats && Date.now() - stats.mtimeMs > abandonedAfter) removeIfPossible(join(folder, name));
  }
}

/**
 * Renames a file that cannot be believed to `<file>.damaged`, and says so on standard error, so that it is neither read
 * again nor lost. On a read-only disk it stays where it is.
 * @param consequence what happens instead, such as "the run is computed again"
 */
export function setAside(file: string, error: unknown, consequence: string): void {
  const reason = (error as Error).message.replace(`${file} is damaged: `, "");
  try {
    fs.renameSync(file, `${file}.damaged`);
    console.warn(`${file} is not used, and set aside as ${file}.damaged: ${reason}; ${consequence}`);
  } catch {
    console.warn(`${file} is not used: ${reason}; ${consequence}`);
  }
}
