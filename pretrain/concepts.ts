/**
 * The drawings of the pretraining data and of the embedded benchmark. The icons of the `@iconify-json/*` packages are
 * matched by name with emoji concepts (Unicode CLDR names) and rendered to 64 x 64 RGBA. `npm run pretrain` renders
 * them once and caches them in `pretrain/.cache/`.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import sharp from "sharp";

export const DRAWING = 64; // pixels per side
const modules = join("pretrain", "node_modules");
export const cache = join("pretrain", ".cache");

/**
 * An emoji, that is, something a picture can show. `name`: its lower-case CLDR name, used in captions and class names.
 */
export type Concept = { hex: string; name: string; group: string; subgroup: string; tags: string[] };

/**
 * One rendered drawing. `icon`: its name in the icon set. `family`: the group of sets with the same outlines. `hex`:
 * code points of the emoji, null for icons that are not emoji. `words`: the name of the emoji or icon. `mono`: drawn in
 * a single colour.
 */
export type Drawing = {
  index: number;
  set: string;
  icon: string;
  family: string;
  hex: string | null;
  words: string;
  mono: boolean;
};

/** Family by icon set. A family is a group of sets with the same outlines; a split never separates it. */
export const families: Record<string, string> = {
  "fluent-emoji": "fluent",
  "fluent-emoji-flat": "fluent",
  "fluent-emoji-high-contrast": "fluent-outline",
};
const emojiSets = [
  "noto",
  "noto-v1",
  "twemoji",
  "emojione",
  "fluent-emoji",
  "fluent-emoji-flat",
  "fxemoji",
  "streamline-emojis",
  "emojione-monotone",
  "fluent-emoji-high-contrast",
];
const flagSets = ["circle-flags", "flag", "flagpack", "cif"];
const iconSets = [
  "game-icons",
  "mdi",
  "tabler",
  "ph",
  "fa6-solid",
  "icon-park",
  "icon-park-solid",
  "maki",
  "flat-color-icons",
  "mingcute",
  "lucide",
  "meteocons",
  "healthicons",
];
const monoSets = new Set([
  "game-icons",
  "mdi",
  "tabler",
  "ph",
  "fa6-solid",
  "icon-park-solid",
  "maki",
  "mingcute",
  "lucide",
  "healthicons",
  "emojione-monotone",
  "fluent-emoji-high-contrast",
]);

