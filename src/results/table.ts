/**
 * Tables as plain rows: made once, then viewed as HTML (notebooks) or text (terminal), and by
 * `frame.ts` as a danfo DataFrame. Deviations are over seeds, the best of a group is marked.
 */

import { escapeHtml } from "../util/escape";
import { type Paper, paperBaseToNovel, paperTitle, type Triple } from "./paper";
import type { Score, Spread, Summary } from "./statistics";
import { summarise, summariseAverage } from "./statistics";

export type Value = string | number | Spread | undefined;
/** `best` marks the largest value of each group of rows; `group` heads neighbouring columns. */
export type Column = { key: string; title: string; group?: string; best?: boolean; digits?: number };
/** Rows with the same `groupBy` value belong together: one best each. */
export type Table = {
  title: string;
  columns: Column[];
  rows: Record<string, Value>[];
  groupBy?: string;
  note?: string;
};

const numeric = (value: Value): number | undefined =>
  typeof value === "number" ? value : value !== undefined && typeof value === "object" ? value.mean : undefined;

/** A number as it is read: fixed decimals, a real minus sign. */
const fixed = (value: number, digits: number): string => value.toFixed(digits).replace("-", "\u2212");

/** As `fixed`, with its sign: a difference. */
export const signed = (value: number, digits: number): string => `${value < 0 ? "" : "+"}${fixed(value, digits)}`;

/** A cell as text: `73.4 +- 0.9` with the real sign, one decimal unless the column says otherwise; empty if absent. Seeds that all agree show no deviation. */
export function cellText(value: Value, digits = 1): string {
  if (value === undefined) return "";
  if (typeof value === "string") return value;
  if (typeof value === "number") return fixed(value, digits);
  const { mean, sd } = value;
  return sd === undefined || sd < 1e-9 ? fixed(mean, digits) : `${fixed(mean, digits)} \u00b1 ${sd.toFixed(digits)}`;
}

const sameGroup = (table: Table, a: Record<string, Value>, b: Record<string, Value>): boolean =>
  table.groupBy === undefined || a[table.groupBy] === b[table.groupBy];

/** Whether a cell prints as the best of its column and group; never in a group of one. */
export function isBest(table: Table, row: Record<string, Value>, column: Column): boolean {
  const own = numeric(row[column.key]);
  if (!column.best || own === undefined) return false;
  const rivals = table.rows.filter((r) => sameGroup(table, r, row)).map((r) => numeric(r[column.key]));
  const present = rivals.filter((v): v is number => v !== undefined);
  const digits = column.digits ?? 1;
  return present.length > 1 && own.toFixed(digits) === Math.max(...present).toFixed(digits);
}

/** The rows' cells as they are read: a group's name stands in its first row only. */
const shownText = (table: Table, row: Record<string, Value>, index: number, column: Column): string => {
  const previous = table.rows[index - 1];
  const repeats = column.key === table.groupBy && previous !== undefined && sameGroup(table, previous, row);
  return repeats ? "" : cellText(row[column.key], column.digits);
};

/** HTML without scripts or style sheets, so that every notebook viewer shows it alike, in light and dark themes. */
export function tableHtml(table: Table): string {
  const line = "border-top:1px solid rgba(128,128,128,.35)";
  const pad = "padding:4px 10px;white-space:nowrap;background:none";
  const align = (column: Column, row?: Record<string, Value>) =>
    typeof (row ?? table.rows[0])?.[column.key] === "string" ? "text-align:left" : "text-align:right";
  const headed = table.columns.some((c) => c.group !== undefined);
  const groups: { title: string; span: number }[] = [];
  for (const { group = "" } of table.columns) {
    const last = groups[groups.length - 1];
    if (last && last.title === group) last.span++;
    else groups.push({ title: group, span: 1 });
  }
  const groupRow = groups
    .map((g) => `<th colspan="${g.span}" style="${pad};text-align:center">${escapeHtml(g.title)}</th>`)
    .join("");
  const head = table.columns.map((c) => `<th style="${pad};${align(c)}">${escapeHtml(c.title)}</th>`).join("");
  const body = table.rows.map((row, index) => {
    const starts = index === 0 || (table.groupBy !== undefined && !sameGroup(table, table.rows[index - 1], row));
    const cells = table.columns.map((column) => {
      const text = escapeHtml(shownText(table, row, index, column));
      const shown = isBest(table, row, column) ? `<b>${text}</b>` : text;
      return `<td style="${pad};${align(column, row)}${starts ? `;${line}` : ""}">${shown}</td>`;
    });
    return `<tr style="background:none">${cells.join("")}</tr>`;
  });
  const note = table.note
    ? `<div style="font-size:90%;opacity:.75;padding:4px 10px">${escapeHtml(table.note)}</div>`
    : "";
  return (
    `<div><div style="padding:4px 10px"><b>${escapeHtml(table.title)}</b></div>` +
    `<table style="border-collapse:collapse;font-variant-numeric:tabular-nums">` +
    `<thead>${headed ? `<tr>${groupRow}</tr>` : ""}<tr>${head}</tr></thead><tbody>${body.join("")}</tbody></table>${note}</div>`
  );
}

