/**
 * Converts a table to a danfo DataFrame for selecting and sorting: a column per value, and one per standard deviation.
 * For a CSV, `tableCsv` or `save`: danfo quotes no fields. It does not sort a column with missing values either.
 */
import { DataFrame } from "danfojs-node";
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
  return new DataFrame(Object.fromEntries(columns.map((c) => [c.name, c.values])));
}
