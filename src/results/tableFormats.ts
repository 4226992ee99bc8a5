/** Tables as text for files: CSV with all digits for programs, Markdown and LaTeX with the shown digits for papers. */
import { csvText } from "../util/csv";
import {
  type Column,
  columnGroups,
  isBest,
  isText,
  rankOf,
  shownText,
  startsGroup,
  type Table,
  titleOf,
  type Value,
} from "./table";

/** Titles that occur again get a number: `base`, `base 2`. */
function unique(titles: string[]): string[] {
  const seen = new Set<string>();
  return titles.map((title) => {
    let name = title;
    for (let n = 2; seen.has(name); n++) name = `${title} ${n}`;
    seen.add(name);
    return name;
  });
}

const mean = (value: Value) => (typeof value === "object" ? value.mean : value);
const deviation = (value: Value) => (typeof value === "object" ? value.sd : undefined);

/**
 * CSV: a line of titles, then a line for each row, with numbers in full precision. A column with standard deviations
 * becomes two, such as `ours base` and `ours base sd`. Absent values are empty.
 */
export function tableCsv(table: Table): string {
  const columns = table.columns.flatMap((column) => {
    const values = table.rows.map((row) => row[column.key]);
    const means = { title: titleOf(column), values: values.map(mean) };
    const deviations = { title: `${titleOf(column)} sd`, values: values.map(deviation) };
    return deviations.values.every((sd) => sd === undefined) ? [means] : [means, deviations];
  });
  const lines = table.rows.map((_, index) => columns.map(({ values }) => values[index]));
  return csvText([unique(columns.map(({ title }) => title)), ...lines]);
}

const oneLine = (text: string): string => text.replace(/\s*[\r\n]+\s*/g, " ");
const markdownText = (text: string): string => oneLine(text).replace(/[\\`*_{}[\]<>|~$&#]/g, "\\$&");

/** A Markdown table with pipes, as GitHub shows it, with the best value of each group in bold. */
export function tableMarkdown(table: Table): string {
  const line = (cells: string[]) => `| ${cells.join(" | ")} |`;
  const rows = table.rows.map((row, index) =>
    table.columns.map((column) => {
      const text = markdownText(shownText(table, row, index, column));
      return isBest(table, row, column) ? `**${text}**` : text;
    }),
  );
  return [
    ...(table.title === "" ? [] : [`**${markdownText(table.title)}**`, ""]),
    line(table.columns.map((column) => markdownText(titleOf(column)))),
    line(table.columns.map((column) => (isText(table, column) ? ":---" : "---:"))),
    ...rows.map(line),
    ...(table.note === undefined ? [] : ["", markdownText(table.note)]),
    "",
  ].join("\n");
}

/** What has a meaning in LaTeX, or is no letter that pdflatex knows without further packages. */
const latexCharacters: Record<string, string> = {
  "\\": "\\textbackslash{}",
  "{": "\\{",
  "}": "\\}",
  $: "\\$",
  "&": "\\&",
  "%": "\\%",
  "#": "\\#",
  _: "\\_",
  "~": "\\textasciitilde{}",
  "^": "\\textasciicircum{}",
  "<": "\\textless{}",
  ">": "\\textgreater{}",
  "|": "\\textbar{}",
  "\u2212": "$-$",
  "\u00b1": "$\\pm$",
  "\u00d7": "$\\times$",
  "\u00b7": "$\\cdot$",
  "\u2264": "$\\leq$",
  "\u2265": "$\\geq$",
  "\u2192": "$\\rightarrow$",
  "\u03b1": "$\\alpha$",
  "\u03b2": "$\\beta$",
  "\u03bb": "$\\lambda$",
  "\u03bc": "$\\mu$",
  "\u03c3": "$\\sigma$",
  "\u03c4": "$\\tau$",
};
const special = new RegExp(`[${Object.keys(latexCharacters).join("").replace(/[\\^]/g, "\\$&")}]`, "g");

/** Text for LaTeX. Two hyphens stay two; an asterisk or a bracket in front is no argument of the line before. */
const latexText = (text: string): string =>
  oneLine(text)
    .replace(special, (character) => latexCharacters[character])
    .replace(/-(?=-)/g, "-{}")
    .replace(/^[[*]/, "{$&}");

/** The row of the common headings, and the rules under them; nothing where the columns have none. */
function latexGroups(table: Table): string[] {
  const groups = columnGroups(table);
  if (groups.every(({ title }) => title === "")) return [];
  const cells = groups.map(({ title, span }) =>
    title === "" ? " & ".repeat(span - 1) : `\\multicolumn{${span}}{c}{${latexText(title)}}`,
  );
  const rules = groups.flatMap(({ title, span }, k) => {
    const first = 1 + groups.slice(0, k).reduce((sum, group) => sum + group.span, 0);
    return title === "" ? [] : [`\\cmidrule(lr){${first}-${first + span - 1}}`];
  });
  return [`${cells.join(" & ")} \\\\`, rules.join(" ")];
}

function latexCell(table: Table, index: number, column: Column): string {
  const row = table.rows[index];
  const text = latexText(shownText(table, row, index, column));
  const rank = rankOf(table, row, column);
  return rank === 1 ? `\\textbf{${text}}` : rank === 2 ? `\\underline{${text}}` : text;
}

/**
 * A LaTeX `tabular` with the rules of the package booktabs: in each group of rows the best value is bold and the second
 * best underlined. The title and the note stand above it as comments, for the caption.
 */
export function tableLatex(table: Table): string {
  const comments = [table.title, table.note ?? "", "Needs \\usepackage{booktabs}."].filter((text) => text !== "");
  const line = (cells: string[]) => `${cells.join(" & ")} \\\\`;
  const body = table.rows.flatMap((_, index) => [
    ...(index > 0 && startsGroup(table, index) ? ["\\midrule"] : []),
    line(table.columns.map((column) => latexCell(table, index, column))),
  ]);
  return [
    ...comments.map((text) => `% ${oneLine(text)}`),
    `\\begin{tabular}{${table.columns.map((column) => (isText(table, column) ? "l" : "r")).join("")}}`,
    "\\toprule",
    ...latexGroups(table),
    line(table.columns.map((column) => latexText(column.title))),
    "\\midrule",
    ...body,
    "\\bottomrule",
    "\\end{tabular}",
    "",
  ].join("\n");
}
