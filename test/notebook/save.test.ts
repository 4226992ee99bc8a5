/** Figures and tables in files: all formats, sizes by name, and names that stay inside the folder. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import { parse } from "csv-parse/sync";
import sharp from "sharp";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { baseNovelFigure } from "../../src/figures/baseNovel";
import { choiceFigure } from "../../src/figures/choice";
import { figureCsv } from "../../src/figures/formats";
import { linesFigure } from "../../src/figures/lines";
import { saveFigure } from "../../src/figures/save";
import { sized } from "../../src/figures/sizes";
import type { Figure } from "../../src/figures/style";
import { save } from "../../src/notebook/save";
import { loadPaper } from "../../src/results/paper";
import type { Table } from "../../src/results/table";
import { temporaryFolder } from "../temporary";

const folder = temporaryFolder("save");
process.env.PROMPTSRC_SAVE = folder;
beforeAll(() => void vi.spyOn(console, "log").mockImplementation(() => {}));

const evil = "a</script><script>alert(1)</script>";
const figure = linesFigure(
  "Accuracy after a long training, with a title that is much wider than a column",
  "accuracy",
  ["<b>Base</b>, trained", "Novel"].map((title, k) => ({
    title,
    x: "epoch",
    lines: [
      { name: "clip", title: "CLIP, 60 templates", x: [1, 2], y: [50 + k, 51.123456789], sd: [0.5, undefined] },
      { name: "mine", title: evil.replace(/</g, "&lt;"), x: [1, 2], y: [60, 61] },
    ],
  })),
  { alt: "accuracies" },
);
const table: Table = { title: "T", columns: [{ key: "a", title: "a" }], rows: [{ a: 1 }] };
const formats = ["svg", "png", "pdf", "html", "csv", "json"];

/** The streams of a PDF as text. */
const streamsOf = (pdf: Buffer): string[] =>
  [...pdf.toString("latin1").matchAll(/\/FlateDecode[^>]*>>\s*stream\r?\n([\s\S]*?)\r?\nendstream/g)].flatMap(
    ([, stream]) => {
      try {
        return [inflateSync(Buffer.from(stream, "latin1")).toString("latin1")];
      } catch {
        return [];
      }
    },
  );

const hasPoppler = spawnSync("pdffonts", ["-v"]).status === 0;

