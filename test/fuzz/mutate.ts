/** Damaged files: real ones with a few random changes. The same seed gives the same files. */
import type { Random } from "../../src/util/random";

const numbers = [0, 1, 2, 3, 7, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];

/** Values that a JSON file may hold where another was meant. */
const strangers: unknown[] = [
  ...[null, true, false, 0, -1, 1.5, 1e308, 2 ** 53, 2 ** 31, "", "x", "../x", "/etc/passwd", "\0", "__proto__", "{}"],
  ...[[], {}, [[]], [0, 0, 0], { length: 1e9 }, { a: { b: 1 } }, "9".repeat(400), "\ud800", [null]],
];

function changeBytes(bytes: Buffer, random: Random, others: Buffer[]): Buffer {
  const at = random.int(bytes.length + 1);
  const length = random.int(Math.min(64, bytes.length - at) + 1);
  const [before, part, after] = [bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at + length)];
  const noise = () => Buffer.from(Array.from({ length: 1 + random.int(16) }, () => random.int(256)));
  switch (random.int(8)) {
    case 0: // one bit
      if (at < bytes.length) bytes[at] ^= 1 << random.int(8);
      return bytes;
    case 1: {
      // a number of 1, 2, 4 or 8 bytes, in either order
      const size = random.pick([1, 2, 4, 8]);
      if (at + size > bytes.length) return before;
      const number = Buffer.alloc(8);
      number.writeBigUInt64LE(BigInt(random.pick([...numbers, bytes.length, bytes.length - 1])));
      const own = number.subarray(0, size);
      bytes.set(random.int(2) ? own : own.reverse(), at);
      return bytes;
    }
    case 2:
      return Buffer.concat([before, after]);
    case 3:
      return Buffer.concat([before, part, part, after]);
    case 4:
      return Buffer.concat([before, noise(), part, after]);
    case 5:
      return random.int(4) ? Buffer.concat([before, noise(), after]) : before;
    case 6: {
      const other = random.pick(others);
      const from = random.int(other.length + 1);
      return Buffer.concat([before, other.subarray(from, from + 1 + random.int(256)), after]);
    }
    default:
      return Buffer.concat([after, part, before]);
  }
}

/** Replaces, removes or nests one value of a JSON text. */
function changeJson(text: string, random: Random): string {
  const root: unknown = JSON.parse(text);
  const places: [parent: any, key: string | number][] = [];
  const visit = (value: unknown) => {
    if (value === null || typeof value !== "object" || places.length > 2000) return;
    for (const key of Object.keys(value)) {
      places.push([value, key]);
      visit((value as any)[key]);
    }
  };
  visit(root);
  if (places.length === 0 || random.int(40) === 0) return JSON.stringify(random.pick(strangers));
  const [parent, key] = random.pick(places);
  switch (random.int(6)) {
    case 0:
      if (Array.isArray(parent)) parent.splice(Number(key), 1);
      else delete parent[key];
      break;
    case 1: // what stands at another place
      {
        const [other, name] = random.pick(places);
        parent[key] = JSON.parse(JSON.stringify(other[name]));
      }
      break;
    case 2:
      parent[key] = [parent[key]];
      break;
    case 3: {
      const depth = random.int(50) === 0 ? 300 : 2;
      parent[key] = JSON.parse("[".repeat(depth) + "]".repeat(depth));
      break;
    }
    default:
      parent[key] = random.pick(strangers);
  }
  const result = JSON.stringify(root);
  // Nested deeper than any reader that calls itself can follow.
  const depth = random.int(200) === 0 ? 50_000 : 0;
  return "[".repeat(depth) + result + (random.int(2) ? "]".repeat(depth) : "");
}

/** Whether it is JSON that `changeJson` can follow; what is nested without end is changed as bytes. */
const isJson = (bytes: Buffer) => {
  try {
    const content = bytes.toString("utf8");
    return !/\[{500}/.test(content) && typeof JSON.parse(content) === "object";
  } catch {
    return false;
  }
};

/** The header of a safetensors file changed as JSON, with its length set right. */
function changeHeader(bytes: Buffer, random: Random): Buffer {
  const length = bytes.length > 8 ? Number(bytes.readBigUInt64LE()) : 0;
  const header = bytes.subarray(8, 8 + length);
  if (!isJson(header)) return bytes;
  const changed = Buffer.from(changeJson(header.toString("utf8"), random));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(changed.length));
  return Buffer.concat([size, changed, bytes.subarray(8 + length)]);
}

/** One of the files with 1 to 6 changes, of its bytes or of its structure. */
export function damaged(files: Buffer[], random: Random): Buffer {
  let bytes: Buffer = Buffer.from(random.pick(files));
  const structured = random.int(3) > 0;
  for (let k = 1 + random.int(random.int(2) ? 2 : 6); k > 0; k--) {
    if (structured && isJson(bytes)) bytes = Buffer.from(changeJson(bytes.toString("utf8"), random));
    else if (structured && bytes[8] === 0x7b) bytes = changeHeader(bytes, random);
    else bytes = changeBytes(bytes, random, files);
  }
  return bytes;
}
