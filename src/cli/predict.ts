/** `npm run promptsrc -- predict <picture or folder>... --classes a,b,c`: zero-shot CLIP on pictures of one's own. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { findModel } from "../clip/findModel";
import { loadClip } from "../clip/load";
import { engineLine, startEngine } from "../engine/tf";
import { type Prediction, picturesOf, predict } from "../experiments/predict";
import { terminalScreen } from "../experiments/progress";
import { writeAtomic } from "../io/atomicWrite";
import { methods } from "../methods/registry";
import { tableText } from "../results/table";
import { oneOf, UsageError } from "../util/errors";
import { fromHere } from "./run";

const options = {
  classes: { type: "string" },
  template: { type: "string", default: "a photo of a {}." },
  top: { type: "string", default: "5" },
  json: { type: "string" },
  model: { type: "string" },
} as const;

export const predictHelp = `  predict <path>...   class probabilities of pictures, or of all pictures in folders (as CSV), by zero-shot CLIP
    --classes a,b,c   class names, or a text file with one in each line
    --template text   the sentence ("a photo of a {}."); --top 5: how many classes are shown; --json out.json; --model path`;

/** Class names from a list with commas or from a text file. @throws UsageError where there is none, or one twice */
function readClasses(text: string | undefined): string[] {
  if (text === undefined)
    throw new UsageError("predict needs --classes a,b,c, or a text file with a class name in each line");
  const file = fromHere(text);
  const isFile = existsSync(file) && statSync(file).isFile();
  const names = (isFile ? readFileSync(file, "utf8").split(/\r?\n/) : text.split(",")).map((name) => name.trim());
  const classes = names.filter((name) => name !== "");
  if (classes.length === 0) throw new UsageError(`--classes ${text}: there is no class name`);
  const twice = classes.find((name, i) => classes.indexOf(name) !== i);
  if (twice !== undefined) throw new UsageError(`--classes: "${twice}" is there twice`);
  return classes;
}

export async function predictCommand(args: string[]): Promise<number> {
  for (const arg of args) {
    if (arg.startsWith("--"))
      oneOf(
        "option",
        arg.split("=")[0],
        Object.keys(options).map((name) => `--${name}`),
      );
  }
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  if (positionals.length === 0) throw new UsageError("predict what? Name pictures, or folders of pictures");
  const classNames = readClasses(values.classes);
  if (!values.template.includes("{}"))
    throw new UsageError(`--template "${values.template}" has no {} for the class name`);
  const top = Number(values.top);
  if (!Number.isInteger(top) || top < 1) throw new UsageError(`--top ${values.top}: expected a whole number from 1`);
  const pictures = picturesOf(positionals, fromHere);
  const hasFolder = positionals.some((place) => statSync(fromHere(place)).isDirectory());
  const model = values.model === undefined ? join("weights", "mini-clip") : findModel(values.model, fromHere);

  const screen = terminalScreen();
  const engine = await startEngine();
  screen.print(engineLine(engine));
  const clip = await loadClip(model);
  for (const note of clip.notes) screen.print(note);
  const config = { zeroShotTemplates: [values.template] };
  const classifier = methods.clip.classify({ clip, classNames, config, seed: 1 }, {});
  let predictions: Prediction[];
  try {
    predictions = await predict(clip, classifier, classNames, pictures, (done) =>
      screen.update(`${done} of ${pictures.length} pictures`),
    );
  } finally {
    classifier.dispose();
    screen.clear();
  }
  if (values.json) {
    writeAtomic(fromHere(values.json), `${JSON.stringify(predictions, null, 1)}\n`);
    console.log(`written to ${values.json}`);
  } else if (hasFolder) console.log(csv(predictions, classNames));
  else for (const prediction of predictions) console.log(`${text(prediction, top)}\n`);
  const failed = predictions.filter(({ error }) => error !== undefined);
  for (const { error } of failed) console.error(`error: ${error}`);
  return failed.length > 0 ? 1 : 0;
}

const ranked = (probabilities: Record<string, number>) => Object.entries(probabilities).sort((a, b) => b[1] - a[1]);

function text({ picture, probabilities, error }: Prediction, top: number): string {
  if (!probabilities) return `${picture}: ${error}`;
  const rows = ranked(probabilities)
    .slice(0, top)
    .map(([name, p]) => ({ class: name, probability: 100 * p }));
  const columns = [
    { key: "class", title: "class" },
    { key: "probability", title: "%", digits: 1 },
  ];
  return tableText({ title: picture, columns, rows });
}

/** A field of a CSV line (RFC 4180). */
const field = (value: string | number): string =>
  /[",\r\n]/.test(`${value}`) ? `"${`${value}`.replaceAll('"', '""')}"` : `${value}`;

/** A line for each picture: the class with the largest probability, and the probabilities of all. */
function csv(predictions: Prediction[], classNames: string[]): string {
  const lines = predictions.map(({ picture, probabilities }) => {
    if (!probabilities) return [picture, "", ...classNames.map(() => "")];
    return [picture, ranked(probabilities)[0][0], ...classNames.map((name) => probabilities[name].toFixed(6))];
  });
  return [["picture", "prediction", ...classNames], ...lines].map((line) => line.map(field).join(",")).join("\n");
}
