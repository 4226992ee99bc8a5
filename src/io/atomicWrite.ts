/** Atomic file writes: a reader never sees a partly written file. */
import * as fs from "node:fs";
import { dirname } from "node:path";

/**
 * Writes a file completely or not at all: if the process is killed or the disk is full, the previous file remains.
 * Creates the folder.
 */
export function writeAtomic(file: string, content: string | Uint8Array): void {
  fs.mkdirSync(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.part`;
  try {
    const handle = fs.openSync(temporary, "w");
    try {
      const bytes = Buffer.from(content as Uint8Array);
      for (let written = 0; written < bytes.length; ) written += fs.writeSync(handle, bytes, written);
      fs.fsyncSync(handle);
    } finally {
      fs.closeSync(handle);
    }
    fs.renameSync(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
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
