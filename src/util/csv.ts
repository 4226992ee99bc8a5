/** Comma-separated values as RFC 4180 defines them, which every reader of CSV takes. */

/** A field: a number in full precision, and text in quotes where it needs them; empty for an absent value. */
const csvField = (value: string | number | null | undefined): string => {
  if (value === undefined || value === null || Number.isNaN(value)) return "";
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** A line, without its end. */
export const csvLine = (values: (string | number | null | undefined)[]): string => values.map(csvField).join(",");

/** A whole file. */
export const csvText = (lines: (string | number | null | undefined)[][]): string =>
  lines.map((values) => `${csvLine(values)}\r\n`).join("");
