/** Files that would run code, fill the memory or never end are refused with the reason. test/clip/layouts.test.ts has more. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openTorch } from "../../src/io/torchFile";
import { temporaryFolder } from "../temporary";
import { type ZipFile, zipOf } from "../zipOf";

const folder = temporaryFolder("hostile");

/** Opens an archive, and reads all of its tensors. @returns their names */
function readAll(...files: ZipFile[]): string[] {
  const path = join(folder, "model.pth.tar-1");
  writeFileSync(path, zipOf(...files));
  const file = openTorch(path);
  try {
    for (const name of file.names) file.read(name);
    return file.names;
  } finally {
    file.close();
  }
}

const pickled = (...parts: string[]): ZipFile => ({
  name: "archive/data.pkl",
  content: Buffer.from(`\x80\x02${parts.join("")}.`, "latin1"),
});
const uint32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes.toString("latin1");
};
const text = (value: string) => `X${uint32(value.length)}${value}`;
const int = (value: number) => `J${uint32(value >>> 0)}`;
/** The dictionary {"a": tensor} of a storage "0" that has `elements` numbers. */
const tensor = (elements: number, shape: number[], stride: number[], offset = 0) => {
  const storage = `(${text("storage")}ctorch\nFloatStorage\n${text("0")}${text("cpu")}${int(elements)}tQ`;
  const sizes = (values: number[]) => `(${values.map(int).join("")}t`;
  return `}${text("a")}ctorch._utils\n_rebuild_tensor_v2\n(${storage}${int(offset)}${sizes(shape)}${sizes(stride)}\x89)tRs`;
};
const numbers = (count: number): ZipFile => ({ name: "archive/data/0", content: Buffer.alloc(4 * count) });

describe("pickles", () => {
  it.each([
    ["a call of eval", `cbuiltins\neval\n${text("1")}\x85R`, /it would call builtins\.eval, which is not allowed/],
    ["a call of getattr", `c__builtin__\ngetattr\n)R`, /it would call __builtin__\.getattr, which is not allowed/],
    ["a function whose name is on the stack", `${text("os")}${text("system")}\x93`, /it would call os\.system/],
    ["a function whose name is a list", `]${text("system")}\x93`, /names a function by what is no text/],
    ["a property of JavaScript's objects as a type", "ctorch\nconstructor\n", /it would call torch\.constructor/],
    ["an object that is not in the memo", "}h\x05", /takes object 5 from its memo, which is not there/],
    ["a mark instead of a value", `}${text("a")}(s`, /a mark stands where a value is wanted/],
    [
      "dictionaries nested 100,000 deep",
      `}${`${text("a")}}`.repeat(99_999)}${"s".repeat(99_999)}`,
      /is nested too deep/,
    ],
    [
      "dictionaries that hold one another twice, 2^30 in all",
      `}q\x00${Array.from({ length: 30 }, (_, i) => {
        const [inner, own] = [String.fromCharCode(i), String.fromCharCode(i + 1)];
        return `}q${own}(${text("a")}h${inner}${text("b")}h${inner}u`;
      }).join("")}`,
      /holds more than 200000 values/,
    ],
    ["more than 4 MB", "}".repeat(5 * 2 ** 20), /"archive\/data\.pkl" has \d+ bytes; at most 4194304 are read/],
  ])("%s", (_, program, message) => {
    expect(() => readAll(pickled(program))).toThrow(message);
  });

  it.each([
    ["lists nested 100,000 deep", "]".repeat(100_000) + "a".repeat(99_999)],
    ["a list that contains itself", "]q\x00h\x00a"],
    ["a list of 300,000 numbers in one piece", `](${"K\x01".repeat(300_000)}e`],
    [
      "a device whose name would be joined from 2^30 parts",
      `]q\x00${Array.from({ length: 30 }, (_, i) => {
        const [inner, own] = [String.fromCharCode(i), String.fromCharCode(i + 1)];
        return `]q${own}(h${inner}h${inner}e`;
      }).join("")}ctorch\ndevice\nh\x1e\x85R`,
    ],
  ])("%s: no tensors, and no harm", (_, program) => {
    expect(readAll(pickled(program))).toEqual([]);
  });

  it("objects of torch.optim are not made, and hold no tensors", () => {
    expect(readAll(pickled(`}${text("a")}ctorch.optim.sgd\nSGD\n)\x81}bs`))).toEqual([]);
  });
});

describe("tensors", () => {
  it("of a storage as it is", () => {
    expect(readAll(pickled(tensor(6, [2, 3], [3, 1])), numbers(6))).toEqual(["a"]);
  });

  it.each([
    [
      "a storage that is larger than its file",
      tensor(2_000_000_000, [2], [1]),
      /8000000000 bytes are wanted, they are 24 bytes/,
    ],
    ["a shape beyond its storage", tensor(6, [7], [1]), /shape \[7\] reaches beyond its storage of 6 numbers/],
    ["an offset beyond its storage", tensor(6, [1], [1], 6), /reaches beyond its storage of 6 numbers/],
    [
      "10^18 numbers out of one, by strides of zero",
      tensor(1, [1e9, 1e9], [0, 0]),
      /reaches beyond its storage of 1 numbers/,
    ],
    ["a negative size", tensor(6, [-1], [1]), /has no storage, offset, shape or stride/],
  ])("%s", (_, program, message) => {
    expect(() => readAll(pickled(program), numbers(6))).toThrow(message);
  });
});

describe("archives", () => {
  const whole = pickled(tensor(6, [6], [1]));
  it.each([
    [
      "an absolute path",
      [whole, { ...numbers(6), name: "/etc/passwd" }],
      /"\/etc\/passwd" lies outside of the archive/,
    ],
    ["an absolute path of Windows", [whole, { ...numbers(6), name: "C:\\a" }], /"C:\\a" lies outside of the archive/],
    ["a path that leads out", [whole, { ...numbers(6), name: "archive/../../a" }], /lies outside of the archive/],
    ["a name twice", [whole, numbers(6), numbers(6)], /"archive\/data\/0" is in it twice/],
    ["a size beyond the file", [whole, { ...numbers(6), packed: 3e9 }], /"archive\/data\/0" is cut short/],
    [
      "two sizes of what is not packed",
      [whole, { ...numbers(6), unpacked: 20 }],
      /has 20 bytes and takes 24 uncompressed/,
    ],
    [
      "numbers that would unpack to 4 GB",
      [whole, { ...numbers(6), method: 8, unpacked: 4e9 }],
      /24 bytes are wanted, they are compressed/,
    ],
    [
      "a pickle that would unpack to 4 GB",
      [{ ...whole, method: 8, unpacked: 4e9 }],
      /"archive\/data\.pkl" is compressed/,
    ],
    ["no pickle", [numbers(6)], /without data\.pkl: it was not written by torch\.save/],
    ["no numbers", [whole], /24 bytes are wanted, they are not there/],
  ] as [string, ZipFile[], RegExp][])("%s", (_, files, message) => {
    expect(() => readAll(...files)).toThrow(message);
  });
});
