/** Time and memory of a training step while one setting varies, compared with plain PyTorch. */
import type { Table } from "../results/table";
import { type Line, linesFigure, type Panel } from "./lines";
import type { Figure } from "./style";

const implementations = [
  { title: "this kit", name: "promptsrc", prefix: "" },
  { title: "plain PyTorch", name: "coop", prefix: "peer" },
];

/**
 * One column of panels for each setting that is varied, with seconds above and memory below.
 * @param table the bench's `sweepTable`: its rows have `changed` (the setting), `value` and, for both implementations,
 *   the seconds, their range, and the peak memory in GB
 */
export function sweepFigure({ rows }: Table): Figure {
  const settings = [...new Set(rows.map((row) => `${row.changed}`))];
  const lines = (changed: string, key: string): Line[] =>
    implementations.flatMap(({ prefix, ...implementation }) => {
      const cell = (row: Table["rows"][number], column: string) =>
        row[prefix ? `${prefix}${column[0].toUpperCase()}${column.slice(1)}` : column];
      const measured = rows.filter((row) => row.changed === changed && typeof cell(row, key) === "number");
      if (measured.length === 0) return [];
      const numbers = (column: string) => measured.map((row) => cell(row, column) as number);
      const band =
        key === "seconds"
          ? numbers("fastest").map((low, k): [number, number] => [low, numbers("slowest")[k]])
          : undefined;
      return [{ ...implementation, x: measured.map((row) => row.value as number), y: numbers(key), band }];
    });
  const panels = [
    { key: "seconds", title: "<b>seconds</b>" },
    { key: "memory", title: "<b>GB</b>" },
  ].flatMap(({ key, title }) =>
    settings.map((changed): Panel => ({ title, x: changed, digits: 2, lines: lines(changed, key), fromZero: true })),
  );
  return linesFigure("One training step of PromptSRC, ViT-B/16", "sweep", panels, {
    height: 580,
    columns: settings.length,
    alt: `Seconds and memory of a training step against ${settings.join(", ")}, this kit beside plain PyTorch`,
  });
}
