/** A table as a danfo DataFrame: a numeric column per value and one per deviation, for selecting, sorting and CSV. */
import { DataFrame } from "danfojs-node";
import type { Table, Value } from "./table";

/** Columns are named `base`, `base sd`, ...; a column of deviations exists where any row has one; absent is NaN. */
export function tableFrame(table: Table): DataFrame {
  const numbers = (value: Value) => (typeof value === "object" ? value.mean : (value ?? Number.NaN));
  const columns = table.columns.flatMap(({ key }) => {
    const values = table.rows.map((row) => row[key]);
    const deviations = values.map((v) => (typeof v === "object" && v.sd !== undefined ? v.sd : Number.NaN));
    const own = { name: key, values: values.map(numbers) };
    return deviations.every(Number.isNaN) ? [own] : [own, { name: `${key} sd`, values: deviations }];
  });
  return new DataFrame(Object.fromEntries(columns.map((c) => [c.name, c.values])));
}
