/**
 * Converts a table to a danfo DataFrame for selecting and sorting: a column per value, and one per standard deviation.
 * For a CSV, `tableCsv` or `save`: danfo quotes no fields. For an order by value, `sortedFrame`.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import type { DataFrame } from "danfojs-node";
import { oneOf } from "../util/errors";
import type { Table, Value } from "./table";

/**
 * Columns are named `base`, `base sd`, ... A column of standard deviations exists if any row has one. Missing values
 * are NaN.
 */
export function tableFrame(table: Table): DataFrame {
  const numbers = (value: Value) => (typeof value === "object" ? value.mean : (value ?? Number.NaN));
  const columns = table.columns.flatMap(({ key }) => {
    const values = table.rows.map((row) => row[key]);
    const deviations = values.map((v) => (typeof v === "object" && v.sd !== undefined ? v.sd : Number.NaN));
    const means = { name: key, values: values.map(numbers) };
    return deviations.every(Number.isNaN) ? [means] : [means, { name: `${key} sd`, values: deviations }];
  });
  // danfo loads for one to two seconds, so not before a frame is wanted.
  const danfo = createRequire(join(process.cwd(), "package.json"))("danfojs-node") as typeof import("danfojs-node");
  return new danfo.DataFrame(Object.fromEntries(columns.map((c) => [c.name, c.values])));
}

/**
 * The frame of a table whose rows are in the order of a column's values, the largest first; rows without a value come
 * last. (danfo's own `sortValues` puts rows in a wrong order where values are absent.)
 * @throws UsageError for a column that the table does not have
 */
export function sortedFrame(table: Table, key: string, { ascending = false } = {}): DataFrame {
  const column = oneOf(
    "column",
    key,
    table.columns.map((one) => one.key),
  );
  const sign = ascending ? 1 : -1;
  const rows = [...table.rows].sort((a, b) => {
    const [x, y] = [a[column], b[column]].map((value) => (typeof value === "object" ? value.mean : value));
    const [noX, noY] = [x, y].map((value) => value === undefined || Number.isNaN(value));
    if (noX || noY) return Number(noX) - Number(noY);
    return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
  });
  return tableFrame({ ...table, rows });
}
