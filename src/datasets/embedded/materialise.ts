/**
 * Writes the embedded benchmark to disk. Every set of `data/atlas/atlas.json` becomes a dataset folder in CoOp's
 * layout:
 *   data/<set>/images/<class>/<drawing>-<picture>.png      48 x 48
 *   data/<set>/split_renders.json     train and test are different pictures of the same drawings (the default split)
 *   data/<set>/split_disjoint.json    test pictures show drawings, by other artists, that are not used in training
 * The pictures are rendered from the drawings by a seeded camera (`render.ts`) and are the same on every machine.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { writeAtomic } from "../../io/atomicWrite";
import { seeded } from "../../util/random";
import { CAMERA, DRAWING, PICTURE, renderPicture } from "./render";
import { drawScene, type Look } from "./scene";

/**
 * Content of `data/atlas/atlas.json`. The classes of a set hold indices into `drawings`. Drawing i is on sheet i / 256
 * (rounded down), where the drawings are ordered row by row.
 */
export type Atlas = {
  sets: {
    name: string;
    title: string;
    look: Look;
    strength: number;
    /** Number of pictures of each drawing in train, validation and test of the split "renders". */
    renders: [number, number, number];
    /** The set of which this set is a version under distribution shift. Such a set has only test pictures. */
    source: string | null;
    classes: { name: string; drawings: number[] }[];
  }[];
  drawings: { source: string; family: string; mono: boolean }[];
};

type SplitEntry = [path: string, label: number, className: string];
type Split = { train: SplitEntry[]; val: SplitEntry[]; test: SplitEntry[] };

const PER_ROW = 16;
const PER_SHEET = PER_ROW * PER_ROW;

export function readAtlas(root = "data"): Atlas {
  const path = join(root, "atlas", "atlas.json");
  if (!existsSync(path))
    throw new Error(`${path} is missing: the clone is incomplete; run \`git checkout -- data/atlas\``);
  return JSON.parse(readFileSync(path, "utf8"));
}

/** Reads all drawings of the atlas, each [64, 64, 4] uint8. */
async function readDrawings(root: string, count: number): Promise<Uint8Array[]> {
  const drawings: Uint8Array[] = [];
  for (let sheet = 0; sheet * PER_SHEET < count; sheet++) {
    const pixels = await sharp(join(root, "atlas", `sheet-${sheet}.webp`))
      .ensureAlpha()
      .raw()
      .toBuffer();
    for (let k = 0; k < PER_SHEET && drawings.length < count; k++) {
      const drawing = new Uint8Array(DRAWING * DRAWING * 4);
      for (let y = 0; y < DRAWING; y++) {
        const start = ((Math.floor(k / PER_ROW) * DRAWING + y) * PER_ROW + (k % PER_ROW)) * DRAWING * 4;
        drawing.set(pixels.subarray(start, start + DRAWING * 4), y * DRAWING * 4);
      }
      drawings.push(drawing);
    }
  }
  return drawings;
}

/** Hash of everything that determines the pictures: the atlas, its sheets and the version of the camera. */
function fingerprint(root: string, sheets: number): string {
  const hash = createHash("sha256").update(`camera ${CAMERA}`);
  hash.update(readFileSync(join(root, "atlas", "atlas.json")));
  for (let i = 0; i < sheets; i++) hash.update(readFileSync(join(root, "atlas", `sheet-${i}.webp`)));
  return hash.digest("hex").slice(0, 16);
}

/** From what the pictures of a set were drawn, as its list says; undefined if that is missing or damaged. */
function madeFrom(lists: string): string | undefined {
  try {
    return JSON.parse(readFileSync(lists, "utf8")).made;
  } catch {
    return undefined;
  }
}

const hasContent = (file: string, content: Uint8Array): boolean =>
  existsSync(file) && readFileSync(file).equals(content);

/**
 * Writes the picture folders of all sets that are missing under `root` or were written from other drawings or by
 * another version of the camera. A set whose writing was interrupted is written again. There are about 25,000 pictures,
 * which take half a minute to a minute on two cores.
 * @param progress receives the set's name, the number of drawn pictures, and the number of all pictures to draw
 * @param all draw every set, and write what is missing or damaged
 * @returns the files that were written
 */
export async function materialise(
  progress: (set: string, done: number, total: number) => void = () => {},
  root = "data",
  all = false,
): Promise<string[]> {
  const atlas = readAtlas(root);
  const currentFingerprint = fingerprint(root, Math.ceil(atlas.drawings.length / PER_SHEET));
  const pictureCount = (set: Atlas["sets"][number]) =>
    set.classes.reduce((n, c) => n + c.drawings.length, 0) * (set.renders[0] + set.renders[1] + set.renders[2]);
  const outdated = atlas.sets.filter((set) => {
    const lists = join(root, set.name, "split_disjoint.json");
    return all || madeFrom(lists) !== currentFingerprint;
  });
  if (outdated.length === 0) return [];

  const drawings = await readDrawings(root, atlas.drawings.length);
  const total = outdated.reduce((n, set) => n + pictureCount(set), 0);
  let done = 0;
  const written: string[] = [];
  for (const set of outdated) {
    const folder = join(root, set.name);
    if (madeFrom(join(folder, "split_disjoint.json")) !== currentFingerprint)
      rmSync(folder, { recursive: true, force: true });
    const renders: Split = { train: [], val: [], test: [] };
    const disjoint: Split = { train: [], val: [], test: [] };
    const [train, val, test] = set.renders;
    for (const [label, { name, drawings: classDrawings }] of set.classes.entries()) {
      const directory = name.replace(/[^a-z0-9]+/g, "_");
      mkdirSync(join(folder, "images", directory), { recursive: true });
      // In the split "disjoint", the drawings from this index on are used only for testing.
      const testDrawings = Math.max(1, Math.round(classDrawings.length / 3));
      const firstTestDrawing = set.source ? 0 : classDrawings.length - testDrawings;
      const writes: Promise<unknown>[] = [];
      for (const [d, drawing] of classDrawings.entries())
        for (let k = 0; k < train + val + test; k++) {
          const random = seeded("embedded", set.name, name, d, k);
          const scene = drawScene(random, set.strength);
          const image = renderPicture(drawings[drawing], atlas.drawings[drawing].mono, scene, set.look, random);
          const path = `${directory}/${d}-${String(k).padStart(2, "0")}.png`;
          const png = sharp(image, { raw: { width: PICTURE, height: PICTURE, channels: 3 } }).png({
            compressionLevel: 4,
          });
          const file = join(folder, "images", path);
          const write = (bytes: Uint8Array) => {
            if (hasContent(file, bytes)) return;
            writeFileSync(file, bytes); // one that is half written has no list yet, and is written again
            written.push(file);
          };
          writes.push(png.toBuffer().then(write));
          const subset = k < train ? "train" : k < train + val ? "val" : "test";
          renders[subset].push([path, label, name]);
          disjoint[d >= firstTestDrawing ? "test" : subset === "val" ? "val" : "train"].push([path, label, name]);
        }
      await Promise.all(writes);
      done += writes.length;
      progress(set.name, done, total);
    }
    for (const [split, lists] of Object.entries({ renders, disjoint })) {
      const path = join(folder, `split_${split}.json`);
      const content = Buffer.from(`${JSON.stringify({ made: currentFingerprint, ...lists })}\n`);
      if (hasContent(path, content)) continue;
      writeAtomic(path, content);
      written.push(path);
    }
  }
  return written;
}
