/**
 * Pictures for notebooks: samples of a dataset, wrongly predicted pictures, and pictures of interactive figures for
 * viewers that run no scripts.
 */

import { readFileSync } from "node:fs";
import sharp from "sharp";
import { mostConfidentMistakes } from "../analysis/calibration";
import type { Dataset, Item } from "../datasets/split";
import { inBothThemes, pictureHtml } from "../figures/picture";
import { withPainter } from "../figures/save";
import type { Figure } from "../figures/style";
import { themed } from "../figures/theme";
import { writeAtomic } from "../io/atomicWrite";
import { decode } from "../io/preprocess";
import { plainName } from "../methods/prompts";
import type { Predicted } from "../results/predictions";
import { escapeHtml } from "../util/escape";
import type { Html } from "./show";
import { figureOutputs, type Notebook, plotlyMime } from "./storedOutputs";

const side = 56; // pixels of one picture
const gap = 4;
const mistakeSide = 112; // pixels of one wrongly predicted picture

/** The middle of a picture as the models see it (no rotation by EXIF, alpha dropped), as a square PNG. */
async function thumbnail(file: string, size: number): Promise<Buffer> {
  const { data, width, height } = await decode(file);
  return sharp(data, { raw: { width, height, channels: 3 } })
    .resize(size, size, { fit: "cover" })
    .png()
    .toBuffer();
}

/** One JPEG with the pictures side by side, each resized to a square. */
async function strip(items: Item[]): Promise<Buffer> {
  const pictures = await Promise.all(items.map((item) => thumbnail(item.path, side)));
  const width = items.length * (side + gap) - gap;
  const layers = pictures.map((input, k) => ({ input, left: k * (side + gap), top: 0 }));
  return sharp({ create: { width, height: side, channels: 3, background: "#ffffff" } })
    .composite(layers)
    .jpeg({ quality: 88 })
    .toBuffer();
}

/** Selects `count` evenly spaced items, because neighbouring items show the same drawing. */
const spaced = <T>(items: T[], count: number): T[] =>
  items.length <= count
    ? items
    : Array.from({ length: count }, (_, k) => items[Math.floor(((k + 0.5) * items.length) / count)]);

/** A table with one row for each class from `first` to `end`: its name and `perClass` of its training pictures. */
async function classTable(dataset: Dataset, first: number, end: number, perClass: number): Promise<string> {
  const rows = dataset.classNames.slice(first, end).map(async (name, k) => {
    const items = spaced(
      dataset.train.filter((item) => item.label === first + k),
      perClass,
    );
    const source = `data:image/jpeg;base64,${(await strip(items)).toString("base64")}`;
    const cell = "padding:2px 8px;background:none;text-align:left";
    const image = `<img alt="${escapeHtml(name)}" src="${source}">`;
    const cells = [escapeHtml(name), image].map((content) => `<td style="${cell}">${content}</td>`);
    return `<tr style="background:none">${cells.join("")}</tr>`;
  });
  return `<table style="border-collapse:collapse">${(await Promise.all(rows)).join("")}</table>`;
}

/**
 * Training pictures of the first base classes and of the first novel classes. Novel classes are not used in training.
 */
export async function pictureGrid(base: Dataset, novel: Dataset, classes = 5, perClass = 5): Promise<Html> {
  const tables = await Promise.all([classTable(base, 0, classes, perClass), classTable(novel, 0, classes, perClass)]);
  const headings = [
    `base classes (${base.classNames.length}), trained on`,
    `novel classes (${novel.classNames.length}), only tested on`,
  ];
  const cell = "vertical-align:top;text-align:left;background:none;padding:4px 12px 4px 0";
  const cells = tables.map((table, k) => `<td style="${cell}"><b>${headings[k]}</b>${table}</td>`);
  const html = `<table><tr style="background:none">${cells.join("")}</tr></table>`;
  const namesOf = (dataset: Dataset) => dataset.classNames.slice(0, classes).join(", ");
  return { html, text: `${base.name}: base classes such as ${namesOf(base)}; novel classes such as ${namesOf(novel)}` };
}

