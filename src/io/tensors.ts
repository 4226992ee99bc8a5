/**
 * Tensors in files, whatever the format: names, shapes and dtypes are known at once, the numbers are read on demand.
 */
import { readSync } from "node:fs";

/** A tensor as a file holds it, widened to float32. */
export type Stored = { shape: number[]; data: Float32Array };

/** An open file of tensors. */
export type TensorFile = {
  path: string;
  names: string[];
  shape(name: string): number[];
  /** In safetensors' words: F32, F16, BF16, F64, I64 ... */
  dtype(name: string): string;
  /** Widens float16 and bfloat16 to float32, and 64-, 32- and unsigned 8-bit integers to the nearest float32. */
  read(name: string): Stored;
  close(): void;
};

/** Bytes of a number of each type. */
export const bytesOfType: Record<string, number> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

/** A part of an open file, in memory of its own, so that typed arrays over it are aligned. */
export function readBytes(file: number, position: number, length: number, path: string): Buffer {
  const buffer = Buffer.from(new ArrayBuffer(length));
  let done = 0;
  while (done < length) {
    const n = readSync(file, buffer, done, Math.min(length - done, 1 << 30), position + done);
    if (n === 0) throw new Error(`${path} ended while it was read`);
    done += n;
  }
  return buffer;
}

/** A tensor's numbers. @throws where one of them is not finite, naming the tensor and its place */
export function readFinite(file: TensorFile, name: string): Stored {
  const stored = file.read(name);
  const { data } = stored;
  let zero = 0; // 0 times NaN or an infinity is NaN; this is ten times faster than a test of each number.
  for (let i = 0; i < data.length; i++) zero += 0 * data[i];
  if (zero === 0) return stored;
  const wrong = data.findIndex((value) => !Number.isFinite(value));
  throw new Error(
    `${file.path}: tensor "${name}" [${stored.shape}] holds ${stored.data[wrong]} at index ${wrong}: ` +
      "the file is damaged. Fetch it again",
  );
}

/** The bytes of numbers of one type as float32; they must be aligned to the size of a number. */
export function widen(bytes: Buffer, dtype: string, what: string): Float32Array {
  const memory = bytes.buffer as ArrayBuffer;
  switch (dtype) {
    case "F32":
      return new Float32Array(memory);
    case "F64":
      return Float32Array.from(new Float64Array(memory));
    case "F16":
      return widenHalf(new Uint16Array(memory));
    case "BF16":
      return widenBrain(new Uint16Array(memory));
    case "I64":
      return Float32Array.from(new BigInt64Array(memory), Number);
    case "I32":
      return Float32Array.from(new Int32Array(memory));
    case "U8":
      return Float32Array.from(bytes);
    default:
      throw new Error(`${what} has the type ${dtype}, which holds no weights; expected F32, F16 or BF16`);
  }
}

/** bfloat16 is the upper half of a float32. */
function widenBrain(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i] << 16;
  return new Float32Array(bits.buffer);
}

/** IEEE 754 binary16: sign 1, exponent 5 (bias 15), fraction 10 bits; a table of all 65,536 values. */
function widenHalf(halves: Uint16Array): Float32Array {
  halfTable ??= Float32Array.from({ length: 65536 }, (_, h) => {
    const sign = h & 0x8000 ? -1 : 1;
    const exponent = (h >> 10) & 31;
    const fraction = h & 1023;
    if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
  });
  const table = halfTable;
  const out = new Float32Array(halves.length);
  for (let i = 0; i < out.length; i++) out[i] = table[halves[i]];
  return out;
}
let halfTable: Float32Array | undefined;
