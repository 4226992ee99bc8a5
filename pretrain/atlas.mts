/**
 * Writes the drawings of the embedded benchmark to `data/atlas/`: sheets of 16 x 16 drawings, and `atlas.json`, which
 * lists the drawings of each downstream dataset. These files are committed; `src/datasets/embedded/materialise.ts`
 * makes the pictures from them.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import type { Atlas } from "../src/datasets/embedded/materialise";
import { collectDrawings, DRAWING } from "./concepts";
import { planSets } from "./split";

const COLUMNS = 16;
const folder = join("data", "atlas");
const { drawings, concepts, pixels } = await collectDrawings(console.log);
const { sets } = planSets(drawings, concepts, pixels);

const positions = new Map<number, number>(); // index of a drawing -> its position in the atlas
for (const set of sets)
  for (const c of set.classes)
    for (const d of c.drawings) if (!positions.has(d.index)) positions.set(d.index, positions.size);

mkdirSync(folder, { recursive: true });
const drawingIndices = [...positions.keys()];
for (let first = 0; first < drawingIndices.length; first += COLUMNS * COLUMNS) {
  const side = COLUMNS * DRAWING;
  const sheet = new Uint8Array(side * side * 4);
  drawingIndices.slice(first, first + COLUMNS * COLUMNS).forEach((index, k) => {
    for (let y = 0; y < DRAWING; y++) {
      const row = pixels.subarray((index * DRAWING + y) * DRAWING * 4, (index * DRAWING + y + 1) * DRAWING * 4);
      sheet.set(row, ((Math.floor(k / COLUMNS) * DRAWING + y) * side + (k % COLUMNS) * DRAWING) * 4);
    }
  });
  const name = `sheet-${first / (COLUMNS * COLUMNS)}.webp`;
  await sharp(sheet, { raw: { width: side, height: side, channels: 4 } })
    .webp({ lossless: true, effort: 6 })
    .toFile(join(folder, name));
}

const atlas: Atlas = {
  drawings: drawingIndices.map((i) => ({
    source: `${drawings[i].set}:${drawings[i].icon}`,
    family: drawings[i].family,
    mono: drawings[i].mono,
  })),
  sets: sets.map(({ classes, ...set }) => ({
    ...set,
    classes: classes.map((c) => ({ name: c.name, drawings: c.drawings.map((d) => positions.get(d.index)!) })),
  })),
};
// One line per class and per drawing: the file is readable, and a change of one entry is a change of one line.
const lines = (list: unknown[]) => `[\n${list.map((x) => JSON.stringify(x)).join(",\n")}\n]`;
const setText = atlas.sets.map(
  ({ classes, ...rest }) => `${JSON.stringify(rest).slice(0, -1)},"classes":${lines(classes)}}`,
);
writeFileSync(
  join(folder, "atlas.json"),
  `{"sets":[\n${setText.join(",\n")}\n],\n"drawings":${lines(atlas.drawings)}}\n`,
);
console.log(`${drawingIndices.length} drawings, ${sets.length} sets`);
