/**
 * Pictures of one's own as a CSV table with the header `path,label`, or `path,label,part`: a picture in each line, its
 * path below the table's folder, its class name, and the part that it belongs to (train, val or test). Without parts,
 * the pictures of each class are split at random, as those of a folder (photoFolder.ts).
 */
import fs from "node:fs";
import path from "node:path";
import { parse } from "csv-parse/sync";
import { fileStats, isFileInside } from "../io/identify";
import { oneOf, UsageError } from "../util/errors";
import { byCodePoint } from "../util/order";
import type { Item, Lists } from "./lists";
import { drawParts, seedOf } from "./photoFolder";

const columns = ["path", "label", "part"] as const;

/** The name of the split of a table that has parts. */
export const listedSplit = "lists";

/** A line of the table: the fields by column, and its number, counted from 1. */
type Row = { line: number } & Record<(typeof columns)[number], string>;

/** Whether a path has the name of a table. */
export const isTableName = (name: string): boolean => /\.csv$/i.test(name);

/** The fields of every line that is not blank. White space around fields is not part of them. */
function linesOf(text: string, file: string): { record: string[]; line: number }[] {
  try {
    const options = { bom: true, trim: true, info: true, skip_empty_lines: true, relax_column_count: true };
    const records = parse(text, options) as unknown as { record: string[]; info: { lines: number } }[];
    return records.map(({ record, info }) => ({ record, line: info.lines }));
  } catch (error) {
    throw new UsageError(`${file} cannot be read as a CSV table (${(error as Error).message})`);
  }
}

/**
 * The split that a table of a data root has: `listedSplit`, or "seed1" as the first of those that may be drawn;
 * undefined for a file that begins with another header.
 */
export function splitOfTable(file: string): string | undefined {
  const header = fs
    .readFileSync(file, "utf8")
    .replace(/^\ufeff/, "")
    .split(/\r?\n/, 1)[0];
  const names = header.split(",").map((name) => name.trim().replace(/^"(.*)"$/, "$1"));
  if (!names.includes("path") || !names.includes("label")) return undefined;
  return names.includes("part") ? listedSplit : "seed1";
}

/** The lines of a table, checked one by one. @throws UsageError with the number of the line */
function readRows(file: string): { rows: Row[]; hasParts: boolean } {
  if (!fs.statSync(file, { throwIfNoEntry: false })?.isFile()) throw new UsageError(`there is no table ${file}`);
  const [header, ...lines] = linesOf(fs.readFileSync(file, "utf8"), file);
  const names = header?.record ?? [];
  const isKnown = names.every((name) => (columns as readonly string[]).includes(name));
  if (!isKnown || !names.includes("path") || !names.includes("label") || new Set(names).size < names.length) {
    const where = `${file}, line ${header?.line ?? 1}`;
    throw new UsageError(`${where}: expected the header path,label or path,label,part; it is "${names.join(",")}"`);
  }
  const folder = path.dirname(file);
  const root = fs.realpathSync(folder);
  const hasParts = names.includes("part");
  const lineOf = new Map<string, number>();
  const rows = lines.map(({ record, line }): Row => {
    const where = `${file}, line ${line}`;
    if (record.length !== names.length) {
      throw new UsageError(
        `${where}: ${record.length} fields under a header of ${names.length}; a field with a comma needs quotes`,
      );
    }
    const row = {
      path: "",
      label: "",
      part: "",
      line,
      ...Object.fromEntries(names.map((name, k) => [name, record[k]])),
    };
    if (row.path === "") throw new UsageError(`${where}: the path is empty`);
    if (row.label.trim() === "") throw new UsageError(`${where}: the label of ${row.path} is empty`);
    if (hasParts) oneOf(`part in ${where}:`, row.part, ["train", "val", "test"]);
    const place = path.join(folder, row.path);
    const leaves =
      path.isAbsolute(row.path) || /^[a-z]:[\\/]/i.test(row.path) || row.path.split(/[\\/]/).includes("..");
    if (leaves)
      throw new UsageError(`${where}: ${row.path} leaves the table's folder; paths are relative to ${folder}`);
    if (!fileStats(place)?.isFile()) {
      throw new UsageError(`${where}: there is no file ${place}`);
    }
    if (!isFileInside(place, root))
      throw new UsageError(`${where}: ${row.path} is a link that leaves the table's folder`);
    const target = fs.realpathSync(place);
    const other = lineOf.get(target);
    if (other !== undefined) throw new UsageError(`${where}: ${row.path} is the same file as that of line ${other}`);
    lineOf.set(target, line);
    return row;
  });
  if (rows.length === 0) throw new UsageError(`${file} has no picture below its header`);
  return { rows, hasParts };
}

/**
 * The three parts of a table, and the name of its split. Labels are numbered in the order of the class names; pictures
 * stand in the order of the table where it has parts, and are drawn in the order of their paths where not.
 * @throws UsageError where the table has no split of this name
 */
export function tableLists(file: string, split?: string): { lists: Lists; split: string } {
  const { rows, hasParts } = readRows(file);
  const chosen = split ?? (hasParts ? listedSplit : "seed1");
  const classNames = [...new Set(rows.map(({ label }) => label))].sort(byCodePoint);
  const labels = new Map(classNames.map((name, label) => [name, label]));
  const itemOf = (row: Row): Item => ({
    path: path.join(path.dirname(file), row.path),
    label: labels.get(row.label) as number,
    className: row.label,
  });
  if (hasParts) {
    if (chosen !== listedSplit) {
      throw new UsageError(`${file} has a column of parts: its one split is "${listedSplit}", not "${chosen}"`);
    }
    const part = (name: string) => rows.filter((row) => row.part === name).map(itemOf);
    return { lists: { train: part("train"), val: part("val"), test: part("test") }, split: chosen };
  }
  const seed = seedOf(chosen, file);
  const items = rows.map(itemOf).sort((a, b) => byCodePoint(a.path, b.path));
  const classes = classNames.map((_, label) => items.filter((item) => item.label === label));
  return { lists: drawParts(classes, seed, (label) => `${file}: class "${classNames[label]}"`), split: chosen };
}
