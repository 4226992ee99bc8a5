/** Pictures with what CLS attends to, as the model sees them: what it looks at keeps its colour, the rest fades to white. */

import sharp from "sharp";
import type { ImageAttention } from "../analysis/attention";
import type { Clip } from "../clip/model";
import type { Item } from "../datasets/split";
import { decode, testPicture } from "../io/preprocess";
import { escapeHtml } from "../util/escape";
import type { Html } from "./show";

const side = 84; // pixels of one picture
const faintest = 0.12;

/**
 * A row of pictures, then one for each of `rows` with the attention of its last block.
 * @param items the pictures, in the order of the attention's.
 */
export async function attentionMaps(
  clip: Clip,
  items: Item[],
  rows: { title: string; attention: ImageAttention }[],
): Promise<Html> {
  const { size, patch } = clip.image;
  const across = Math.floor(size / patch);
  const pictures = await Promise.all(items.map(async ({ path }) => testPicture(await decode(path), clip.preprocess)));
  const source = async (data: Uint8Array, width: number, height: number) => {
    const raw = { width, height, channels: 3 as const };
    const jpeg = await sharp(data, { raw }).resize(side, side).jpeg({ quality: 88 }).toBuffer();
    return `data:image/jpeg;base64,${jpeg.toString("base64")}`;
  };
  const cell = "padding:2px 4px;background:none;text-align:left";
  const line = (title: string, sources: string[]) =>
    `<tr style="background:none"><td style="${cell}">${title}</td>${sources
      .map(
        (src, k) =>
          `<td style="${cell}"><img alt="${escapeHtml(`${items[k].className}, ${title}`)}" src="${src}"></td>`,
      )
      .join("")}</tr>`;
  const plain = await Promise.all(pictures.map(({ data, width, height }) => source(data, width, height)));
  const faded = rows.map(async ({ title, attention }) => {
    const seen = pictures.map(async ({ data, width, height }, k) => {
      const shares = attention[k].slice(1, 1 + across ** 2);
      const most = Math.max(...shares);
      const levels = Uint8Array.from(shares, (share) => (255 * share) / most);
      const raw = { width: across, height: across, channels: 1 as const };
      const mask = await sharp(levels, { raw })
        .resize(width, height, { kernel: "cubic" })
        .extractChannel(0)
        .raw()
        .toBuffer();
      const lit = data.map(
        (value, i) => 255 - (255 - value) * (faintest + ((1 - faintest) * mask[Math.floor(i / 3)]) / 255),
      );
      return source(lit, width, height);
    });
    return line(title, await Promise.all(seen));
  });
  const names = `<tr style="background:none"><td></td>${items.map(({ className }) => `<td style="${cell};font-size:85%;max-width:${side}px;white-space:normal;vertical-align:bottom">${escapeHtml(className.replaceAll("_", " "))}</td>`).join("")}</tr>`;
  const html = `<table style="border-collapse:collapse">${names}${line("picture", plain)}${(await Promise.all(faded)).join("")}</table>`;
  return {
    html,
    text: `attention of CLS in the last block, ${rows.map(({ title }) => title).join(", ")}, on ${items.map(({ className }) => className).join(", ")}`,
  };
}
