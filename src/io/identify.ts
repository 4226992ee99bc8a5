/** Says what a file is from its first bytes, so that an error can name what came instead of what was wanted. */
import { type BigIntStats, closeSync, openSync, readSync, realpathSync, statSync } from "node:fs";
import { sep } from "node:path";

export type FileKind =
  | "missing"
  | "folder"
  | "empty"
  | "html"
  | "lfs"
  | "safetensors"
  | "torch"
  | "oldTorch"
  | "pickle"
  | "json"
  | "picture"
  | "archive"
  | "unknown";

/** In words that follow "is". */
export const kindWords: Record<FileKind, string> = {
  missing: "not there",
  folder: "a folder",
  empty: "an empty file",
  html: "an HTML page, not the file itself: the download needs another address, or a login",
  lfs: "a Git LFS pointer, not the file itself: run `git lfs pull` in its repository, or download the file",
  safetensors: "a safetensors file",
  torch: "a file of torch.save or torch.jit.save",
  oldTorch: "a file of torch before 1.6: load it with torch.load and save it again with torch.save",
  pickle: "a pickle",
  json: "a JSON file",
  picture: "a picture",
  archive: "a packed archive: unpack it first",
  unknown: "a file of no kind that is known here",
};

/** The magic number that torch pickled first, 0x1950a86a20f9469cfc6c, as it lies in a file. */
const oldTorchMagic = Buffer.of(0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19);

/** How the names of pictures end, in words. */
export const pictureNames = ".jpg, .png, .bmp, .webp, .gif, .tif";

/** Whether a file has the name of a picture that `decode` reads. */
export const isPictureName = (name: string): boolean => /\.(jpe?g|png|bmp|webp|gif|tiff?)$/i.test(name);

/** The metadata of a file or folder; undefined where there is none, or where none can have this name. */
export function fileStats(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (["ENAMETOOLONG", "ERR_INVALID_ARG_VALUE", "ELOOP", "ENOTDIR"].includes(code ?? "")) return undefined;
    throw error;
  }
}

/** Whether a file is there and lies inside a folder, links followed. `root` is the folder's real path. */
export const isFileInside = (file: string, root: string): boolean =>
  Boolean(fileStats(file)?.isFile()) && realpathSync(file).startsWith(root + sep);

const starts = (bytes: Buffer, ...values: number[]) => values.every((value, i) => bytes[i] === value);

/** @throws only where the file is there and may not be read */
export function identify(path: string): FileKind {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) return "missing";
  if (stats.isDirectory()) return "folder";
  const bytes = Buffer.alloc(Math.min(512, stats.size));
  const file = openSync(path, "r");
  try {
    readSync(file, bytes, 0, bytes.length, 0);
  } finally {
    closeSync(file);
  }
  return identifyBytes(bytes, stats.size);
}

/** What a file of `size` bytes is that begins with these. */
export function identifyBytes(bytes: Buffer, size: number): FileKind {
  if (size === 0) return "empty";
  const text = bytes
    .subarray(0, 512)
    .toString("latin1")
    .replace(/^\xef\xbb\xbf/, "")
    .trimStart();
  if (/^<(!doctype|html|\?xml|head)/i.test(text)) return "html";
  if (text.startsWith("version https://git-lfs.github.com/")) return "lfs";
  // Before all formats that are known by their first bytes: here these are a length, which may be any.
  if (bytes.length > 8 && bytes[8] === 0x7b && bytes.readBigUInt64LE(0) < BigInt(size)) return "safetensors";
  if (starts(bytes, 0x50, 0x4b, 3, 4)) return "torch";
  if (starts(bytes, 0x80) && bytes.includes(oldTorchMagic)) return "oldTorch";
  if (starts(bytes, 0x80) && bytes[1] >= 2 && bytes[1] <= 5) return "pickle";
  if (starts(bytes, 0xff, 0xd8, 0xff) || starts(bytes, 0x89, 0x50, 0x4e, 0x47) || text.startsWith("GIF8"))
    return "picture";
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") return "picture";
  if (starts(bytes, 0x42, 0x4d) || text.startsWith("II*\0") || text.startsWith("MM\0*")) return "picture";
  if (starts(bytes, 0x1f, 0x8b) || text.startsWith("BZh") || text.startsWith("7z\xbc\xaf")) return "archive";
  if (/^[{["]/.test(text)) return "json";
  return "unknown";
}
