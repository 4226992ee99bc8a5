import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

import { calibration } from "../../src/analysis/calibration";
import type { LearntParts } from "../../src/analysis/parts";
import { baseNovelFigure } from "../../src/figures/baseNovel";
import { calibrationFigure } from "../../src/figures/calibration";
import { forgettingFigure } from "../../src/figures/forgetting";
import { partsFigure } from "../../src/figures/parts";
import { priceFigure } from "../../src/figures/price";
import { saveFigure } from "../../src/figures/save";
import { settingFigure } from "../../src/figures/setting";
import { colourOf } from "../../src/figures/style";
import { variantsFigure } from "../../src/figures/variants";
import { methods as registry } from "../../src/methods/registry";
import { bundleOf } from "../../src/notebook/show";
import { tableMime } from "../../src/notebook/storedOutputs";
import { differencesTable, intervalText } from "../../src/results/differences";
import { sortedFrame, tableFrame } from "../../src/results/frame";
import { loadPaper, paperBaseToNovel } from "../../src/results/paper";
import { harmonicMean } from "../../src/results/statistics";
import type { Run } from "../../src/results/store";
import { baseToNovelTable, harmonicMeansTable, lastBlock, tableHtml, tableText } from "../../src/results/table";
import { expectDrawings } from "./drawings";

const methods = [
  { name: "clip", title: "CLIP" },
  { name: "ivlp", title: "IVLP" },
  { name: "promptsrc", title: "PromptSRC" },
];
/** base and novel accuracy by method; seed s adds s to base, dataset "flags" adds 10 to both. */
const levels: [string, number, number][] = [
  ["clip", 50, 50],
  ["ivlp", 70, 40],
  ["promptsrc", 66, 51],
];
const scores = ["food", "flags"].flatMap((dataset) =>
  levels.flatMap(([method, base, novel]) =>
    [1, 2].map((seed) => {
      const lift = dataset === "flags" ? 10 : 0;
      return { dataset, method, seed, base: base + lift + (method === "clip" ? 0 : seed), novel: novel + lift };
    }),
  ),
);
const runs = scores
  .filter((s) => s.dataset === "food")
  .map(({ dataset, method, seed, base, novel }) => {
    const epochs =
      method === "clip"
        ? []
        : [1, 2].map((epoch) => ({
            epoch,
            lr: 1,
            losses: {},
            metrics: { base: base - 2 + epoch, novel: novel + 2 - epoch },
          }));
    return { dataset, method, seed, metrics: { base, novel }, epochs } as unknown as Run;
  });

