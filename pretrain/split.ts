/**
 * Splits the drawings into pretraining and downstream datasets. For each concept, a seeded random draw decides which
 * families (styles) of drawings are used downstream; the others are used for pretraining. For one concept, a family
 * (icon sets with the same outlines) is never used on both sides, and gender variants of a figure are assigned
 * together. A drawing that looks the same as a downstream one is removed from pretraining.
 */
import type { Look } from "../src/datasets/embedded/scene";
import { seeded } from "../src/util/random";
import { type Concept, DRAWING, type Drawing } from "./concepts";

/** One class of a downstream dataset: its name and the drawings that show it. */
export type SetClass = { name: string; drawings: { index: number; family: string; mono: boolean }[] };
/**
 * A downstream dataset. `renders`: number of pictures per drawing for training, validation and test. `source`: the
 * dataset of which it is a shifted version, or null. `strength`: strength of the image distortions.
 */
export type SetPlan = {
  name: string;
  title: string;
  look: Look;
  strength: number;
  renders: [number, number, number];
  source: string | null;
  classes: SetClass[];
};

// five families with drawings of nearly every concept
const styles = ["noto", "noto-v1", "twemoji", "emojione", "fluent"];
const flagStyles = [...styles, "circle-flags", "flag", "flagpack", "cif"];
/** Families of outline drawings that trace another family: name of the outlines -> name of the traced family. */
const tracedFrom: Record<string, string> = { "emojione-monotone": "emojione", "fluent-outline": "fluent" };
const unseenStyles = ["fxemoji", "streamline-emojis"]; // styles that are never used for pretraining

const CLASSES = 40;
const GENERIC_CLASSES = 64;

/** Category names by emoji subgroup: the class names of the dataset `kinds`, and category words in captions. */
export const categories: Record<string, string> = {
  "animal-bird": "bird",
  "animal-bug": "insect",
  "animal-mammal": "mammal",
  "animal-marine": "sea animal",
  "animal-reptile": "reptile",
  "plant-flower": "flower",
  "plant-other": "plant",
  "food-fruit": "fruit",
  "food-vegetable": "vegetable",
  "food-prepared": "meal",
  "food-asian": "asian dish",
  "food-sweet": "dessert",
  drink: "drink",
  clothing: "clothes",
  tool: "tool",
  "musical-instrument": "musical instrument",
  "book-paper": "book or paper",
  office: "office supplies",
  household: "household item",
  "light-video": "light or camera",
  money: "money",
  mail: "mail",
  "transport-ground": "land vehicle",
  "transport-water": "boat",
  "transport-air": "aircraft",
  "place-building": "building",
  "sky-weather": "sky",
  time: "clock",
  sport: "sport",
  game: "game",
  event: "celebration",
  heart: "heart",
  "country-flag": "flag",
  zodiac: "zodiac sign",
  "person-role": "worker",
  "person-fantasy": "fantasy figure",
  "face-smiling": "happy face",
  "face-concerned": "sad face",
  "cat-face": "cat face",
  "transport-sign": "traffic sign",
  computer: "computer",
  medical: "medical item",
  science: "science",
  phone: "phone",
  arrow: "arrow",
  "animal-amphibian": "amphibian",
  "place-religious": "place of worship",
};

/** A name without its gender: the drawings of gender variants differ only in hair and clothes. */
const genderless = (name: string) => name.replace(/^(man|woman|men|women|person|people|mx) (in |with |getting )?/, "");
const isVariant = (c: Concept) => /^(man|woman|men|women) /.test(c.name);
const group = (c: Concept): string | null => {
  if (c.subgroup === "country-flag") return "flags";
  if (isVariant(c) || /skin tone|keycap/.test(c.name)) return null;
  if (c.group === "food-drink" && c.subgroup !== "dishware") return "food";
  if (c.group === "animals-nature") return c.subgroup.startsWith("animal") ? "animals" : "generic";
  if (c.subgroup.startsWith("transport") && c.group === "travel-places") return "vehicles";
  if (/^(face-|cat-face|monkey-face)/.test(c.subgroup)) return "faces";
  if (/^(place-|sky-weather|hotel)/.test(c.subgroup)) return "places";
  if (c.group === "activities" || c.subgroup === "person-sport") return "sports";
  if (/^person-(role|fantasy|activity|gesture)/.test(c.subgroup)) return "people";
  if (c.group === "objects") return c.subgroup === "clothing" ? "generic" : "objects";
  return /^(hand-|body-parts|zodiac|heart)/.test(c.subgroup) ? "generic" : null;
};

