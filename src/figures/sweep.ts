/** Time and memory of a training step as one thing changes, beside plain PyTorch. */
import type { Table } from "../results/table";
import { type Line, linesFigure, type Panel } from "./lines";
import type { Figure } from "./style";

const sides = [
  { title: "this kit", name: "promptsrc", prefix: "" },
  { title: "plain PyTorch", name: "coop", prefix: "peer" },
];

/**
 * A column of panels for each thing that changes, seconds above, memory below.
 * @param table the bench's `sweepTable`: rows with `changed`, `value` and, for both sides, seconds, their range, and peak memory in GB
 */
export function sweepFigure({ rows }: Table): Figure {
  const changes = [...new Set(rows.map((row) => `${row.changed}`))];
  const lines = (changed: string, key: string): Line[] =>
    sides.flatMap(({ prefix, ...side }) => {
      const of = (row: Table["rows"][number], what: string) =>
        row[prefix ? `${prefix}${what[0].toUpperCase()}${what.slice(1)}` : what];
      const measured = rows.filter((row) => row.changed === changed && typeof of(row, key) === "number");
      if (measured.length === 0) return [];
      const numbers = (what: string) => measured.map((row) => of(row, what) as number);
      const band =
        key === "seconds"
          ? numbers("fastest").map((low, k): [number, number] => [low, numbers("slowest")[k]])
          : undefined;
      return [{ ...side, x: measured.map((row) => row.value as number), y: numbers(key), band }];
    });
  const panels = [
    { key: "seconds", title: "<b>seconds</b>" },
    { key: "memory", title: "<b>GB</b>" },
  ].flatMap(({ key, title }) =>
    changes.map((changed): Panel => ({ title, x: changed, digits: 2, lines: lines(changed, key), fromZero: true })),
  );
  return linesFigure("One training step of PromptSRC, ViT-B/16", "sweep", panels, {
    height: 580,
    columns: changes.length,
    alt: `Seconds and memory of a training step against ${changes.join(", ")}, this kit beside plain PyTorch`,
  });
}