/** The last block of a table of datasets: their average, or the only one. */
export const lastBlock = (table: Table): Table => ({
  ...table,
  rows: table.rows.filter((row) => sameGroup(table, row, table.rows[table.rows.length - 1])),
});

const titleOf = (column: Column): string => (column.group ? `${column.group} ${column.title}` : column.title);

/** Aligned columns for a terminal; the best of a group carries a star. */
export function tableText(table: Table): string {
  const rows = [
    table.columns.map(titleOf),
    ...table.rows.map((row, index) =>
      table.columns.map((c) => shownText(table, row, index, c) + (isBest(table, row, c) ? "*" : c.best ? " " : "")),
    ),
  ];
  const widths = table.columns.map((_, k) => Math.max(...rows.map((r) => r[k].length)));
  const left = table.columns.map((c) => typeof table.rows[0]?.[c.key] === "string");
  const line = (cells: string[]) =>
    cells
      .map((text, k) => (left[k] ? text.padEnd(widths[k]) : text.padStart(widths[k])))
      .join("  ")
      .trimEnd();
  const marked = table.rows.some((row) => table.columns.some((c) => isBest(table, row, c)));
  const notes = [table.note, marked ? "* best" : undefined].filter((n) => n !== undefined);
  return [table.title, ...rows.map(line), ...notes].join("\n");
}

/** A method as the tables and figures name it: registry name and title. */
export type Labelled = { name: string; title: string };
export type MethodScore = Score & { method: string };

/** Base, novel and HM of each method, the paper's averages beside. */
export const baseToNovelTable = (scores: MethodScore[], methods: Labelled[], paper?: Paper): Table =>
  baseNovelTable(
    "Base-to-novel accuracy (%)",
    scores,
    methods,
    paper && ((method) => paperBaseToNovel(paper, method.title)),
  );

/**
 * Base, novel and HM of each method or variant: a block per dataset, and the average block where there are several. `paper` gives the
 * paper's 11-dataset averages beside the last block, as they belong to other datasets and another CLIP.
 */
export function baseNovelTable<Row extends Labelled>(
  title: string,
  scores: MethodScore[],
  methods: Row[],
  paper?: (method: Row) => Triple | undefined,
): Table {
  const datasets = [...new Set(scores.map((s) => s.dataset))];
  const rowOf = (label: string, method: Row, summary: Summary, beside: boolean): Record<string, Value> => {
    const theirs = beside ? paper?.(method) : undefined;
    return {
      dataset: label,
      method: method.title,
      ...summary,
      paperBase: theirs?.base,
      paperNovel: theirs?.novel,
      paperHm: theirs?.hm,
    };
  };
  const several = datasets.length > 1;
  const block = (label: string, of: MethodScore[], summary: (s: Score[]) => Summary, beside: boolean) =>
    methods.flatMap((method) => {
      const own = of.filter((s) => s.method === method.name);
      return own.length ? [rowOf(label, method, summary(own), beside)] : [];
    });
  const rows = [
    ...datasets.flatMap((d) =>
      block(
        d,
        scores.filter((s) => s.dataset === d),
        summarise,
        !several,
      ),
    ),
    ...(several ? block("average", scores, summariseAverage, true) : []),
  ];
  const seeds = new Set(scores.map((s) => s.seed)).size;
  const ours: Column[] = [
    { key: "base", title: "base", group: "ours", best: true },
    { key: "novel", title: "novel", group: "ours", best: true },
    { key: "hm", title: "HM", group: "ours", best: true },
  ];
  const group = "paper";
  const theirs: Column[] = [
    { key: "paperBase", title: "base", group, best: true, digits: 2 },
    { key: "paperNovel", title: "novel", group, best: true, digits: 2 },
    { key: "paperHm", title: "HM", group, best: true, digits: 2 },
  ];
  return {
    title,
    columns: [
      { key: "dataset", title: "dataset" },
      { key: "method", title: "method" },
      ...ours,
      ...(paper ? theirs : []),
    ],
    rows,
    groupBy: "dataset",
    note:
      (seeds > 1 ? `Mean \u00b1 standard deviation over ${seeds} seeds. ` : "One seed. ") +
      `HM: harmonic mean of base and novel.${paper ? ` Paper: ${paperTitle}, CLIP ViT-B/16, mean of its 11 datasets.` : ""}`,
  };
}

/** The harmonic mean of each method on each dataset and on average, where a table of all three accuracies would be long. */
export function harmonicMeansTable(scores: MethodScore[], methods: Labelled[]): Table {
  const datasets = [...new Set(scores.map((s) => s.dataset))];
  const rows = methods.flatMap((method) => {
    const own = scores.filter((s) => s.method === method.name);
    if (own.length === 0) return [];
    const each = datasets.map((dataset) => [dataset, summarise(own.filter((s) => s.dataset === dataset)).hm.mean]);
    return [{ method: method.title, ...Object.fromEntries(each), average: summariseAverage(own).hm.mean }];
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
