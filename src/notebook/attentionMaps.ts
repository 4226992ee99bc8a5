/**
 * Attention of CLS, drawn over the preprocessed pictures: regions with high attention keep their colour, the others
 * fade to white.
 */

import sharp from "sharp";
import type { ImageAttention } from "../analysis/attention";
import type { Clip } from "../clip/model";
import type { Item } from "../datasets/split";
import { decode, testPicture } from "../io/preprocess";
import { escapeHtml } from "../util/escape";
import type { Html } from "./show";

const side = 84; // pixels of one picture
const minOpacity = 0.12; // of the picture where the attention is 0

/**
 * One row with the pictures, then one row for each of `rows` with its attention.
 * @param items the pictures, in the same order as in each `attention`
 * @param rows the `attention` of each is that of the last block
 */
export async function attentionMaps(
  clip: Clip,
  items: Item[],
  rows: { title: string; attention: ImageAttention }[],
): Promise<Html> {
  const { size, patch } = clip.image;
  const patchesPerSide = Math.floor(size / patch);
  const pictures = await Promise.all(items.map(async ({ path }) => testPicture(await decode(path), clip.preprocess)));
  const source = async (data: Uint8Array, width: number, height: number) => {
    const raw = { width, height, channels: 3 as const };
    const jpeg = await sharp(data, { raw }).resize(side, side).jpeg({ quality: 88 }).toBuffer();
    return `data:image/jpeg;base64,${jpeg.toString("base64")}`;
  };
  const cell = "padding:2px 4px;background:none;text-align:left";
  const rowHtml = (title: string, sources: string[]) =>
    `<tr style="background:none"><td style="${cell}">${title}</td>${sources
      .map(
        (src, k) =>
          `<td style="${cell}"><img alt="${escapeHtml(`${items[k].className}, ${title}`)}" src="${src}"></td>`,
      )
      .join("")}</tr>`;
  const pictureSources = await Promise.all(pictures.map(({ data, width, height }) => source(data, width, height)));
  const fadedRows = rows.map(async ({ title, attention }) => {
    const fadedPictures = pictures.map(async ({ data, width, height }, k) => {
      const shares = attention[k].slice(1, 1 + patchesPerSide ** 2);
      const largest = Math.max(...shares);
      const levels = Uint8Array.from(shares, (share) => (255 * share) / largest);
      const raw = { width: patchesPerSide, height: patchesPerSide, channels: 1 as const };
      const mask = await sharp(levels, { raw })
        .resize(width, height, { kernel: "cubic" })
        .extractChannel(0)
        .raw()
        .toBuffer();
      const blended = data.map(
        (value, i) => 255 - (255 - value) * (minOpacity + ((1 - minOpacity) * mask[Math.floor(i / 3)]) / 255),
      );
      return source(blended, width, height);
    });
    return rowHtml(title, await Promise.all(fadedPictures));
  });
  const nameStyle = `${cell};font-size:85%;max-width:${side}px;white-space:normal;vertical-align:bottom`;
  const nameCells = items.map(
    ({ className }) => `<td style="${nameStyle}">${escapeHtml(className.replaceAll("_", " "))}</td>`,
  );
  const names = `<tr style="background:none"><td></td>${nameCells.join("")}</tr>`;
  const tableRows = [names, rowHtml("picture", pictureSources), ...(await Promise.all(fadedRows))];
  const html = `<table style="border-collapse:collapse">${tableRows.join("")}</table>`;
  const titles = rows.map(({ title }) => title).join(", ");
  const classNames = items.map(({ className }) => className).join(", ");
  return {
    html,
    text: `attention of CLS in the last block, ${titles}, on ${classNames}`,
  };
}