const looks: Record<string, [string, Look]> = {
  animals: ["Animals", "dusk"],
  food: ["Food and drink", "warm"],
  faces: ["Faces", "screen"],
  flags: ["Flags", "waves"],
  objects: ["Objects", "clutter"],
  people: ["People", "print"],
  places: ["Places and weather", "haze"],
  sports: ["Sports and festivities", "motion"],
  vehicles: ["Vehicles", "vignette"],
};

/** A 16 x 16 thumbnail [16,16,4] with premultiplied alpha; this is sufficient to tell two drawings apart. */
function thumbnail(pixels: Uint8Array, index: number): Float32Array {
  const out = new Float32Array(16 * 16 * 4);
  const from = index * DRAWING * DRAWING * 4;
  for (let y = 0; y < DRAWING; y++)
    for (let x = 0; x < DRAWING; x++) {
      const p = from + 4 * (y * DRAWING + x);
      const o = 4 * ((y >> 2) * 16 + (x >> 2));
      const alpha = pixels[p + 3] / 255;
      for (let c = 0; c < 3; c++) out[o + c] += ((pixels[p + c] / 255) * alpha) / 16;
      out[o + 3] += alpha / 16;
    }
  return out;
}

/**
 * The drawings of `candidates` that look the same as a drawing of `references`: the mean absolute difference of their
 * thumbnails is below 0.02.
 */
export function lookalikes(candidates: number[], references: number[], pixels: Uint8Array): Set<number> {
  const limit = 0.02 * 16 * 16 * 4;
  const thumbs = references.map((i) => thumbnail(pixels, i));
  const similar = new Set<number>();
  for (const i of candidates) {
    const a = thumbnail(pixels, i);
    for (const b of thumbs) {
      let sum = 0;
      for (let k = 0; k < a.length && sum < limit; k++) sum += Math.abs(a[k] - b[k]);
      if (sum < limit) {
        similar.add(i);
        break;
      }
    }
  }
  return similar;
}