const json = (path: string) => JSON.parse(readFileSync(join(modules, path), "utf8"));
const slug = (s: string) =>
  s
    .toLowerCase()
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .replace(/&/g, "and")
    .replace(/['\u2019]/g, "")
    .replace(/[^a-z0-9#*]+/g, "-")
    .replace(/^-|-$/g, "");
const squash = (s: string) => slug(s).replace(/-/g, "");
const hexOf = (emoji: string) =>
  [...emoji]
    .map((c) => c.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0"))
    .filter((h) => h !== "FE0F")
    .join("-");

/** The name in lower-case words without accents and punctuation, as the tokenizer of the small CLIP gets it. */
function plainName(name: string): string {
  return name
    .toLowerCase()
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .replace(/^flag:? (?!of|in )/, "flag of ")
    .replace(/&/g, "and")
    .replace(/\u2019/g, "'")
    .replace(/[^a-z0-9 '#*]/g, " ")
    .replace(/\s+/g, " ")
    .trim();
}

function readConcepts() {
  const groups = json("emojibase-data/meta/groups.json");
  const details = new Map<string, any>();
  for (const e of json("emojibase-data/en/data.json")) details.set(e.hexcode.replace(/-FE0F/g, ""), e);
  const concepts = new Map<string, Concept>();
  const bySlug = new Map<string, Concept>();
  const bySquash = new Map<string, Concept>();
  for (const [emoji, d] of Object.entries<any>(json("unicode-emoji-json/data-by-emoji.json"))) {
    const hex = hexOf(emoji);
    const e = details.get(hex);
    if (!e) continue;
    const concept = {
      hex,
      name: plainName(d.name),
      group: groups.groups[e.group] ?? "",
      subgroup: groups.subgroups[e.subgroup] ?? "",
      tags: (e.tags ?? []).map(plainName).filter((t: string) => /^[a-z' ]+$/.test(t)),
    };
    concepts.set(hex, concept);
    bySlug.set(slug(d.name), concept);
    if (!bySquash.has(squash(d.name))) bySquash.set(squash(d.name), concept);
  }
  for (const vendor of ["cldr", "iamcal", "joypixels", "github", "emojibase", "emojibase-legacy"]) {
    for (const [hex, names] of Object.entries<any>(json(`emojibase-data/en/shortcodes/${vendor}.json`))) {
      const concept = concepts.get(hex.replace(/-FE0F/g, ""));
      for (const n of concept ? [names].flat() : []) if (!bySquash.has(squash(n))) bySquash.set(squash(n), concept!);
    }
  }
  return { concepts, bySlug, bySquash };
}

/** Selects the icons of one set that are used. Each has the concept that it shows (or null) and its name in words. */
function alignSet(set: string, names: string[], { concepts, bySlug, bySquash }: ReturnType<typeof readConcepts>) {
  const flagOf = new Map<string, Concept>();
  for (const c of concepts.values())
    if (c.subgroup === "country-flag")
      flagOf.set(
        c.hex
          .split("-")
          .map((h) => String.fromCharCode(parseInt(h, 16) - 0x1f1e6 + 97))
          .join(""),
        c,
      );
  const used: { name: string; words: string; concept: Concept | null }[] = [];
  for (const name of names) {
    if (flagSets.includes(set)) {
      const concept = flagOf.get(name.replace(/-(4x3|1x1)$/, "").toLowerCase());
      if (concept && !(set === "flag" && !name.endsWith("4x3"))) used.push({ name, words: concept.name, concept });
    } else if (emojiSets.includes(set)) {
      if (/skin-tone/.test(name)) continue;
      const baseName = name.replace(/-\d+$/, "");
      const concept =
        bySlug.get(name) ??
        bySquash.get(squash(name)) ??
        bySlug.get(baseName) ??
        bySquash.get(squash(baseName)) ??
        bySlug.get(`flag-${name}`) ??
        bySquash.get(squash(`flag-for-${name}`));
      if (concept) used.push({ name, words: concept.name, concept });
    } else {
      // One style of each icon is enough (outline, filled or duotone). Crossed-out icons ("off") are omitted.
      if (set === "ph" && !/-(fill|duotone)$/.test(name) && /-(bold|light|thin)$/.test(name)) continue;
      if (set === "mdi" && /-(off|outline|variant)\b/.test(name)) continue;
      if (set === "mingcute" && !/-fill$/.test(name)) continue;
      if (set === "tabler" && /-off\b/.test(name)) continue;
      if (set === "healthicons" && /-(24px|negative)$/.test(name)) continue;
      const baseName = name.replace(/-(fill|duotone|filled|outline|line|bold|light|thin)$/, "");
      const concept = bySlug.get(baseName) ?? null;
      used.push({ name, words: concept?.name ?? plainName(baseName), concept });
    }
  }
  return used;
}

async function renderIcon(pack: any, name: string): Promise<Buffer> {
  const icon = pack.icons[name];
  const [w, h] = [icon.width ?? pack.width ?? 16, icon.height ?? pack.height ?? 16];
  const body = icon.body.replace(/<(animate\w*|set)\b[^>]*\/>/g, "");
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${DRAWING}" height="${DRAWING}" viewBox="${icon.left ?? 0} ${icon.top ?? 0} ${w} ${h}">${body}</svg>`;
  return sharp(Buffer.from(svg))
    .resize(DRAWING, DRAWING, { fit: "contain", background: { r: 0, g: 0, b: 0, alpha: 0 } })
    .ensureAlpha()
    .raw()
    .toBuffer();
}

/** All drawings and concepts; they are rendered on the first call. `pixels`: [drawings, 64, 64, 4] uint8. */
export async function collectDrawings(
  print: (line: string) => void,
): Promise<{ drawings: Drawing[]; concepts: Map<string, Concept>; pixels: Uint8Array }> {
  const file = join(cache, "drawings.rgba");
  const concepts = readConcepts();
  if (!existsSync(file)) {
    mkdirSync(cache, { recursive: true });
    sharp.concurrency(1);
    const out = openSync(`${file}.part`, "w");
    const drawings: Drawing[] = [];
    for (const set of [...emojiSets, ...flagSets, ...iconSets]) {
      const pack = json(`@iconify-json/${set}/icons.json`);
      const names = Object.keys(pack.icons).filter((n) => !pack.icons[n].hidden);
      const before = drawings.length;
      for (const { name, words, concept } of alignSet(set, names, concepts)) {
        // a few icons use SVG features that librsvg does not support
        const rgba = await renderIcon(pack, name).catch(() => null);
        let ink = 0;
        for (let i = 3; rgba && i < rgba.length; i += 4) ink += rgba[i];
        if (!rgba || ink < 255 * 40) continue;
        writeSync(out, rgba);
        drawings.push({
          index: drawings.length,
          icon: name,
          set,
          family: families[set] ?? set,
          hex: concept?.hex ?? null,
          words,
          mono: monoSets.has(set),
        });
      }
      print(`  ${set}: ${drawings.length - before} drawings`);
    }
    closeSync(out);
    writeFileSync(join(cache, "drawings.json"), JSON.stringify(drawings));
    renameSync(`${file}.part`, file);
  }
  const drawings: Drawing[] = JSON.parse(readFileSync(join(cache, "drawings.json"), "utf8"));
  return { drawings, concepts: concepts.concepts, pixels: new Uint8Array(readFileSync(file)) };
}