describe("a figure", () => {
  const file = (format: string) => join(folder, "deep", `accuracy.${format}`);
  let returned: unknown;
  beforeAll(async () => {
    returned = await save(figure, "deep/accuracy", { folder });
  });

  it("is written in all formats, and the paths are printed once: not returned, which a cell would show, too", () => {
    expect(returned).toBeUndefined();
    expect(readdirSync(join(folder, "deep")).sort()).toEqual(formats.map((format) => `accuracy.${format}`).sort());
    expect(vi.mocked(console.log).mock.calls.at(-1)).toEqual([formats.map(file).join("\n")]);
  });

  it("as PDF is one page of its size, whose text is text in embedded fonts", () => {
    const pdf = readFileSync(file("pdf"));
    const text = pdf.toString("latin1");
    expect(text.slice(0, 5)).toBe("%PDF-");
    expect(text.match(/\/Type \/Page\b/g)).toHaveLength(1);
    const box =
      text
        .match(/\/MediaBox \[([^\]]+)\]/)?.[1]
        .trim()
        .split(/\s+/)
        .map(Number) ?? [];
    // Chromium rounds to a 300th of an inch.
    expect(Math.max(...[0, 0, 675, 300].map((end, k) => Math.abs(end - box[k])))).toBeLessThan(1);
    expect(text).toMatch(/\/FontFile2/);
    const streams = streamsOf(pdf);
    expect(streams.some((stream) => /beginbf(char|range)/.test(stream))).toBe(true);
    expect(streams.some((stream) => /\bBT\b[\s\S]*\bT[jJ]\b/.test(stream))).toBe(true);
  });

  it.skipIf(!hasPoppler)("as PDF opens in a reader (where Poppler is installed)", () => {
    const read = (program: string, ...args: string[]) => spawnSync(program, args, { encoding: "utf8" });
    expect(read("pdftotext", file("pdf"), "-").stdout).toMatch(
      /Accuracy after a long training[\s\S]*CLIP, 60 templates/,
    );
    const fonts = read("pdffonts", file("pdf")).stdout.trim().split("\n").slice(2);
    expect(fonts.length).toBeGreaterThan(0);
    expect(fonts.filter((font) => !/\byes +(yes|no) +(yes|no) +\d+ +\d+ *$/.test(font))).toEqual([]); // emb, sub, uni
    const { status, stderr } = read("pdftoppm", "-r", "50", "-png", "-singlefile", file("pdf"), join(folder, "seen"));
    expect([status, stderr]).toEqual([0, ""]);
    expect(existsSync(join(folder, "seen.png"))).toBe(true);
  });

  it("as HTML holds Plotly, loads nothing, and no text of the figure ends the script", () => {
    const html = readFileSync(file("html"), "utf8");
    const tags = html.match(/<(script|link|img|iframe)\b[^>]*>/g) ?? [];
    expect(tags.filter((tag) => /\b(src|href)=/.test(tag))).toEqual([]);
    expect(html).not.toContain(evil);
    expect(html.match(/Plotly\.newPlot\("figure"/g)).toHaveLength(1);
    expect(html.length).toBeGreaterThan(1e6);
  });

  it("as CSV has a line for each point, in full precision, as JSON the data and the layout", () => {
    const rows = parse(readFileSync(file("csv"), "utf8"), { columns: true }) as Record<string, string>[];
    expect(rows).toHaveLength(8);
    expect(rows[1]).toEqual({
      trace: "CLIP, 60 templates",
      panel: "Base, trained",
      x: "2",
      y: "51.123456789",
      "error y": "0",
      hover: "51.12",
    });
    expect(rows[7]).toMatchObject({ trace: evil, panel: "Novel", "error y": "" });
    const { data, layout } = JSON.parse(readFileSync(file("json"), "utf8"));
    expect([data.length, layout.height]).toEqual([4, 400]);
  });

  it("at the size of a column is 3.25 inches wide in every drawn format", async () => {
    const small = sized(figure, "one column");
    const [svg, png, pdf] = ["svg", "png", "pdf"].map((format) => join(folder, `small.${format}`));
    await saveFigure(small, svg, png, pdf);
    expect(readFileSync(svg, "utf8")).toMatch(/^<svg[^>]* width="312"/);
    expect((await sharp(png).metadata()).width).toBe(624);
    expect(readFileSync(pdf, "latin1")).toMatch(/\/MediaBox \[\s*0 0 234 /);
    expect((small.layout.title as { text: string }).text).toMatch(/<br>/);
    // The numbers of the second panel's axis stand between the panels, and its heading above it.
    const [start, end] = [small.layout.xaxis2?.domain?.[0] ?? 0, small.layout.xaxis?.domain?.[1] ?? 0];
    expect((start - end) * (small.layout.width ?? 0)).toBeGreaterThan(40);
    expect(small.layout.annotations?.map(({ x }) => x)).toEqual([0, start]);
  });
});

it("a heat map is a line of CSV for each cell", () => {
  const heat = { data: [{ type: "heatmap", name: "h", x: ["a", "b"], y: ["c"], z: [[1, 2]] }], layout: {}, alt: "" };
  expect(parse(figureCsv(heat as never))).toEqual([
    ["trace", "panel", "x", "y", "z"],
    ["h", "x y", "a", "c", "1"],
    ["h", "x y", "b", "c", "2"],
  ]);
});

it("the CSV of a figure with a menu holds every view, and no trace that a view hides", () => {
  const scores = ["a", "b"].flatMap((dataset, d) =>
    ["clip", "ivlp"].map((method, m) => ({ dataset, method, seed: 1, base: 50 + 10 * d + m, novel: 40 + d })),
  );
  const methods = ["clip", "ivlp"].map((name) => ({ name, title: name }));
  const rows = (drawn: Figure) => parse(figureCsv(drawn), { columns: true }) as Record<string, string>[];
  const bases = rows(baseNovelFigure(scores, methods, loadPaper())).filter(
    ({ trace, x }) => trace === "ivlp" && x === "base",
  );
  expect(bases.map(({ view, y }) => [view, y])).toEqual([
    ["mean of 2 datasets", "56"],
    ["a", "51"],
    ["b", "61"],
  ]);
  expect(bases[2].panel).toContain("Ours: b");
  const small = (title: string, y: number) =>
    linesFigure(title, "n", [{ title, x: "x", lines: [{ name: "m", title: "m", x: [1], y: [y] }] }], { alt: "" });
  const choice = choiceFigure([
    { label: "one", figure: small("first", 1) },
    { label: "two", figure: small("second", 2) },
  ]);
  expect(rows(choice).map(({ view, panel, y }) => [view, panel, y])).toEqual([
    ["one", "first", "1"],
    ["two", "second", "2"],
  ]);
});

it("a slide has its proportions, however high the figure", () => {
  for (const height of [300, 400, 900]) {
    const { layout, scale = 1 } = sized({ ...figure, layout: { ...figure.layout, height } }, "slide");
    expect([Number(layout.width) * scale, Math.round(Number(layout.height) * scale)]).toEqual([1280, 720]);
  }
});

it("a size that there is not is an error with those that there are", () => {
  expect(() => sized(figure, "one colum")).toThrow(
    'unknown size "one colum". Did you mean "one column"? There are: one column, two columns, slide',
  );
});

it("a table is written as CSV, Markdown, LaTeX and HTML, over the files that are there", async () => {
  await save(table, "table", { folder });
  const paths = ["csv", "md", "tex", "html"].map((format) => join(folder, `table.${format}`));
  expect(vi.mocked(console.log).mock.calls.at(-1)).toEqual([paths.join("\n")]);
  await save({ ...table, rows: [{ a: 2 }] }, "table", { folder });
  expect(readFileSync(paths[0], "utf8")).toBe("a\r\n2\r\n");
  expect(readFileSync(paths[3], "utf8")).toMatch(/^<!doctype html>[\s\S]*<table/);
});

it.each(["../out", "a/../../out", "/tmp/out", "..", "", "a/", "..\\out"])("the name %j is refused", async (name) => {
  await expect(save(table, name, { folder })).rejects.toThrow("it is no file inside the folder; give a name such as");
  expect(existsSync(join(folder, "..", "out.csv"))).toBe(false);
});

it("a name with an ending, a size of a table, and anything else are refused", async () => {
  await expect(save(figure, "a.png", { folder })).rejects.toThrow("leave out the ending .png");
  await expect(save(table, "a", { folder, size: "slide" })).rejects.toThrow("a table has no size");
  await expect(save({ html: "" } as never, "a", { folder })).rejects.toThrow(
    "a figure or a table of the kit, not html",
  );
});

it("a folder outside the clone is refused, also behind a link", async () => {
  const [outside, link] = [temporaryFolder("elsewhere"), join(folder, "link")];
  symlinkSync(outside, link);
  for (const path of [outside, join(outside, "new"), link, "..", "../sibling"])
    await expect(save(table, "a", { folder: path })).rejects.toThrow("outside this clone");
  expect(readdirSync(outside)).toEqual([]);
});
