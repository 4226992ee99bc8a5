/**
 * Streams pictures with captions for pretraining to standard output. A batch is one line of JSON, {"captions": [...],
 * "names": [...]}, followed by the pictures as raw bytes [batch, 48, 48, 3]. Batch i depends only on the seed and on i,
 * so a run is reproducible.
 *   tsx pretrain/feed.mts corpus               captions only, to train the tokenizer
 *   tsx pretrain/feed.mts batches <steps> <batch> <seed>
 */
import { once } from "node:events";
import { renderPicture } from "../src/datasets/embedded/render";
import { drawScene } from "../src/datasets/embedded/scene";
import { seeded, type Random } from "../src/util/random";
import { caption } from "./captions";
import { collectDrawings, DRAWING, type Concept, type Drawing } from "./concepts";
import { planSets } from "./split";

const log = (line: string) => process.stderr.write(`${line}\n`);
const { drawings, concepts, pixels } = await collectDrawings(log);
const { pretraining } = planSets(drawings, concepts, pixels);

// What a caption can name: emoji concepts with all their drawings, and names of icons that show no emoji.
type Subject = { concept: Concept | null; words: string; colour: Drawing[]; all: Drawing[] };
const subjects = new Map<string, Subject>();
for (const d of pretraining) {
  const key = d.hex ?? d.words;
  const subject = subjects.get(key) ?? {
    concept: d.hex ? concepts.get(d.hex)! : null,
    words: d.words,
    colour: [],
    all: [],
  };
  subject.all.push(d);
  if (!d.mono) subject.colour.push(d);
  subjects.set(key, subject);
}
const emoji = [...subjects.values()].filter((s) => s.concept);
const phrases = [...subjects.values()].filter((s) => !s.concept && s.words.length > 1);

function picture(subject: Subject, strength: number, random: Random) {
  const drawing = random.pick(subject.colour.length && random.uniform() < 0.7 ? subject.colour : subject.all);
  const scene = drawScene(random, strength);
  if (!drawing.mono) {
    const r = random.uniform();
    scene.silhouette = r < 0.04;
    scene.sketched = r > 0.9;
  }
  const flip = random.uniform() < 0.5 && subject.concept?.group !== "flags" && subject.concept?.group !== "symbols";
  const rgba = pixels.subarray(drawing.index * DRAWING * DRAWING * 4, (drawing.index + 1) * DRAWING * DRAWING * 4);
  const text = caption(subject.concept, subject.words, drawing.family, drawing.mono || scene.silhouette, scene, random);
  return { text, image: renderPicture(flip ? mirrored(rgba) : rgba, drawing.mono, scene, "plain", random) };
}

function mirrored(rgba: Uint8Array): Uint8Array {
  const source = new Uint32Array(rgba.slice().buffer);
  const target = new Uint32Array(source.length);
  for (let i = 0; i < source.length; i++) target[i] = source[i - (i % DRAWING) + DRAWING - 1 - (i % DRAWING)];
  return new Uint8Array(target.buffer);
}

const [mode, steps, batch, seed] = [process.argv[2], ...process.argv.slice(3).map(Number)];
if (mode === "corpus") {
  const random = seeded("corpus");
  for (const s of subjects.values())
    for (let i = 0; i < (s.concept ? 6 : 1); i++)
      console.log(caption(s.concept, s.words, "noto", false, drawScene(random, 0.8), random));
} else {
  const fromPhrases = Math.round(batch * 0.15);
  for (let step = 0; step < steps; step++) {
    const random = seeded("pretraining", seed, step);
    const chosen = [
      ...random.shuffle(emoji).slice(0, batch - fromPhrases),
      ...random.shuffle(phrases).slice(0, fromPhrases),
    ];
    const pictures = chosen.map((s) => picture(s, 0.35 + 0.45 * Math.min(1, step / (0.9 * steps)), random));
    process.stdout.write(
      `${JSON.stringify({ captions: pictures.map((p) => p.text), names: chosen.map((s) => s.words) })}\n`,
    );
    if (!process.stdout.write(Buffer.concat(pictures.map((p) => p.image)))) await once(process.stdout, "drain");
  }
}
