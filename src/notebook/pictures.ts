/** Pictures for notebooks: a look at a dataset, and still pictures of interactive figures for viewers that run no scripts. */

import { readFileSync } from "node:fs";
import sharp from "sharp";
import type { Dataset, Item } from "../datasets/split";
import { withPainter } from "../figures/save";
import type { Figure } from "../figures/style";
import { writeAtomic } from "../io/atomicWrite";
import { escapeHtml } from "../util/escape";
import type { Html } from "./show";

const side = 56; // pixels of one picture
const gap = 4;

/** Pictures side by side as one JPEG, each resized to a square. */
async function strip(items: Item[]): Promise<Buffer> {
  const pictures = await Promise.all(
    items.map((item) =>
      sharp(item.path).flatten({ background: "#ffffff" }).resize(side, side, { fit: "cover" }).toBuffer(),
    ),
  );
  const width = items.length * (side + gap) - gap;
  const layers = pictures.map((input, k) => ({ input, left: k * (side + gap), top: 0 }));
  return sharp({ create: { width, height: side, channels: 3, background: "#ffffff" } })
    .composite(layers)
    .jpeg({ quality: 88 })
    .toBuffer();
}

/** `count` of the items, evenly spaced: their neighbours show the same drawing. */
const spaced = <T>(items: T[], count: number): T[] =>
  items.length <= count
    ? items
    : Array.from({ length: count }, (_, k) => items[Math.floor(((k + 0.5) * items.length) / count)]);

/** A row per class: its name and some of its training pictures. */
async function column(dataset: Dataset, classes: number, perClass: number): Promise<string> {
  const rows = dataset.classNames.slice(0, classes).map(async (name, label) => {
    const items = spaced(
      dataset.train.filter((item) => item.label === label),
      perClass,
    );
    const source = `data:image/jpeg;base64,${(await strip(items)).toString("base64")}`;
    const cell = "padding:2px 8px;background:none;text-align:left";
    return `<tr style="background:none"><td style="${cell}">${escapeHtml(name)}</td><td style="${cell}"><img alt="${escapeHtml(name)}" src="${source}"></td></tr>`;
  });
  return `<table style="border-collapse:collapse">${(await Promise.all(rows)).join("")}</table>`;
}

/** Training pictures of the first base classes, and of the first novel classes, which training never sees. */
export async function pictureGrid(base: Dataset, novel: Dataset, classes = 5, perClass = 5): Promise<Html> {
  const halves = await Promise.all([column(base, classes, perClass), column(novel, classes, perClass)]);
  const heads = [
    `base classes (${base.classNames.length}), trained on`,
    `novel classes (${novel.classNames.length}), only tested on`,
  ];
  const cell = "vertical-align:top;text-align:left;background:none;padding:4px 12px 4px 0";
  const html = `<table><tr style="background:none">${halves.map((half, k) => `<td style="${cell}"><b>${heads[k]}</b>${half}</td>`).join("")}</tr></table>`;
  const list = (dataset: Dataset) => dataset.classNames.slice(0, classes).join(", ");
  return { html, text: `${base.name}: base classes such as ${list(base)}; novel classes such as ${list(novel)}` };
}

type Output = { data?: Record<string, unknown> };
type Notebook = { cells: { outputs?: Output[] }[] };
const plotly = "application/vnd.plotly.v1+json";

/** Adds a PNG, in the figure's own size, beside each figure of an executed notebook that has none, as JupyterLab does when it saves. Gives how many it added. */
export async function addPictures(notebook: string): Promise<number> {
  const content = JSON.parse(readFileSync(notebook, "utf8")) as Notebook;
  const bare = content.cells.flatMap((c) => c.outputs ?? []).filter((o) => o.data?.[plotly] && !o.data["image/png"]);
  if (bare.length === 0) return 0;
  await withPainter(async (paint) => {
    for (const { data } of bare)
      if (data) data["image/png"] = (await paint(data[plotly] as Figure, "png", 1)).toString("base64");
  });
  writeAtomic(notebook, `${JSON.stringify(content, null, 1)}\n`);
  return bare.length;
}