describe("figures", () => {
  const variants = () => variantsFigure("All", scores, methods, ({ title }) => paperBaseToNovel(loadPaper(), title));
  const series = [
    { title: "one", points: methods.map(({ name }, k) => ({ at: 2 ** k, row: name })) },
    { title: "two", points: [{ at: 0.5, row: "clip" }] },
    { title: "three", points: [{ at: 9, row: "not run" }] },
  ];
  const setting = () =>
    settingFigure({ title: "Setting", axis: "tokens", series, chosen: { at: 2, label: "paper" } }, scores);

  // 60 pictures of confidences from 30 to 97 %, of which CLIP is as often right as it is confident, IVLP less often.
  const confidences = Array.from({ length: 60 }, (_, k) => 0.3 + (0.67 * k) / 59);
  const reliability = () =>
    calibrationFigure(
      "Calibration",
      methods.slice(0, 2).map((method, m) => {
        const predictions = confidences.map((confidence, k) => {
          const label = ((k * 37) % 60) / 60 < confidence - 0.2 * m ? 0 : 1;
          return { label, predicted: 0, confidence: Math.fround(confidence) };
        });
        return { method, calibration: calibration(predictions, 10) };
      }),
    );

  const parts: LearntParts[] = [
    {
      name: "ivlp",
      title: "IVLP",
      numbers: 4608,
      parts: [
        { place: "text", block: 0, kind: "prompts" },
        { place: "image", block: 2, kind: "adapter" },
      ],
    },
    { name: "probe", title: "Probe", parts: [{ place: "features", kind: "classifier" }] },
  ];
  const costs = {
    title: "Cost",
    columns: [],
    rows: [
      { method: "CLIP", parameters: 0 },
      { method: "IVLP", parameters: 4608, "GFLOP a step": 6.1, "ms a step": 90 },
      { method: "PromptSRC", parameters: 4608, "GFLOP a step": 8.5, "ms a step": 124 },
    ],
  };

  it("look like their drawings in snapshots/", async () => {
    await expectDrawings({
      baseNovel: baseNovelFigure(scores, methods, loadPaper()),
      forgetting: forgettingFigure(runs, methods.slice(1), methods[0]),
      variants: variants(),
      setting: setting(),
      calibration: reliability(),
      parts: partsFigure("Parts", parts, { text: 2, image: 3 }),
      price: priceFigure("Price", scores, costs, methods),
    });
  });

  it("have an alternative text with the numbers", () => {
    const bars = baseNovelFigure(scores, methods, loadPaper());
    expect(bars.alt).toBe(
      "Base to novel; base, novel and harmonic-mean accuracy (%), mean of 2 datasets: CLIP 55.0 / 55.0 / 55.0; IVLP 76.5 / 45.0 / 56.7; PromptSRC 72.5 / 56.0 / 63.2",
    );
  });

  it("of variants: rows of dots, with views of the paper's numbers and each dataset", () => {
    const figure = variants();
    const [{ buttons }] = figure.layout.updatemenus as unknown as {
      buttons: { label: string; args: [{ x: number[][] }] }[];
    }[];
    expect(buttons.map(({ label }) => label)).toEqual([
      "ours: mean of 2 datasets",
      "the paper's numbers",
      "ours: food",
      "ours: flags",
    ]);
    expect(buttons[1].args[0].x[2]).toEqual([71.7, 77.51, 79.97]);
  });

  it("of a setting: a line per series, over the values that were run", () => {
    const figure = setting();
    expect(figure.data.map(({ name, x }: any) => [name, x]).slice(0, 2)).toEqual([
      ["one", [1, 2, 3]],
      ["two", [0]],
    ]);
    expect((figure.layout.xaxis as any).ticktext).toEqual(["0.5", "1", "2", "4"]);
  });

  it("of calibration: a point for each bin that has pictures, the error in the legend, the number of pictures", () => {
    const { data, alt } = reliability();
    const [points, bars] = data as any[];
    expect([points.x.length, bars.x.length]).toEqual([7, 10]);
    expect(points.name).toMatch(/^CLIP, ECE \d+\.\d %$/);
    expect(points.customdata[0]).toEqual(["confidence 30 to 40 %", "n = 9 of 60 pictures"]);
    expect(bars.y.reduce((a: number, b: number) => a + b)).toBeCloseTo(100, 8);
    expect(alt).toMatch(/IVLP \d+\.\d \(accuracy \d+\.\d, mean confidence 63\.5, 60 pictures\)/);
  });

  it("have one colour per method", () => {
    const names = Object.keys(registry);
    expect(new Set(names.map((name) => colourOf(name))).size).toBe(names.length);
    expect(colourOf("new", ["clip", "new", "newer"])).not.toBe(colourOf("newer", ["clip", "new", "newer"]));
  });

  it("say what is missing", async () => {
    expect(() => forgettingFigure([{ ...runs[2], epochs: [] }], [methods[1]], methods[0])).toThrow(
      "IVLP hold no accuracy per epoch",
    );
    expect(() => baseNovelFigure([], methods, loadPaper())).toThrow("no run of clip, ivlp, promptsrc");
    expect(() => variantsFigure("All", [], methods)).toThrow("no run of clip, ivlp, promptsrc");
    expect(() => calibrationFigure("Calibration", [])).toThrow("no calibration to draw");
    await expect(saveFigure(baseNovelFigure(scores, methods, loadPaper()), "figure.jpg")).rejects.toThrow(
      "end the name in .svg, .png, .pdf, .html, .csv or .json",
    );
  });
});

