import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { materialise, readAtlas } from "../../src/datasets/embedded/materialise";
import { PICTURE, renderPicture } from "../../src/datasets/embedded/render";
import { drawScene } from "../../src/datasets/embedded/scene";
import { loadDataset } from "../../src/datasets/split";
import { seeded } from "../../src/util/random";
import { temporaryFolder } from "../temporary";

const atlas = readAtlas();
const shown = (set: string) => atlas.sets.find((s) => s.name === set)!.classes.flatMap((c) => c.drawings);

describe("the embedded benchmark", () => {
  it("has the generic set, ten others and four shifted versions", () => {
    expect(atlas.sets.filter((s) => !s.source)).toHaveLength(11);
    expect(atlas.sets.filter((s) => s.source === "generic")).toHaveLength(4);
  });

  it("gives 16 shots of every class, from several drawings", () => {
    for (const set of atlas.sets.filter((s) => !s.source))
      for (const { name, drawings } of set.classes) {
        expect(drawings.length * set.renders[0], `${set.name}: ${name}`).toBeGreaterThanOrEqual(16);
        expect(new Set(drawings).size).toBe(drawings.length);
      }
  });

  it("shares no drawing between the generic set and what it is compared with", () => {
    const generic = new Set(shown("generic"));
    for (const set of atlas.sets.filter((s) => s.name !== "generic"))
      expect(shown(set.name).filter((d) => generic.has(d))).toEqual([]);
  });

  it("has only drawings under licences that the data card names", () => {
    const allowed =
      /^(noto|noto-v1|twemoji|emojione|emojione-monotone|fluent-emoji(-flat|-high-contrast)?|fxemoji|streamline-emojis|circle-flags|flag|flagpack|cif):/;
    expect(atlas.drawings.filter((d) => !allowed.test(d.source))).toEqual([]);
  });
});

it("draws what is missing or damaged again, and nothing else", async () => {
  const root = temporaryFolder("atlas");
  const classes = ["cat", "dog"].map((name, k) => ({ name, drawings: [k] }));
  const small = { sets: [{ ...atlas.sets[0], name: "pets", classes }], drawings: atlas.drawings.slice(0, 2) };
  mkdirSync(join(root, "atlas"));
  writeFileSync(join(root, "atlas", "atlas.json"), JSON.stringify(small));
  copyFileSync("data/atlas/sheet-0.webp", join(root, "atlas", "sheet-0.webp"));
  await materialise(undefined, root);
  const { fingerprint } = loadDataset(join(root, "pets"));
  const [damaged, missing] = ["cat/0-00.png", "dog/0-01.png"].map((name) => join(root, "pets", "images", name));
  const lists = join(root, "pets", "split_renders.json");
  writeFileSync(damaged, "no picture");
  rmSync(missing);
  expect(() => loadDataset(join(root, "pets"))).toThrow(
    /0-01\.png is missing; npm run promptsrc -- data draws them again/,
  );
  writeFileSync(lists, "{");
  expect(await materialise(undefined, root)).toEqual([]);
  expect((await materialise(undefined, root, true)).sort()).toEqual([damaged, missing, lists].sort());
  expect(loadDataset(join(root, "pets")).fingerprint).toBe(fingerprint);
  rmSync(root, { recursive: true });
});

describe("the camera", () => {
  const drawing = Uint8Array.from({ length: 64 * 64 * 4 }, (_, i) => (i % 4 === 3 ? 255 : (i * 37) % 256));
  const picture = (seed: number, strength: number) => {
    const random = seeded("camera", seed);
    return renderPicture(drawing, false, drawScene(random, strength), "plain", random);
  };

  it("makes the same picture from the same seed, and another from another", () => {
    expect(picture(1, 0.5)).toEqual(picture(1, 0.5));
    expect(picture(1, 0.5)).not.toEqual(picture(2, 0.5));
    expect(picture(1, 0.5)).toHaveLength(PICTURE * PICTURE * 3);
  });

  it("makes the pictures that the shipped results were made with", () => {
    const hash = createHash("sha256");
    for (let seed = 0; seed < 20; seed++) hash.update(picture(seed, 0.8));
    expect(hash.digest("hex").slice(0, 16)).toMatchInlineSnapshot(`"41163fc88b183d2f"`);
  });
});
