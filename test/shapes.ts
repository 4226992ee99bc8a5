/**
 * A small dataset for tests: coloured shapes, 8 classes, in CoOp's folder layout, with the splits renders and disjoint.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { seeded } from "../src/util/random";

const colours = { red: "#d22", green: "#2a2", blue: "#22d", yellow: "#dd2" };
const shapes = { circle: '<circle cx="16" cy="16" r="10"/>', square: '<rect x="7" y="7" width="18" height="18"/>' };

/**
 * Draws `<folder>/images` and writes the split files: per class 6 training, 2 validation and 4 test pictures (32 x 32).
 */
export async function drawShapes(folder: string): Promise<void> {
  const lists: Record<string, [string, number, string][]> = { train: [], val: [], test: [] };
  const names = Object.keys(shapes).flatMap((shape) => Object.keys(colours).map((colour) => [colour, shape]));
  for (const [label, [colour, shape]] of names.entries()) {
    for (let k = 0; k < 12; k++) {
      const random = seeded("shapes", colour, shape, k);
      const path = `${colour}_${shape}/${k}.png`;
      const body = shapes[shape as keyof typeof shapes];
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32"><rect width="32" height="32" fill="hsl(${random.int(360)},20%,85%)"/>
        <g fill="${colours[colour as keyof typeof colours]}" transform="rotate(${random.int(40)} 16 16)">${body}</g></svg>`;
      mkdirSync(dirname(join(folder, "images", path)), { recursive: true });
      await sharp(Buffer.from(svg))
        .removeAlpha()
        .png()
        .toFile(join(folder, "images", path));
      lists[k < 6 ? "train" : k < 8 ? "val" : "test"].push([path, label, `${colour} ${shape}`]);
    }
  }
  for (const split of ["renders", "disjoint"])
    writeFileSync(join(folder, `split_${split}.json`), JSON.stringify({ ...lists, split }));
}
