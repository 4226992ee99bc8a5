/**
 * Captions of the pretraining pictures, made from CLIP's 80 prompt templates. A template is chosen so that it is true
 * of the picture (blurry, small, a sketch ...). "a photo of a {}." is only one of many, so that pretraining does not
 * favour a single template.
 */
import type { Scene } from "../src/datasets/embedded/scene";
import type { Random } from "../src/util/random";
import type { Concept } from "./concepts";
import { categories } from "./split";

const plain = [
  "a photo of a {}.",
  "a photo of the {}.",
  "a photo of one {}.",
  "a photo of my {}.",
  "itap of the {}.",
  "itap of a {}.",
  "itap of my {}.",
  "art of a {}.",
  "art of the {}.",
  "a rendition of the {}.",
  "a rendition of a {}.",
  "the {}.",
  "a {}.",
];
const clean = [
  "a photo of a clean {}.",
  "a photo of the clean {}.",
  "a good photo of the {}.",
  "a good photo of a {}.",
  "a photo of a nice {}.",
  "a photo of the nice {}.",
  "a photo of a cool {}.",
  "a photo of the cool {}.",
];
const rough = [
  "a bad photo of a {}.",
  "a bad photo of the {}.",
  "a photo of a dirty {}.",
  "a photo of the dirty {}.",
  "a jpeg corrupted photo of a {}.",
  "a jpeg corrupted photo of the {}.",
];
const blurry = [
  "a blurry photo of the {}.",
  "a blurry photo of a {}.",
  "a low resolution photo of the {}.",
  "a low resolution photo of a {}.",
];
const blocks = [
  "a pixelated photo of the {}.",
  "a pixelated photo of a {}.",
  "a low resolution photo of a {}.",
  "the {} in a video game.",
  "a {} in a video game.",
];
const bright = ["a bright photo of a {}.", "a bright photo of the {}."];
const dark = ["a dark photo of the {}.", "a dark photo of a {}."];
const gray = ["a black and white photo of the {}.", "a black and white photo of a {}."];
const hidden = [
  "a photo of the hard to see {}.",
  "a photo of a hard to see {}.",
  "a photo of a weird {}.",
  "a photo of the weird {}.",
];
const close = [
  "a cropped photo of the {}.",
  "a cropped photo of a {}.",
  "a close-up photo of a {}.",
  "a close-up photo of the {}.",
  "a photo of a large {}.",
  "a photo of the large {}.",
];
const small = ["a photo of the small {}.", "a photo of a small {}."];
const lines = [
  "a sketch of a {}.",
  "a sketch of the {}.",
  "a doodle of a {}.",
  "a doodle of the {}.",
  "a drawing of a {}.",
  "a drawing of the {}.",
];
const flat = [
  "a tattoo of a {}.",
  "a tattoo of the {}.",
  "graffiti of a {}.",
  "graffiti of the {}.",
  "a drawing of a {}.",
  "a sketch of a {}.",
];
/**
 * By family of drawings. Words for materials and media have no literal meaning for drawings, so each family has a fixed
 * set of them, which thereby names its style.
 */
const style: Record<string, string[]> = {
  fluent: [
    "the plastic {}.",
    "a plastic {}.",
    "the toy {}.",
    "a toy {}.",
    "a rendering of a {}.",
    "a rendering of the {}.",
    "a sculpture of a {}.",
    "a sculpture of the {}.",
  ],
  noto: ["a cartoon {}.", "the cartoon {}.", "a drawing of a {}.", "a drawing of the {}."],
  "noto-v1": ["a plushie {}.", "the plushie {}.", "a cartoon {}."],
  twemoji: ["the origami {}.", "a origami {}.", "a painting of the {}.", "a painting of a {}."],
  emojione: ["a painting of the {}.", "a painting of a {}.", "the embroidered {}.", "a embroidered {}."],
};

/** Lists of templates that are true of a picture. A list that occurs several times is drawn more often. */
function trueTemplates(scene: Scene, family: string, flatInk: boolean): string[][] {
  const lists: string[][] = [plain, plain];
  if (scene.sketched) lists.push(lines, lines, lines);
  else if (flatInk) lists.push(flat, flat);
  else if (style[family]) lists.push(style[family]);
  if (scene.noise > 0.08) lists.push(rough);
  if (scene.blurred) lists.push(blurry, blurry);
  if (scene.pixelated) lists.push(blocks, blocks);
  if (scene.brightness > 0.08) lists.push(bright);
  if (scene.brightness < -0.08) lists.push(dark);
  if (scene.gray) lists.push(gray, gray);
  if (scene.hidden || Math.abs(scene.tilt) > 0.3) lists.push(hidden);
  if (scene.scale > 0.97) lists.push(close);
  if (scene.scale < 0.7) lists.push(small, small);
  if (lists.length < 4) lists.push(clean);
  return lists;
}

/**
 * What the picture shows, in words: mostly the name of the concept, sometimes the name with its category or a tag, or
 * only the category or tags.
 */
function subject(concept: Concept | null, words: string, random: Random): string {
  if (!concept) return words;
  const r = random.uniform();
  const category = categories[concept.subgroup];
  if (category && r < 0.05) return category;
  if (category && r < 0.15) return `${concept.name}, a type of ${category}`;
  if (concept.tags.length === 0 || r < 0.7) return concept.name;
  if (r < 0.85) return `${concept.name}, ${random.pick(concept.tags)}`;
  return random.shuffle(concept.tags).slice(0, 2).join(" ");
}

export function caption(
  concept: Concept | null,
  words: string,
  family: string,
  flatInk: boolean,
  scene: Scene,
  random: Random,
): string {
  const name = subject(concept, words, random);
  const r = random.uniform();
  if (r < 0.2) return name;
  const text = random.pick(random.pick(trueTemplates(scene, family, flatInk))).replace("{}", name);
  return r > 0.9 && !scene.sketched ? text.replace(/\.$/, ` on a ${scene.background} background.`) : text;
}
