/**
 * The embedded benchmark on disk: every set of `data/atlas/atlas.json` becomes a CoOp dataset folder
 *   data/<set>/images/<class>/<drawing>-<picture>.png      48 x 48
 *   data/<set>/split_renders.json     train and test are different pictures of the same drawings (the default split)
 *   data/<set>/split_disjoint.json    test pictures show drawings, by other hands, that training never sees
 * from the drawings and a seeded camera (`render.ts`): the same pictures on every machine.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { seeded } from "../../util/random";
import { CAMERA, DRAWING, PICTURE, renderPicture } from "./render";
import { drawScene, type Look } from "./scene";

/** `data/atlas/atlas.json`. A set's classes point into `drawings`; drawing i is on sheet i / 256, row by row. */
export type Atlas = {
  sets: {
    name: string;
    title: string;
    look: Look;
    strength: number;
    /** Pictures of each drawing for train, validation and test of the split "renders". */
    renders: [number, number, number];
    /** The set whose shifted version this is; such sets have test pictures only. */
    source: string | null;
    classes: { name: string; drawings: number[] }[];
  }[];
  drawings: { source: string; family: string; mono: boolean }[];
};

type DrawnPicture = [path: string, label: number, className: string];
type Split = { train: DrawnPicture[]; val: DrawnPicture[]; test: DrawnPicture[] };

const PER_ROW = 16;
const PER_SHEET = PER_ROW * PER_ROW;

export function readAtlas(root = "data"): Atlas {
  const path = join(root, "atlas", "atlas.json");
  if (!existsSync(path))
    throw new Error(`${path} is missing: the clone is incomplete; run \`git checkout -- data/atlas\``);
  return JSON.parse(readFileSync(path, "utf8"));
}

/** All drawings of the atlas. Each [64, 64, 4] uint8. */
async function readDrawings(root: string, count: number): Promise<Uint8Array[]> {
  const out: Uint8Array[] = [];
  for (let sheet = 0; sheet * PER_SHEET < count; sheet++) {
    const pixels = await sharp(join(root, "atlas", `sheet-${sheet}.webp`))
      .ensureAlpha()
      .raw()
      .toBuffer();
    for (let k = 0; k < PER_SHEET && out.length < count; k++) {
      const drawing = new Uint8Array(DRAWING * DRAWING * 4);
      for (let y = 0; y < DRAWING; y++) {
        const from = ((Math.floor(k / PER_ROW) * DRAWING + y) * PER_ROW + (k % PER_ROW)) * DRAWING * 4;
        drawing.set(pixels.subarray(from, from + DRAWING * 4), y * DRAWING * 4);
      }
      out.push(drawing);
    }
  }
  return out;
}

/** What decides the pictures: the atlas, its sheets and the version of the camera. */
function fingerprint(root: string, sheets: number): string {
  const hash = createHash("sha256").update(`camera ${CAMERA}`);
  hash.update(readFileSync(join(root, "atlas", "atlas.json")));
  for (let i = 0; i < sheets; i++) hash.update(readFileSync(join(root, "atlas", `sheet-${i}.webp`)));
  return hash.digest("hex").slice(0, 16);
}

/**
 * Makes the picture folders of all sets under `root` that are not there yet; a set that was cut short is made again.
 * About 25,000 pictures, half a minute to a minute on two cores. `progress` gets the set's name and pictures made of all pictures.
 */
export async function materialise(
  progress: (set: string, done: number, total: number) => void = () => {},
  root = "data",
): Promise<void> {
  const atlas = readAtlas(root);
  const made = fingerprint(root, Math.ceil(atlas.drawings.length / PER_SHEET));
  const pictures = (set: Atlas["sets"][number]) =>
    set.classes.reduce((n, c) => n + c.drawings.length, 0) * (set.renders[0] + set.renders[1] + set.renders[2]);
  const due = atlas.sets.filter((set) => {
    const lists = join(root, set.name, "split_disjoint.json");
    return !existsSync(lists) || JSON.parse(readFileSync(lists, "utf8")).made !== made;
  });
  if (due.length === 0) return;

  const drawings = await readDrawings(root, atlas.drawings.length);
  const total = due.reduce((n, set) => n + pictures(set), 0);
  let done = 0;
  for (const set of due) {
    const folder = join(root, set.name);
    rmSync(folder, { recursive: true, force: true });
    const renders: Split = { train: [], val: [], test: [] };
    const disjoint: Split = { train: [], val: [], test: [] };
    const [train, val, test] = set.renders;
    for (const [label, { name, drawings: shown }] of set.classes.entries()) {
      const directory = name.replace(/[^a-z0-9]+/g, "_");
      mkdirSync(join(folder, "images", directory), { recursive: true });
      const tested = set.source ? 0 : shown.length - Math.max(1, Math.round(shown.length / 3)); // drawings from here on are new in the test of "disjoint"
      const written: Promise<unknown>[] = [];
      for (const [d, drawing] of shown.entries())
        for (let k = 0; k < train + val + test; k++) {
          const random = seeded("embedded", set.name, name, d, k);
          const scene = drawScene(random, set.strength);
          const image = renderPicture(drawings[drawing], atlas.drawings[drawing].mono, scene, set.look, random);
          const path = `${directory}/${d}-${String(k).padStart(2, "0")}.png`;
          const png = sharp(image, { raw: { width: PICTURE, height: PICTURE, channels: 3 } }).png({
            compressionLevel: 4,
          });
          written.push(png.toFile(join(folder, "images", path)));
          const part = k < train ? "train" : k < train + val ? "val" : "test";
          renders[part].push([path, label, name]);
          disjoint[d >= tested ? "test" : part === "val" ? "val" : "train"].push([path, label, name]);
        }
      await Promise.all(written);
      done += written.length;
      progress(set.name, done, total);
    }
    for (const [split, lists] of Object.entries({ renders, disjoint })) {
      const path = join(folder, `split_${split}.json`);
      writeFileSync(`${path}.part`, `${JSON.stringify({ made, ...lists })}\n`);
      renameSync(`${path}.part`, path);
    }
  }
}