/** Plans the downstream datasets. @returns them, and the drawings that remain for pretraining */
export function planSets(
  drawings: Drawing[],
  concepts: Map<string, Concept>,
  pixels: Uint8Array,
): { sets: SetPlan[]; pretraining: Drawing[] } {
  // Drawings of emoji and flags: emoji code points -> family -> drawings.
  const drawingsOf = new Map<string, Map<string, Drawing[]>>();
  for (const d of drawings) {
    if (!d.hex || (!flagStyles.includes(d.family) && !(d.family in tracedFrom) && !unseenStyles.includes(d.family)))
      continue;
    const families = drawingsOf.get(d.hex) ?? drawingsOf.set(d.hex, new Map()).get(d.hex)!;
    families.set(d.family, [...(families.get(d.family) ?? []), d]);
  }
  const familiesOf = (c: Concept) =>
    (c.subgroup === "country-flag" ? flagStyles : styles).filter((f) => drawingsOf.get(c.hex)?.has(f));

  const members = new Map<string, Concept[]>();
  const seen = new Set<string>();
  for (const c of [...concepts.values()].sort((a, b) => (a.hex < b.hex ? -1 : 1))) {
    const g = group(c);
    if (!g || seen.has(genderless(c.name)) || familiesOf(c).length < 4) continue;
    seen.add(genderless(c.name));
    members.set(g, [...(members.get(g) ?? []), c]);
  }

  /** Genderless name -> families whose drawings of it are used downstream. */
  const downstream = new Map<string, Set<string>>();
  const random = seeded("embedded split", 2);
  const toClass = (c: Concept, families: string[]): SetClass => ({
    name: c.name,
    drawings: families.map((family) => {
      const d = random.pick(drawingsOf.get(c.hex)!.get(family)!);
      return { index: d.index, family, mono: d.mono };
    }),
  });
  const reserve = (c: Concept, families: string[]) => {
    const reserved = downstream.get(genderless(c.name)) ?? new Set();
    for (const f of families) reserved.add(f);
    downstream.set(genderless(c.name), reserved);
    return families;
  };
  const byName = (a: SetClass, b: SetClass) => (a.name < b.name ? -1 : 1);

  const sets: SetPlan[] = [];
  const leftovers: Concept[] = [...(members.get("generic") ?? [])];
  const chosen: Concept[] = [];
  for (const [name, [title, look]] of Object.entries(looks)) {
    const order = random.shuffle(members.get(name) ?? []);
    const used = order.slice(0, CLASSES);
    chosen.push(...used);
    leftovers.push(...order.slice(CLASSES));
    const classes = used.map((c) => toClass(c, reserve(c, random.shuffle(familiesOf(c)).slice(0, 3))));
    sets.push({ name, title, look, strength: 0.5, renders: [6, 3, 7], source: null, classes: classes.sort(byName) });
  }

  // The generic dataset: concepts of all groups that are not used yet and have drawings in all five styles. Three
  // styles are for this dataset, one for generic-v2, one for pretraining.
  const generic = random
    .shuffle(
      leftovers.filter((c) => styles.every((f) => drawingsOf.get(c.hex)!.has(f)) && c.subgroup !== "country-flag"),
    )
    .slice(0, GENERIC_CLASSES)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const shifted = { v2: [] as SetClass[], sketch: [] as SetClass[], rendition: [] as SetClass[] };
  const genericClasses = generic.map((c) => {
    const pretrainingStyle = random.pick(["noto", "noto-v1", "twemoji"]);
    const downstreamStyles = random.shuffle(styles.filter((f) => f !== pretrainingStyle));
    reserve(c, downstreamStyles);
    shifted.v2.push(toClass(c, downstreamStyles.slice(3)));
    const available = (families: string[]) => families.filter((f) => drawingsOf.get(c.hex)!.has(f));
    for (const [kind, families] of [
      ["sketch", Object.keys(tracedFrom)],
      ["rendition", unseenStyles],
    ] as const)
      if (available([...families]).length) shifted[kind].push(toClass(c, available([...families])));
    return toClass(c, downstreamStyles.slice(0, 3));
  });
  const base = { look: "plain" as Look, strength: 0.5, source: null };
  sets.unshift({ ...base, name: "generic", title: "Generic", renders: [6, 3, 7], classes: genericClasses });

  // Coarse classes: categories with eight drawings each, of concepts that the generic dataset does not use.
  const genericNames = new Set(generic.map((c) => c.name));
  const kinds: SetClass[] = [];
  for (const [subgroup, name] of Object.entries(categories)) {
    const inCategory = random.shuffle(
      [...chosen, ...leftovers].filter((c) => c.subgroup === subgroup && !genericNames.has(c.name)),
    );
    if (inCategory.length < 8 || subgroup === "country-flag") continue;
    const categoryDrawings = inCategory.slice(0, 8).map((c) => {
      const families = [
        ...(downstream.get(genderless(c.name)) ?? reserve(c, random.shuffle(familiesOf(c)).slice(0, 3))),
      ].filter((f) => drawingsOf.get(c.hex)!.has(f));
      return toClass(c, [random.pick(families)]).drawings[0];
    });
    kinds.push({ name, drawings: categoryDrawings });
  }
  sets.push({
    ...base,
    name: "kinds",
    title: "Kinds of things",
    look: "posterised",
    renders: [3, 1, 3],
    classes: kinds.sort(byName),
  });

  const target = { ...base, source: "generic" };
  sets.push({ ...target, name: "generic-v2", title: "Generic, drawn anew", renders: [0, 0, 10], classes: shifted.v2 });
  sets.push({
    ...target,
    name: "generic-sketch",
    title: "Generic, outlines",
    renders: [0, 0, 10],
    classes: shifted.sketch,
  });
  sets.push({
    ...target,
    name: "generic-hard",
    title: "Generic, adverse pictures",
    strength: 1,
    renders: [0, 0, 10],
    classes: shifted.v2,
  });
  sets.push({
    ...target,
    name: "generic-rendition",
    title: "Generic, unseen hands",
    renders: [0, 0, 10],
    classes: shifted.rendition,
  });

  // Pretraining uses all other drawings.
  const downstreamDrawings = sets.flatMap((s) => s.classes.flatMap((c) => c.drawings.map((d) => d.index)));
  const unused = drawings.filter((d) => {
    if (unseenStyles.includes(d.family)) return false;
    const concept = d.hex ? concepts.get(d.hex)! : null;
    return !concept || !downstream.get(genderless(concept.name))?.has(tracedFrom[d.family] ?? d.family);
  });
  const flags = new Set(
    drawings.filter((d) => d.hex && concepts.get(d.hex)!.subgroup === "country-flag").map((d) => d.index),
  );
  // A flag looks the same in every style, so flags are not compared.
  const comparable = (i: number) => !flags.has(i);
  const similar = lookalikes(
    unused.filter((d) => d.hex && comparable(d.index)).map((d) => d.index),
    downstreamDrawings.filter(comparable),
    pixels,
  );
  return { sets, pretraining: unused.filter((d) => !similar.has(d.index)) };
}
