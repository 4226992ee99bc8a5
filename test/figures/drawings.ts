/**
 * Compares figures with drawings that a person can look at: snapshots/<name>.svg. `UPDATE=1 npx vitest run
 * test/figures` draws them anew. Browsers and fonts differ a little in where they place things, so two drawings are
 * equal if they have the same elements and texts, and if every number (positions, sizes, colours) differs by at most
 * `tolerance`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { withPainter } from "../../src/figures/save";
import type { Figure } from "../../src/figures/style";

/** In pixels. An accuracy of 100 % stands some 300 pixels high, so this is 4 points. */
const tolerance = 12;

const number = /-?\d*\.?\d+(?:e-?\d+)?/g;

/** Plotly numbers its clip paths and gradients at random. */
const withoutIds = (svg: string): string =>
  svg.replace(/(id="|url\(#?['"&quot;]*#?)[\w-]+/g, "$1").replace(/class="[^"]*"/g, "");

export async function expectDrawings(figures: Record<string, Figure>): Promise<void> {
  await withPainter(async (paint) => {
    for (const [name, figure] of Object.entries(figures)) {
      const file = join("test", "figures", "snapshots", `${name}.svg`);
      const svg = (await paint(figure, "svg")).toString("utf8");
      if (process.env.UPDATE) writeFileSync(file, svg);
      const [drawn, expected] = [svg, readFileSync(file, "utf8")].map(withoutIds);
      expect(drawn.replace(number, "0"), `elements and texts of ${file}`).toBe(expected.replace(number, "0"));
      const want = numbersIn(expected);
      const moved = numbersIn(drawn).filter((value, i) => Math.abs(value - want[i]) > tolerance);
      expect(moved, `numbers that differ by more than ${tolerance} from ${file}`).toEqual([]);
    }
  });
}

const numbersIn = (svg: string): number[] => (svg.match(number) ?? []).map(Number);
