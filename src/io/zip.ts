/**
 * The directory of a zip archive (APPNOTE.TXT, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT), which is
 * what torch.save and torch.jit.save write. Only positions are read: tensors lie in the archive uncompressed, so one
 * can be read from its position, while the libraries on npm give streams of whole files.
 */
import { fstatSync, readSync } from "node:fs";
import { shortName } from "../util/escape";

/** Where the bytes of a file lie in the archive. */
type ZipEntry = { begin: number; size: number; compressed: boolean };

const largestDirectory = 64 * 2 ** 20;

/**
 * The files of an open archive by name.
 * @throws where the archive is cut short or encrypted, or names a file twice or outside of itself
 */
export function zipEntries(file: number, path: string): Map<string, ZipEntry> {
  const size = fstatSync(file).size;
  const fail = (what: string): never => {
    throw new Error(`${path} is not a whole torch file (a zip archive): ${what}`);
  };
  const read = (position: number, length: number): Buffer => {
    if (!(position >= 0) || !(length >= 0) || position + length > size) fail("it is cut short. Fetch it again");
    const buffer = Buffer.alloc(length);
    readSync(file, buffer, 0, length, position);
    return buffer;
  };
  const tail = read(Math.max(0, size - 65_557), Math.min(size, 65_557));
  const end = tail.lastIndexOf("PK\x05\x06", undefined, "latin1");
  if (end < 0) fail("its directory is missing. Fetch it again");
  let count = tail.readUInt16LE(end + 10);
  let length = tail.readUInt32LE(end + 12);
  let start = tail.readUInt32LE(end + 16);
  if (count === 0xffff || length === 0xffffffff || start === 0xffffffff) {
    const locator = end - 20;
    if (locator < 0 || tail.readUInt32LE(locator) !== 0x07064b50) fail("its zip64 directory is missing");
    const record = read(Number(tail.readBigUInt64LE(locator + 8)), 56);
    count = Number(record.readBigUInt64LE(32));
    length = Number(record.readBigUInt64LE(40));
    start = Number(record.readBigUInt64LE(48));
  }
  if (length > largestDirectory) fail(`a directory of ${length} bytes`);
  const directory = read(start, length);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > directory.length || directory.readUInt32LE(at) !== 0x02014b50) fail("its directory is damaged");
    const flags = directory.readUInt16LE(at + 8);
    const method = directory.readUInt16LE(at + 10);
    let stored = directory.readUInt32LE(at + 20);
    let bytes = directory.readUInt32LE(at + 24);
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((k) => directory.readUInt16LE(at + k));
    let header = directory.readUInt32LE(at + 42);
    const name = directory.toString("utf8", at + 46, at + 46 + nameLength);
    const extra = directory.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength);
    for (let k = 0; k + 4 <= extra.length; k += 4 + extra.readUInt16LE(k + 2)) {
      if (extra.readUInt16LE(k) !== 1) continue;
      let field = k + 4; // Zip64: only the fields that overflow, in this order.
      for (const which of ["bytes", "stored", "header"]) {
        const overflows = {
          bytes: bytes === 0xffffffff,
          stored: stored === 0xffffffff,
          header: header === 0xffffffff,
        }[which];
        if (!overflows || field + 8 > extra.length) continue;
        const value = Number(extra.readBigUInt64LE(field));
        if (which === "bytes") bytes = value;
        if (which === "stored") stored = value;
        if (which === "header") header = value;
        field += 8;
      }
    }
    at += 46 + nameLength + extraLength + commentLength;
    if (flags & 1) fail(`"${shortName(name)}" is encrypted`);
    if (/^([\\/]|[A-Za-z]:)/.test(name) || name.split(/[\\/]/).includes("..")) {
      fail(`"${shortName(name)}" lies outside of the archive`);
    }
    if (entries.has(name)) fail(`"${shortName(name)}" is in it twice`);
    const local = read(header, 30);
    if (local.readUInt32LE(0) !== 0x04034b50) fail(`the header of "${shortName(name)}" is damaged`);
    const begin = header + 30 + local.readUInt16LE(26) + local.readUInt16LE(28);
    if (method === 0 && stored !== bytes)
      fail(`"${shortName(name)}" has ${bytes} bytes and takes ${stored} uncompressed`);
    if (method === 0 && begin + bytes > size) fail(`"${shortName(name)}" is cut short. Fetch it again`);
    entries.set(name, { begin, size: bytes, compressed: method !== 0 });
  }
  return entries;
}
