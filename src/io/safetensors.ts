/**
 * The safetensors file format (https://github.com/huggingface/safetensors): 8 bytes little-endian header length, a JSON
 * header `{name: {dtype, shape, data_offsets: [begin, end]}, "__metadata__": {...}}`, then the tensors' bytes. Offsets
 * count from the end of the header; together the tensors cover the data without gaps or overlaps.
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { writeAtomic } from "./atomicWrite";
import { canonical } from "./json";
import { bytesOfType, readBytes, type Stored, type TensorFile, widen } from "./tensors";

export type { Stored } from "./tensors";

type Entry = { dtype: string; shape: number[]; begin: number; end: number };

/** The format's own limit, against a corrupt length field. */
const longestHeader = 100_000_000;

export type SafetensorsFile = TensorFile & { metadata: Record<string, string> };

/**
 * Opens a file and checks all of its header before any number is read.
 * @throws naming the file and what is wrong with it.
 */
export function openSafetensors(path: string): SafetensorsFile {
  const file = openSync(path, "r");
  try {
    const size = fstatSync(file).size;
    const { start, metadata, entries } = readHeader(file, size, path);
    const entry = (name: string) => {
      const found = entries.get(name);
      if (!found) throw new Error(`${path}: no tensor "${name}"`);
      return found;
    };
    return {
      path,
      metadata,
      names: [...entries.keys()],
      shape: (name) => entry(name).shape,
      dtype: (name) => entry(name).dtype,
      read: (name) => {
        const { dtype, shape, begin, end } = entry(name);
        return {
          shape,
          data: widen(readBytes(file, start + begin, end - begin, path), dtype, `${path}: tensor "${name}"`),
        };
      },
      close: () => closeSync(file),
    };
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

/** All tensors of a small file. */
export function readSafetensors(path: string): { tensors: Record<string, Stored>; metadata: Record<string, string> } {
  const file = openSafetensors(path);
  try {
    return { tensors: Object.fromEntries(file.names.map((name) => [name, file.read(name)])), metadata: file.metadata };
  } finally {
    file.close();
  }
}

/** Writes float32 tensors completely or not at all, and creates the folder. */
export function writeSafetensors(
  path: string,
  tensors: Record<string, Stored>,
  metadata: Record<string, string> = {},
): void {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype: "F32", shape, data_offsets: [offset, (offset += 4 * data.length)] };
  }
  const text = Buffer.from(JSON.stringify(header));
  const padding = (8 - (text.length % 8)) % 8; // tensors start at a multiple of 8 bytes
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length + padding));
  const parts = Object.values(tensors).map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  writeAtomic(path, Buffer.concat([length, text, Buffer.alloc(padding, " "), ...parts]));
}

/** SHA-256 of the metadata (without `sha256`) and of the tensors' names, shapes and bytes. */
export function checksum(metadata: Record<string, string>, tensors: Record<string, Stored>): string {
  const hash = createHash("sha256").update(canonical({ ...metadata, sha256: undefined }));
  for (const name of Object.keys(tensors).sort()) {
    const { shape, data } = tensors[name];
    hash.update(canonical([name, shape])).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}

/** Writes a file with its checksum in the metadata (`sha256`), for files that the kit reads again. */
export function writeSealed(path: string, tensors: Record<string, Stored>, metadata: Record<string, string>): void {
  writeSafetensors(path, tensors, { ...metadata, sha256: checksum(metadata, tensors) });
}

/** Reads a file of `writeSealed`. @throws where its checksum does not fit */
export function readSealed(path: string): ReturnType<typeof readSafetensors> {
  const content = readSafetensors(path);
  const sum = checksum(content.metadata, content.tensors);
  if (content.metadata.sha256 !== sum)
    throw new Error(`${path} is damaged: its checksum is ${sum}, not ${content.metadata.sha256}`);
  return content;
}

/** sha256 of a file's bytes, in hexadecimal. */
export function fileHash(path: string): string {
  const file = openSync(path, "r");
  try {
    const hash = createHash("sha256");
    const chunk = Buffer.alloc(1 << 22);
    for (let n = readSync(file, chunk); n > 0; n = readSync(file, chunk)) hash.update(chunk.subarray(0, n));
    return hash.digest("hex");
  } finally {
    closeSync(file);
  }
}

function readHeader(file: number, size: number, path: string) {
  const fail = (what: string): never => {
    throw new Error(`${path} is not a whole safetensors file: ${what}. Fetch it again`);
  };
  if (size < 8) fail(`${size} bytes, shorter than the 8 bytes of the header's length`);
  const length = Number(readBytes(file, 0, 8, path).readBigUInt64LE());
  if (length > longestHeader) fail(`a header of ${length} bytes (at most ${longestHeader} are allowed)`);
  if (8 + length > size) fail(`a header of ${length} bytes in a file of ${size}`);
  const text = readBytes(file, 8, length, path).toString("utf8");
  let header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> = {};
  try {
    header = JSON.parse(text);
  } catch (error) {
    fail(`its header is not JSON (${(error as Error).message})`);
  }
  if (header === null || typeof header !== "object" || Array.isArray(header)) fail("its header is not an object");
  const start = 8 + length;
  const entries = new Map<string, Entry>();
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { dtype, shape, data_offsets: offsets } = value ?? {};
    const whole = (list: unknown): list is number[] =>
      Array.isArray(list) && list.every((n) => Number.isSafeInteger(n) && n >= 0);
    if (typeof dtype !== "string" || !whole(shape) || !whole(offsets) || offsets.length !== 2)
      fail(`tensor "${name}" lacks a shape, offsets or a type`);
    const quantised = /^F([468])_/.exec(dtype);
    if (quantised)
      fail(
        `it holds FP${quantised[1]} weights (tensor "${name}", ${dtype}): take the model's float32, float16 or bfloat16 file`,
      );
    if (!Object.hasOwn(bytesOfType, dtype))
      fail(`tensor "${name}" has the type ${dtype}; known are ${Object.keys(bytesOfType).join(", ")}`);
    const [begin, end] = offsets;
    const wanted = shape.reduce((a, b) => a * b, bytesOfType[dtype]);
    if (end - begin !== wanted)
      fail(`tensor "${name}" of shape [${shape}] and type ${dtype} needs ${wanted} bytes, has ${end - begin}`);
    if (start + end > size) fail(`tensor "${name}" ends at byte ${start + end} of ${size}`);
    entries.set(name, { dtype, shape, begin, end });
  }
  let covered = 0;
  for (const [name, { begin, end }] of [...entries].sort((a, b) => a[1].begin - b[1].begin || a[1].end - b[1].end)) {
    if (begin !== covered) fail(`tensor "${name}" starts at ${begin}, the one before it ends at ${covered}`);
    covered = end;
  }
  if (start + covered !== size) fail(`its tensors end at byte ${start + covered} of ${size}`);
  return { start, entries, metadata: (header.__metadata__ ?? {}) as unknown as Record<string, string> };
}