describe("tables", () => {
  const table = baseToNovelTable(scores, methods, loadPaper());

  it("hold mean and deviation, the best of each block, and the paper beside the average", () => {
    expect(tableText(table).split("\n").slice(2, 5)).toEqual(
      [
        "food     CLIP             50.0        50.0         50.0",
        "         IVLP       71.5 \u00b1 0.7*        40.0   51.3 \u00b1 0.2",
        "         PromptSRC  67.5 \u00b1 0.7         51.0*  58.1 \u00b1 0.3*",
      ].map((line) => expect.stringMatching(new RegExp(`^${line.replace(/[*.]/g, "\\$&").replace(/ +/g, " +")} *$`))),
    );
    expect(tableHtml({ ...table, title: "<b>" })).toContain("&#60;b&#62;");
    expect(tableHtml(table)).not.toMatch(/<script|<style/);
  });

  it("have the paper's columns beside the paper's datasets and the embedded ones, not beside others", () => {
    const on = (...names: string[]) =>
      baseToNovelTable(
        names.flatMap((dataset) => scores.filter((s) => s.dataset === "food").map((s) => ({ ...s, dataset }))),
        methods,
        loadPaper(),
      );
    const paperCells = ({ rows }: typeof table) =>
      rows.map(({ dataset, method, paperBase }) => [dataset, method, paperBase]);
    const { dtd, average } = { dtd: [53.24, 82.4, 83.37], average: (53.24 + 56.48) / 2 };
    expect(paperCells(on("dtd")).map(([, , base]) => base)).toEqual(dtd);
    expect(paperCells(on("dtd", "eurosat"))).toContainEqual(["average", "CLIP", average]);
    expect(on("dtd", "eurosat").note).toContain("the same datasets");
    expect(paperCells(on("flags"))).toContainEqual(["flags", "CLIP", 69.34]);
    expect(on("my photos").columns.some(({ group }) => group === "paper")).toBe(false);
    expect(on("dtd", "my photos").note).not.toContain("Paper");
  });

  it("are danfo DataFrames with numbers", () => {
    const frame = tableFrame(table);
    expect(frame.columns.slice(0, 4)).toEqual(["dataset", "method", "base", "base sd"]);
    expect(frame.shape[0]).toBe(9);
    expect(frame.column("base").values[1]).toBe(71.5);
  });

  it("are in the order of a column in which values are absent, these last", () => {
    const rows = [{ m: "a", v: 2 }, { m: "b" }, { m: "c", v: { mean: 30, n: 1 } }, { m: "d", v: 4 }];
    const table = {
      title: "",
      columns: [
        { key: "m", title: "m" },
        { key: "v", title: "v" },
      ],
      rows,
    };
    const names = (ascending: boolean) => (sortedFrame(table, "v", { ascending }).values as string[][]).map(([m]) => m);
    expect([names(false), names(true)].map((list) => list.join(""))).toEqual(["cdab", "adcb"]);
    expect(() => sortedFrame(table, "w")).toThrow('unknown column "w"');
  });
  it("give differences with intervals, starred where zero is outside", () => {
    const rows = differencesTable(scores, methods).rows;
    expect(rows.map((r) => r.pair)).toEqual(["IVLP \u2212 CLIP", "PromptSRC \u2212 CLIP", "PromptSRC \u2212 IVLP"]);
    expect(rows[2].novel).toBe("+11.0 [+11.0, +11.0] *");
    expect(intervalText({ mean: -0.2, low: -1, high: 0.6, p: 0.5, pairs: 4 })).toBe("\u22120.2 [\u22121.0, +0.6]");
  });

  it("compare given pairs only", () => {
    const rows = differencesTable(scores, methods, [
      ["ivlp", "clip"],
      ["unknown", "clip"],
    ]).rows;
    expect(rows.map((r) => r.pair)).toEqual(["IVLP \u2212 CLIP"]);
  });

  it("of harmonic means: a column per dataset", () => {
    const table = harmonicMeansTable(scores, methods);
    expect(table.rows[1]).toMatchObject({
      method: "IVLP",
      food: harmonicMean(71.5, 40),
      average: harmonicMean(76.5, 45),
    });
    expect(lastBlock(baseToNovelTable(scores, methods)).rows.map((r) => r.dataset)).toEqual([
      "average",
      "average",
      "average",
    ]);
  });

  it("show as one MIME bundle each", () => {
    expect(Object.keys(bundleOf(table))).toEqual(["text/html", "text/plain", tableMime]);
    expect(Object.keys(bundleOf(tableFrame(table) as never))).toEqual(["text/html", "text/plain", tableMime]);
    const drawing = readFileSync("test/pictures/rgb.png");
    expect(bundleOf(drawing)).toMatchObject({ "image/png": drawing.toString("base64") });
    expect(() => bundleOf(Uint8Array.of(1, 2))).toThrow("these 2 bytes are neither");
    expect(bundleOf({ latex: "x^2" })).toEqual({ "text/latex": "$$x^2$$", "text/plain": "x^2" });
    expect(Object.keys(bundleOf({ svg: "<svg/>" }))).toEqual(["image/svg+xml", "text/plain"]);
    expect(Object.keys(bundleOf({ markdown: "*a*" }))).toEqual(["text/markdown", "text/plain"]);
    expect(Object.keys(bundleOf(baseNovelFigure(scores, methods, loadPaper())))).toEqual([
      "application/vnd.plotly.v1+json",
      "text/plain",
    ]);
  });
});
