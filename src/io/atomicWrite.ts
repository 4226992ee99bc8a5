/** Writing files so that a reader never sees half of one. */
import * as fs from "node:fs";
import { dirname } from "node:path";

/** Writes a file whole or not at all: a kill or a full disk leaves what was there before. Makes the folder. */
export function writeAtomic(file: string, content: string | Uint8Array): void {
  fs.mkdirSync(dirname(file), { recursive: true });
  const part = `${file}.${process.pid}.part`;
  try {
    const handle = fs.openSync(part, "w");
    try {
      const bytes = Buffer.from(content as Uint8Array);
      for (let at = 0; at < bytes.length; ) at += fs.writeSync(handle, bytes, at);
      fs.fsyncSync(handle);
    } finally {
      fs.closeSync(handle);
    }
    fs.renameSync(part, file);
  } catch (error) {
    fs.rmSync(part, { force: true });
    throw error;
  }
}
