/**
 * Tables as plain rows. A table is built once and shown as HTML (notebooks) or text (terminal), or converted to a
 * danfo DataFrame by `frame.ts`. Standard deviations are over seeds, and the best value of each group is marked.
 */

import { escapeHtml } from "../util/escape";
import { type Paper, paperBaseToNovel, paperNames, paperNote, type Triple } from "./paper";
import type { Score, Spread, Summary } from "./statistics";
import { summarise, summariseAverage } from "./statistics";

export type Value = string | number | Spread | undefined;
/** `best` marks the largest value in each group of rows; `group` is a common heading of neighbouring columns. */
export type Column = { key: string; title: string; group?: string; best?: boolean; digits?: number };
/** Rows with the same value in the column `groupBy` form a group, and the best value is marked per group. */
export type Table = {
  title: string;
  columns: Column[];
  rows: Record<string, Value>[];
  groupBy?: string;
  note?: string;
};

const numeric = (value: Value): number | undefined =>
  typeof value === "number" ? value : value !== undefined && typeof value === "object" ? value.mean : undefined;

/** A number as text with fixed decimals and the typographic minus sign. */
const fixed = (value: number, digits: number): string => value.toFixed(digits).replace("-", "\u2212");

/** As `fixed`, but always with a sign, for differences. */
export const signed = (value: number, digits: number): string => `${value < 0 ? "" : "+"}${fixed(value, digits)}`;

/**
 * A cell as text: `73.4 +- 0.9` (printed with a plus-minus sign), by default with one decimal; empty for a missing
 * value. A standard deviation of zero is not shown.
 */
function cellText(value: Value, digits = 1): string {
  if (value === undefined) return "";
  if (typeof value === "string") return value;
  if (typeof value === "number") return fixed(value, digits);
  const { mean, sd } = value;
  return sd === undefined || sd < 1e-9 ? fixed(mean, digits) : `${fixed(mean, digits)} \u00b1 ${sd.toFixed(digits)}`;
}

/** Whether two rows are in the same group; all are where the table has no groups. */
const sameGroup = (table: Table, a: Record<string, Value>, b: Record<string, Value>): boolean =>
  table.groupBy === undefined || a[table.groupBy] === b[table.groupBy];

/** Whether a row is the first of its group. */
export const startsGroup = (table: Table, index: number): boolean =>
  index === 0 || !sameGroup(table, table.rows[index - 1], table.rows[index]);

/**
 * The rank of a cell in its column and group of rows, after rounding: 1 for the best, equal values share a rank;
 * undefined in columns without a best value, and in a group of one.
 */
export function rankOf(table: Table, row: Record<string, Value>, column: Column): number | undefined {
  const value = numeric(row[column.key]);
  if (!column.best || value === undefined || Number.isNaN(value)) return undefined;
  const groupValues = table.rows.filter((r) => sameGroup(table, r, row)).map((r) => numeric(r[column.key]));
  const present = groupValues.filter((v): v is number => v !== undefined && !Number.isNaN(v));
  const rounded = (v: number) => Number(v.toFixed(column.digits ?? 1));
  const larger = new Set(present.map(rounded).filter((v) => v > rounded(value)));
  return present.length > 1 ? larger.size + 1 : undefined;
}

/** Whether a cell is marked as the best of its column and group. */
export const isBest = (table: Table, row: Record<string, Value>, column: Column): boolean =>
  rankOf(table, row, column) === 1;

/** The displayed text of a cell: the name of a group is shown in its first row only. */
export const shownText = (table: Table, row: Record<string, Value>, index: number, column: Column): string =>
  column.key === table.groupBy && !startsGroup(table, index) ? "" : cellText(row[column.key], column.digits);

/** Whether a column holds text, which is aligned to the left. */
export const isText = (table: Table, column: Column): boolean => typeof table.rows[0]?.[column.key] === "string";

