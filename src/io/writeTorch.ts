/**
 * Writes a checkpoint as torch.save does (torch/serialization.py): a zip archive of a pickle, `data.pkl`, and one file
 * of numbers for each tensor, uncompressed. `torch.load` takes it with `weights_only=True`.
 */
import { writeAtomic } from "./atomicWrite";
import type { Stored } from "./tensors";

/** torch aligns what it stores to this many bytes, so that a file can be mapped into memory. */
const alignment = 64;

/**
 * Writes the dictionary `{"state_dict": OrderedDict(tensors), ...others}`, completely or not at all.
 * @param others whole numbers of 32 bits, or null for None
 */
export function writeTorch(
  path: string,
  tensors: Record<string, Stored>,
  others: Record<string, number | null> = {},
): void {
  const files: [name: string, content: Buffer][] = [
    ["data.pkl", pickle(tensors, others)],
    ["byteorder", Buffer.from("little")],
    ...Object.values(tensors).map(({ data }, k): [string, Buffer] => [
      `data/${k}`,
      Buffer.from(data.buffer, data.byteOffset, data.byteLength),
    ]),
    ["version", Buffer.from("3\n")],
  ];
  writeAtomic(path, zip(files.map(([name, content]) => [`archive/${name}`, content])));
}

/** The pickle (protocol 2) of the dictionary; a tensor's numbers are named by a persistent id. */
function pickle(tensors: Record<string, Stored>, others: Record<string, number | null>): Buffer {
  const number = (value: number): Buffer => {
    const bytes = Buffer.alloc(5);
    bytes.write("J"); // BININT
    bytes.writeInt32LE(value, 1);
    return bytes;
  };
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    return Buffer.concat([Buffer.from("X"), length, bytes]); // BINUNICODE
  };
  const global = (module: string, name: string) => Buffer.from(`c${module}\n${name}\n`);
  const tuple = (...parts: Buffer[]) => Buffer.concat([Buffer.from("("), ...parts, Buffer.from("t")]);
  const orderedDict = Buffer.concat([global("collections", "OrderedDict"), Buffer.from(")R")]); // EMPTY_TUPLE, REDUCE
  const tensor = ({ shape, data }: Stored, key: number): Buffer => {
    const strides = shape.map((_, d) => shape.slice(d + 1).reduce((a, b) => a * b, 1));
    const storage = tuple(
      text("storage"),
      global("torch", "FloatStorage"),
      text(`${key}`),
      text("cpu"),
      number(data.length),
    );
    const args = tuple(
      Buffer.concat([storage, Buffer.from("Q")]), // BINPERSID
      number(0),
      tuple(...shape.map(number)),
      tuple(...strides.map(number)),
      Buffer.of(0x89), // requires_grad: NEWFALSE
      orderedDict,
    );
    return Buffer.concat([global("torch._utils", "_rebuild_tensor_v2"), args, Buffer.from("R")]);
  };
  const items = (entries: [string, Buffer][]) =>
    Buffer.concat([
      Buffer.from("("),
      ...entries.flatMap(([name, value]) => [text(name), value]),
      Buffer.from("u"), // SETITEMS
    ]);
  const stateDict = items(Object.entries(tensors).map(([name, stored], key) => [name, tensor(stored, key)]));
  const rest = Object.entries(others).map(([name, value]): [string, Buffer] => [
    name,
    value === null ? Buffer.from("N") : number(value),
  ]);
  return Buffer.concat([
    Buffer.from("\x80\x02}", "latin1"),
    items([["state_dict", Buffer.concat([orderedDict, stateDict])], ...rest]),
    Buffer.from("."),
  ]);
}

/** A zip archive of uncompressed files (APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16). */
function zip(files: [name: string, content: Buffer][]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, content] of files) {
    // What the header of a file and its line in the directory share: from the version to the name's length.
    const common = Buffer.alloc(24);
    common.writeUInt16LE(0x21, 8); // 1980-01-01, the first day that zip knows: the same prompts give the same bytes
    common.writeUInt32LE(crc32(content), 10);
    common.writeUInt32LE(content.length, 14);
    common.writeUInt32LE(content.length, 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    const start = offset + 30 + Buffer.byteLength(name) + 4;
    const padding = Buffer.alloc((alignment - (start % alignment)) % alignment, "Z");
    const extra = Buffer.concat([Buffer.from("FB"), uint16(padding.length), padding]); // torch's own padding field
    const local = [Buffer.from("PK\x03\x04"), common, uint16(extra.length), Buffer.from(name), extra, content];
    const end = Buffer.alloc(16); // no extra field, no comment, first disk, no attributes, where the file begins
    end.writeUInt32LE(offset, 12);
    directory.push(Buffer.from("PK\x01\x02"), uint16(0), common, end, Buffer.from(name));
    parts.push(...local);
    offset += local.reduce((sum, { length }) => sum + length, 0);
  }
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(
    directory.reduce((sum, { length }) => sum + length, 0),
    12,
  );
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, ...directory, end]);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

/** CRC-32 as zip has it; node:zlib has it from Node 20.15 on only. */
function crc32(bytes: Buffer): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
