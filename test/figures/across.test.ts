/** Figures that compare methods across datasets and seeds, and sweeps across settings. */
import { expect, it } from "vitest";
import { differencesFigure, improvementFigure } from "../../src/figures/against";
import { criticalDifferenceFigure } from "../../src/figures/criticalDifference";
import { parallelFigure } from "../../src/figures/parallel";
import { planeFigure } from "../../src/figures/plane";
import { profileFigure } from "../../src/figures/profile";
import type { Figure } from "../../src/figures/style";
import { differencesTable } from "../../src/results/differences";
import { loadPaper, paperBaseToNovel } from "../../src/results/paper";
import { seeded } from "../../src/util/random";
import { expectDrawings } from "./drawings";

const methods = [
  { name: "clip", title: "CLIP" },
  { name: "coop", title: "CoOp" },
  { name: "ivlp", title: "IVLP" },
  { name: "promptsrc", title: "PromptSRC" },
];
const gains = { clip: [0, 0], coop: [8, -6], ivlp: [14, -5], promptsrc: [12, 0] };
/** Six datasets, three seeds; a method's gains over CLIP vary with dataset and seed. */
const random = seeded("across");
const scores = ["animals", "faces", "flags", "food", "kinds", "sports"].flatMap((dataset, d) =>
  Object.entries(gains).flatMap(([method, [base, novel]]) =>
    [1, 2, 3].map((seed) => {
      const noise = () => (method === "clip" ? 0 : 2 * random.normal());
      return { dataset, method, seed, base: 40 + 5 * d + base + noise(), novel: 45 + 3 * d + novel + noise() };
    }),
  ),
);
const differences = () => differencesFigure("Differences", scores, methods, "clip");
const ranks = () => criticalDifferenceFigure("Ranks", scores, methods);
const plane = () => planeFigure("Plane", scores, methods, ({ title }) => paperBaseToNovel(loadPaper(), title));
const rows = methods.map((row, k) => ({ ...row, at: { tokens: 2 ** k, init: k < 2 ? "words" : "random" } }));

type Button = { label: string; args: [Record<string, never[][]>, Record<string, unknown>] };
const buttonsOf = ({ layout }: Figure) => (layout.updatemenus as unknown as { buttons: Button[] }[])[0].buttons;

it("look like their drawings in snapshots/", async () => {
  await expectDrawings({
    differences: differences(),
    improvement: improvementFigure("Better runs", scores, methods, "clip"),
    criticalDifference: ranks(),
    plane: plane(),
    parallel: parallelFigure("Sweep", scores, rows),
    profile: profileFigure("Profile", scores, methods, "clip"),
  });
});

it("differences against the chosen method are those of the table, sorted by harmonic mean", () => {
  const table = differencesTable(
    scores,
    methods,
    methods.slice(1).map(({ name }): [string, string] => [name, "clip"]),
  );
  const [{ y, text }] = differences().data.slice(2) as unknown as { y: string[]; text: string[] }[];
  expect(y[0]).toBe("PromptSRC");
  const cells = y.map((title) => `${table.rows.find(({ pair }) => `${pair}`.startsWith(title))?.HM}`);
  expect(text).toEqual(cells.map((cell) => cell.replace(/ \[.*\]/, "")));
  const buttons = buttonsOf(differences());
  expect(buttons.map(({ label }) => label)).toEqual(methods.map(({ title }) => `against ${title}`));
  // The other way round, a difference has the other sign and the same interval.
  const reversed = buttons[3].args[0];
  expect(reversed.x[2][(reversed.y[2] as string[]).indexOf("CLIP")]).toBe(
    -(differences().data as unknown as { x: number[] }[])[2].x[0],
  );
});

it("ranks and the plane can be asked for other accuracies and datasets", () => {
  expect(buttonsOf(ranks()).map(({ label }) => label)).toEqual(["harmonic mean", "base accuracy", "novel accuracy"]);
  expect(ranks().alt).toMatch(/critical difference 1\.91: PromptSRC 1\.\d\d, /); // 2.569 sqrt(4 5 / (6 6))
  expect(
    buttonsOf(plane())
      .map(({ label }) => label)
      .slice(0, 3),
  ).toEqual(["ours: mean of 6 datasets", "the paper's numbers", "ours: animals"]);
});

it("say what is missing", () => {
  const [clip] = methods;
  expect(() => differencesFigure("", scores, [clip])).toThrow("a comparison needs runs of 2 of clip; 1 has any");
  expect(() => criticalDifferenceFigure("", scores.slice(0, 12), methods)).toThrow("2 methods and 2 datasets");
  expect(() => planeFigure("", [], methods)).toThrow("no run of clip");
  expect(() => parallelFigure("", [], rows)).toThrow("no run of clip");
  expect(() => profileFigure("", scores, methods, "maple")).toThrow('a profile needs runs of "maple"');
});