/** The common headings of neighbouring columns, from left to right; an empty title for columns without one. */
export function columnGroups(table: Table): { title: string; span: number }[] {
  const groups: { title: string; span: number }[] = [];
  for (const { group = "" } of table.columns) {
    const last = groups[groups.length - 1];
    if (last && last.title === group) last.span++;
    else groups.push({ title: group, span: 1 });
  }
  return groups;
}

/**
 * HTML without scripts or style sheets, so that every notebook viewer shows it the same way, in light and dark themes.
 */
export function tableHtml(table: Table): string {
  const line = "border-top:1px solid rgba(128,128,128,.35)";
  const pad = "padding:4px 8px;white-space:nowrap;background:none";
  const align = (column: Column, row?: Record<string, Value>) =>
    typeof (row ?? table.rows[0])?.[column.key] === "string" ? "text-align:left" : "text-align:right";
  const hasGroups = table.columns.some((c) => c.group !== undefined);
  const groupRow = columnGroups(table)
    .map((g) => `<th colspan="${g.span}" style="${pad};text-align:center">${escapeHtml(g.title)}</th>`)
    .join("");
  const head = table.columns.map((c) => `<th style="${pad};${align(c)}">${escapeHtml(c.title)}</th>`).join("");
  const body = table.rows.map((row, index) => {
    const cells = table.columns.map((column) => {
      const text = escapeHtml(shownText(table, row, index, column));
      const shown = isBest(table, row, column) ? `<b>${text}</b>` : text;
      return `<td style="${pad};${align(column, row)}${startsGroup(table, index) ? `;${line}` : ""}">${shown}</td>`;
    });
    return `<tr style="background:none">${cells.join("")}</tr>`;
  });
  const note = table.note
    ? `<div style="font-size:90%;opacity:.75;padding:4px 8px">${escapeHtml(table.note)}</div>`
    : "";
  return (
    `<div style="max-width:100%;overflow-x:auto"><div style="padding:4px 8px"><b>${escapeHtml(table.title)}</b></div>` +
    `<table style="border-collapse:collapse;font-variant-numeric:tabular-nums">` +
    `<thead>${hasGroups ? `<tr>${groupRow}</tr>` : ""}<tr>${head}</tr></thead><tbody>${body.join("")}</tbody></table>${note}</div>`
  );
}

/** The last block of a table with blocks by dataset: the average, or the only dataset. */
export const lastBlock = (table: Table): Table => ({
  ...table,
  rows: table.rows.filter((row) => sameGroup(table, row, table.rows[table.rows.length - 1])),
});

/** The title of a column with its group. */
export const titleOf = (column: Column): string => (column.group ? `${column.group} ${column.title}` : column.title);

/** The table as aligned text for a terminal, with a star at the best values of each group. */
export function tableText(table: Table): string {
  const rows = [
    table.columns.map(titleOf),
    ...table.rows.map((row, index) =>
      table.columns.map((c) => shownText(table, row, index, c) + (isBest(table, row, c) ? "*" : c.best ? " " : "")),
    ),
  ];
  const widths = table.columns.map((_, k) => Math.max(...rows.map((r) => r[k].length)));
  const left = table.columns.map((c) => isText(table, c));
  const line = (cells: string[]) =>
    cells
      .map((text, k) => (left[k] ? text.padEnd(widths[k]) : text.padStart(widths[k])))
      .join("  ")
      .trimEnd();
  const hasBest = table.rows.some((row) => table.columns.some((c) => isBest(table, row, c)));
  const notes = [table.note, hasBest ? "* best" : undefined].filter((n) => n !== undefined);
  return [table.title, ...rows.map(line), ...notes].join("\n");
}

/** A method with its name in the registry and its title in tables and figures. */
export type Labelled = { name: string; title: string };
export type MethodScore = Score & { method: string };

/** Base, novel and HM of each method, next to the paper's averages. */
export const baseToNovelTable = (scores: MethodScore[], methods: Labelled[], paper?: Paper): Table =>
  baseNovelTable(
    "Base-to-novel accuracy (%)",
    scores,
    methods,
    paper && ((method, names) => paperBaseToNovel(paper, method.title, names)),
  );

