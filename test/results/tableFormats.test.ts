/** Tables in files: a CSV with every digit, Markdown, and LaTeX that compiles. */
import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { expect, it } from "vitest";
import type { Table } from "../../src/results/table";
import { tableCsv, tableLatex, tableMarkdown } from "../../src/results/tableFormats";
import { temporaryFolder } from "../temporary";

const spread = (mean: number, sd?: number) => ({ mean, sd, n: 3 });
const table: Table = {
  title: "Accuracy (%)",
  columns: [
    { key: "dataset", title: "dataset" },
    { key: "method", title: "method" },
    { key: "base", title: "base", group: "ours", best: true },
    { key: "novel", title: "novel", group: "ours", best: true },
    { key: "again", title: "novel", group: "ours", digits: 2 },
  ],
  rows: [
    { dataset: "food", method: 'CLIP, "60" templates', base: spread(66 + 2 / 3, 0.25), novel: 51.23456789, again: -1 },
    { dataset: "food", method: "a\nb", base: spread(70), novel: undefined, again: -2.5 },
    { dataset: "food", method: "CoOp", base: spread(66.6501, 0.1), novel: 40, again: 1e-7 },
    { dataset: "flags", method: "[*] | <b>", base: spread(50, 0.5), novel: 60, again: Number.NaN },
  ],
  groupBy: "dataset",
  note: "Mean \u00b1 standard deviation.",
};

it("CSV gives back every value, texts with commas, quotes and line ends, and the absent as empty", () => {
  const csv = tableCsv(table);
  expect(csv.split("\r\n").at(-1)).toBe("");
  expect(parse(csv)).toEqual([
    ["dataset", "method", "ours base", "ours base sd", "ours novel", "ours novel 2"],
    ["food", 'CLIP, "60" templates', String(66 + 2 / 3), "0.25", "51.23456789", "-1"],
    ["food", "a\nb", "70", "", "", "-2.5"],
    ["food", "CoOp", "66.6501", "0.1", "40", "1e-7"],
    ["flags", "[*] | <b>", "50", "0.5", "60", ""],
  ]);
});

it("Markdown has as many cells in every line, and the best of each group in bold", () => {
  const lines = tableMarkdown(table).split("\n");
  expect(lines.slice(0, 6)).toEqual([
    "**Accuracy (%)**",
    "",
    "| dataset | method | ours base | ours novel | ours novel |",
    "| :--- | :--- | ---: | ---: | ---: |",
    '| food | CLIP, "60" templates | 66.7 \u00b1 0.3 | **51.2** | \u22121.00 |',
    "|  | a b | **70.0** |  | \u22122.50 |",
  ]);
  expect(lines[7]).toBe("| flags | \\[\\*\\] \\| \\<b\\> | 50.0 \u00b1 0.5 | 60.0 | NaN |");
});

const specials: Table = {
  ...table,
  rows: [
    ...table.rows,
    { dataset: "flags", method: "\\ & % $ # _ { } ~ ^ < > | -- \u2212 \u00b1 \u00e9", base: 49, novel: 61 },
  ],
};

it("LaTeX: rules, groups, the best bold and the second underlined, every special character as itself", () => {
  expect(tableLatex(specials)).toBe(
    String.raw`% Accuracy (%)
% Mean ± standard deviation.
% Needs \usepackage{booktabs}.
\begin{tabular}{llrrr}
\toprule
 &  & \multicolumn{3}{c}{ours} \\
\cmidrule(lr){3-5}
dataset & method & base & novel & novel \\
\midrule
food & CLIP, "60" templates & \underline{66.7 $\pm$ 0.3} & \textbf{51.2} & $-$1.00 \\
 & a b & \textbf{70.0} &  & $-$2.50 \\
 & CoOp & \underline{66.7 $\pm$ 0.1} & \underline{40.0} & 0.00 \\
\midrule
flags & {[}*] \textbar{} \textless{}b\textgreater{} & \textbf{50.0 $\pm$ 0.5} & \underline{60.0} & NaN \\
 & \textbackslash{} \& \% \$ \# \_ \{ \} \textasciitilde{} \textasciicircum{} \textless{} \textgreater{} \textbar{} -{}- $-$ $\pm$ é & \underline{49.0} & \textbf{61.0} &  \\
\bottomrule
\end{tabular}
`,
  );
});

const hasLatex = spawnSync("pdflatex", ["--version"]).status === 0;
it.skipIf(!hasLatex)("LaTeX compiles (where pdflatex is installed)", () => {
  const folder = temporaryFolder("latex");
  const inFront = { ...specials, columns: specials.columns.slice(1), rows: specials.rows.slice(3), groupBy: undefined };
  const article = [
    "\\documentclass{article}\\usepackage{booktabs}\\begin{document}",
    ...[specials, inFront].map(tableLatex),
  ];
  writeFileSync(join(folder, "article.tex"), [...article, "\\end{document}\n"].join("\n"));
  const { status, stdout } = spawnSync("pdflatex", ["-interaction=nonstopmode", "-halt-on-error", "article.tex"], {
    cwd: folder,
    encoding: "utf8",
  });
  expect([status, stdout.match(/^!.*/gm)]).toEqual([0, null]);
  rmSync(folder, { recursive: true });
});
