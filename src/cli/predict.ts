/** `npm run promptsrc -- predict <picture or folder>...`: class probabilities of pictures of one's own. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { type Prediction, picturesOf, predict } from "../experiments/predict";
import { terminalScreen } from "../experiments/progress";
import { writeAtomic } from "../io/atomicWrite";
import { tableText } from "../results/table";
import { csvLine } from "../util/csv";
import { UsageError } from "../util/errors";
import { buildClassifier, chooseClassifier, classifierOptions } from "./classifier";
import { fromHere, modelPath, parseOptions, startModel, wholeNumber } from "./options";

const options = {
  ...classifierOptions,
  classes: { type: "string" },
  top: { type: "string", default: "5" },
  json: { type: "string" },
  model: { type: "string" },
} as const;

export const predictHelp = `  predict <path>...   class probabilities of pictures, or of all pictures in folders (as CSV)
    --classes a,b,c   class names, or a text file with one in each line
    --prompts file    trained prompts, as for evaluate, with the classes of their training unless others are named
    --template text   without prompts, the sentence of zero-shot CLIP ("a photo of a {}.")
    --top 5           how many classes are shown; --json out.json; --model path`;

/** Class names from a list with commas or from a text file. @throws UsageError where there is none, or one twice */
function readClasses(text: string): string[] {
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
  const { values, positionals } = parseOptions(args, options);
  if (positionals.length === 0) throw new UsageError("predict what? Name pictures, or folders of pictures");
  const choice = chooseClassifier(values);
  const ofTraining = "prompts" in choice ? choice.prompts.classNames : undefined;
  const classNames = values.classes === undefined ? ofTraining : readClasses(values.classes);
  if (classNames === undefined) {
    const why = values.prompts === undefined ? "" : `; ${values.prompts} does not say which it was trained on`;
    throw new UsageError(`predict needs --classes a,b,c, or a text file with a class name in each line${why}`);
  }
  const top = wholeNumber("top", values.top);
  const pictures = picturesOf(positionals, fromHere);
  const hasFolder = positionals.some((place) => statSync(fromHere(place)).isDirectory());
  const model = modelPath(values.model);

  const screen = terminalScreen();
  const { clip } = await startModel(model, screen.print);
  const classifier = buildClassifier(choice, clip, classNames);
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

/** A line for each picture: the class with the largest probability, and the probabilities of all. */
function csv(predictions: Prediction[], classNames: string[]): string {
  const lines = predictions.map(({ picture, probabilities }) => {
    if (!probabilities) return [picture, "", ...classNames.map(() => "")];
    return [picture, ranked(probabilities)[0][0], ...classNames.map((name) => probabilities[name].toFixed(6))];
  });
  return [["picture", "prediction", ...classNames], ...lines].map(csvLine).join("\n");
}