/**
 * Base, novel and HM of each method or variant: a block per dataset, and a block of averages if there are several
 * datasets. `paper` gives the paper's means over datasets of its own: beside each block where our datasets are the
 * paper's, beside the last block where they are the embedded ones, and not at all beside other datasets.
 */
export function baseNovelTable<Row extends Labelled>(
  title: string,
  scores: MethodScore[],
  methods: Row[],
  paper?: (method: Row, names: string[]) => Triple | undefined,
): Table {
  const datasets = [...new Set(scores.map((s) => s.dataset))];
  const allNames = paper ? paperNames(datasets) : [];
  const isPapers = allNames.length > 0 && allNames[0] !== "average";
  const rowOf = (label: string, method: Row, summary: Summary, names: string[]): Record<string, Value> => {
    const paperValues = names.length > 0 ? paper?.(method, names) : undefined;
    return {
      dataset: label,
      method: method.title,
      ...summary,
      paperBase: paperValues?.base,
      paperNovel: paperValues?.novel,
      paperHm: paperValues?.hm,
    };
  };
  const hasAverage = datasets.length > 1;
  const block = (label: string, blockScores: MethodScore[], summaryOf: (s: Score[]) => Summary, names: string[]) =>
    methods.flatMap((method) => {
      const ofMethod = blockScores.filter((s) => s.method === method.name);
      return ofMethod.length ? [rowOf(label, method, summaryOf(ofMethod), names)] : [];
    });
  const rows = [
    ...datasets.flatMap((d) =>
      block(
        d,
        scores.filter((s) => s.dataset === d),
        summarise,
        isPapers || !hasAverage ? paperNames([d]).filter(() => allNames.length > 0) : [],
      ),
    ),
    ...(hasAverage ? block("average", scores, summariseAverage, allNames) : []),
  ];
  const others = allNames.length > 0 && methods.some((method) => paper?.(method, allNames)?.other);
  const seeds = new Set(scores.map((s) => s.seed)).size;
  const ourColumns: Column[] = [
    { key: "base", title: "base", group: "ours", best: true },
    { key: "novel", title: "novel", group: "ours", best: true },
    { key: "hm", title: "HM", group: "ours", best: true },
  ];
  const group = "paper";
  const paperColumns: Column[] = [
    { key: "paperBase", title: "base", group, best: true, digits: 2 },
    { key: "paperNovel", title: "novel", group, best: true, digits: 2 },
    { key: "paperHm", title: "HM", group, best: true, digits: 2 },
  ];
  return {
    title,
    columns: [
      { key: "dataset", title: "dataset" },
      { key: "method", title: "method" },
      ...ourColumns,
      ...(allNames.length > 0 ? paperColumns : []),
    ],
    rows,
    groupBy: "dataset",
    note:
      (seeds > 1 ? `Mean \u00b1 standard deviation over ${seeds} seeds. ` : "One seed. ") +
      `HM: harmonic mean of base and novel.${paperNote(allNames, others)}`,
  };
}

/**
 * Only the harmonic mean of each method, by dataset and on average: a short alternative to the table of all three
 * accuracies.
 */
export function harmonicMeansTable(scores: MethodScore[], methods: Labelled[]): Table {
  const datasets = [...new Set(scores.map((s) => s.dataset))];
  const rows = methods.flatMap((method) => {
    const ofMethod = scores.filter((s) => s.method === method.name);
    if (ofMethod.length === 0) return [];
    const byDataset = datasets.map((dataset) => [
      dataset,
      summarise(ofMethod.filter((s) => s.dataset === dataset)).hm.mean,
    ]);
    return [{ method: method.title, ...Object.fromEntries(byDataset), average: summariseAverage(ofMethod).hm.mean }];
  });
  const columns = [...datasets, "average"].map((name): Column => ({ key: name, title: name, best: true }));
  const note = "Means over seeds; average: the HM of the mean base and the mean novel accuracy.";
  return {
    title: "Harmonic mean of base and novel accuracy (%)",
    columns: [{ key: "method", title: "method" }, ...columns],
    rows,
    note,
  };
}