/** Training pictures of the first `classes` classes of a dataset, in two columns. */
export async function picturesByClass(dataset: Dataset, classes = 10, perClass = 5): Promise<Html> {
  const shown = dataset.classNames.slice(0, classes);
  const half = Math.ceil(shown.length / 2);
  const tables = await Promise.all([
    classTable(dataset, 0, half, perClass),
    classTable(dataset, half, shown.length, perClass),
  ]);
  const cell = "vertical-align:top;text-align:left;background:none;padding:4px 12px 4px 0";
  const cells = tables.map((table) => `<td style="${cell}">${table}</td>`);
  const html = `<table><tr style="background:none">${cells.join("")}</tr></table>`;
  return { html, text: `${dataset.name}: pictures of ${shown.join(", ")}` };
}

/**
 * The pictures that are predicted wrongly with the highest confidence, each with "true / predicted, confidence".
 * @param classNames those that the predictions number
 */
export async function mistakesGrid(
  predictions: (Predicted & { path: string })[],
  classNames: string[],
  count = 12,
  columns = 6,
): Promise<Html> {
  const wrong = predictions.filter(({ label, predicted }) => label !== predicted).length;
  const summary = `${wrong} of ${predictions.length} pictures are predicted wrongly`;
  const mistakes = mostConfidentMistakes(predictions, count);
  const captions = mistakes.map(({ label, predicted, confidence }) => {
    const [is, called] = [label, predicted].map((c) => plainName(classNames[c]));
    return `${is} / ${called}, ${(100 * confidence).toFixed(0)} %`;
  });
  const place = "padding:4px;background:none;text-align:left;vertical-align:top;white-space:normal";
  const cells = await Promise.all(
    mistakes.map(async ({ path }, k) => {
      const source = `data:image/png;base64,${(await thumbnail(path, mistakeSide)).toString("base64")}`;
      const caption = escapeHtml(captions[k]);
      const image = `<img alt="${caption}" title="${escapeHtml(path)}" src="${source}">`;
      return `<td style="${place};width:${mistakeSide}px">${image}<br>${caption}</td>`;
    }),
  );
  const rows = Array.from(
    { length: Math.ceil(cells.length / columns) },
    (_, row) => `<tr style="background:none">${cells.slice(row * columns, (row + 1) * columns).join("")}</tr>`,
  );
  const heading = mistakes.length > 0 ? `${summary}; the most confident (true / predicted, confidence):` : summary;
  const table = rows.length > 0 ? `<table style="border-collapse:collapse">${rows.join("")}</table>` : "";
  const html = `<b>${heading}</b>${table}`;
  return { html, text: [heading, ...captions].join("\n") };
}

/**
 * Adds pictures to each figure output of an executed notebook that lacks one: a drawing in both themes, which code hosts
 * show, and a PNG for programs that know neither HTML nor Plotly. @returns the number of such figures
 */
export async function addPictures(notebook: string): Promise<number> {
  const content = JSON.parse(readFileSync(notebook, "utf8")) as Notebook;
  const withoutPicture = figureOutputs(content).filter((data) => !data["text/html"] || !data["image/png"]);
  if (withoutPicture.length === 0) return 0;
  await withPainter(async (paint) => {
    for (const data of withoutPicture) {
      const figure = data[plotlyMime] as Figure;
      const [light, dark] = [figure, themed(figure, "dark")].map(async (one) => String(await paint(one, "svg")));
      const drawing = inBothThemes(await light, await dark);
      data["text/html"] = pictureHtml(drawing, [data["text/plain"] ?? ""].flat().join(""));
      const png = sharp(await paint(figure, "png", 1)).png({ palette: true, effort: 10 });
      data["image/png"] = (await png.toBuffer()).toString("base64");
    }
  });
  writeAtomic(notebook, `${JSON.stringify(content, null, 1)}\n`);
  return withoutPicture.length;
}
