/** What is said of a disk that cannot be written to, and how much room it has. */
import * as fs from "node:fs";
import { basename, dirname, resolve } from "node:path";

const problems: Record<string, string> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EFBIG: "a file may not be that large here (ulimit -f)",
  EROFS: "the disk is read-only",
  EACCES: "this user may not write there",
  EPERM: "nobody may write there",
  ENOTDIR: "a part of its path is a file",
  EEXIST: "a file of this name is in its place",
  ENOENT: "its folder cannot be made or was removed",
  ENAMETOOLONG: "its name is too long",
  EIO: "the disk fails",
};

/** Nothing can be written to a folder: the disk is full, read-only or failing. It would stop every other file as well. */
export class DiskError extends Error {}

/** Bytes as a person reads them: 1.5 GB, 12.0 MB, 0.3 kB. */
export function bytesText(bytes: number): string {
  const [unit, name] = bytes >= 1e9 ? [1e9, "GB"] : bytes >= 1e6 ? [1e6, "MB"] : [1e3, "kB"];
  return `${(bytes / unit).toFixed(1)} ${name}`;
}

/** The folder itself or, where it does not exist yet, the nearest folder above it. */
function existing(folder: string): string {
  const path = resolve(folder);
  return fs.existsSync(path) ? path : existing(dirname(path));
}

/** Bytes that this user can still write to the disk of a folder, which need not exist yet. A quota is not known. */
export function freeBytes(folder: string): number {
  const { bavail, bsize } = fs.statfsSync(existing(folder));
  return bavail * bsize;
}

/**
 * The DiskError that tells of a failed write: which folder, how much is needed and free. Errors of another kind are
 * returned as they are.
 * @param needed bytes that were to be written
 */
export function diskError(error: unknown, file: string, needed?: number): unknown {
  const problem = problems[(error as NodeJS.ErrnoException)?.code ?? ""];
  if (problem === undefined || error instanceof DiskError) return error;
  const folder = dirname(resolve(file));
  const room = needed === undefined ? "" : `${bytesText(needed)} are needed, `;
  return new DiskError(
    `${folder}: ${basename(file)} cannot be written, ${problem} (${room}${bytesText(freeBytes(folder))} are free)`,
  );
}

const isFolder = (path: string): boolean => fs.existsSync(path) && fs.statSync(path).isDirectory();

/**
 * Creates a folder and those above it, unless they exist; one by one, because Node's own `recursive` says ENOENT of a
 * parent where the disk is read-only, and never returns where no folder can be made, as in /proc.
 * @throws DiskError
 */
export function makeFolder(folder: string): void {
  const path = resolve(folder);
  if (isFolder(path)) return;
  if (dirname(path) !== path) makeFolder(dirname(path));
  try {
    fs.mkdirSync(path);
  } catch (error) {
    if (isFolder(path)) return; // another process was faster
    throw diskError(error, path);
  }
}
