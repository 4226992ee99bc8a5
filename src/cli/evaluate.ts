/** `npm run promptsrc -- evaluate --data <dataset> [--prompts <file>]`: accuracy and calibration, class by class. */
import { calibration } from "../analysis/calibration";
import { accuracyByClass } from "../analysis/confusion";
import { baseNovel } from "../datasets/baseNovel";
import { loadDataset } from "../datasets/split";
import { accuracyOf, firstOfSameSentence } from "../experiments/evaluate";
import { type PicturePrediction, predictDataset } from "../experiments/predictions";
import { terminalScreen } from "../experiments/progress";
import { writeAtomic } from "../io/atomicWrite";
import { pretty } from "../io/json";
import { tableText } from "../results/table";
import { oneOf, UsageError } from "../util/errors";
import { buildClassifier, chooseClassifier, classifierOptions, describeClassifier } from "./classifier";
import { lookAtPictures } from "./lookAtPictures";
import { fromHere, modelPath, parseOptions, startModel } from "./options";

export const evaluateHelp = `  evaluate            accuracy and calibration on a dataset, class by class
    --data path       the dataset, as for train
    --prompts file    trained prompts: of train, or an official model.pth.tar-<epoch>; else zero-shot CLIP (--template)
    --subset test     the pictures: test, val or train
    --classes all     all, base (the first half) or novel, each among its own names
    --json out.json   the numbers, and every picture's prediction; --split, --model, --skip-corrupt as for run`;

export async function evaluate(args: string[]): Promise<number> {
  const { values, positionals } = parseOptions(args, {
    ...classifierOptions,
    data: { type: "string" },
    split: { type: "string" },
    subset: { type: "string", default: "test" },
    classes: { type: "string", default: "all" },
    model: { type: "string" },
    json: { type: "string" },
    "skip-corrupt": { type: "boolean", default: false },
  });
  if (positionals.length > 0)
    throw new UsageError(`unexpected "${positionals.join(" ")}": evaluate takes options only`);
  if (values.data === undefined) throw new UsageError("evaluate needs --data: the dataset to evaluate on");
  const subset = oneOf("subset", values.subset, ["test", "val", "train"]) as "test" | "val" | "train";
  const classes = oneOf("classes", values.classes, ["all", "base", "novel"]) as "all" | "base" | "novel";
  const whole = loadDataset(fromHere(values.data), values.split);
  const choice = chooseClassifier(values, whole.template);
  const model = modelPath(values.model);
  const { decodable } = await lookAtPictures([whole], [], [], values["skip-corrupt"]);
  const dataset = classes === "all" ? decodable(whole) : baseNovel(decodable(whole))[classes];
  const items = dataset[subset];
  if (items.length === 0) throw new UsageError(`${dataset.name} has no ${subset} pictures`);

  const screen = terminalScreen();
  const { clip } = await startModel(model, screen.print);
  const classifier = buildClassifier(choice, clip, dataset.classNames);
  let predictions: PicturePrediction[];
  try {
    predictions = await predictDataset(clip, classifier, items, (done) =>
      screen.update(`${done} of ${items.length} pictures`),
    );
  } finally {
    classifier.dispose();
    screen.clear();
  }
  const { accuracy, confidence, ece } = calibration(predictions);
  const which = `${dataset.name}, split ${dataset.split}, ${classes} classes, ${items.length} ${subset} pictures`;
  console.log(`${describeClassifier(choice)} on ${which}\n`);
  console.log(`accuracy ${accuracy.toFixed(1)} %, mean confidence ${confidence.toFixed(1)} %, ECE ${ece.toFixed(1)} %`);
  const firstOf = firstOfSameSentence(dataset.classNames);
  if (firstOf.some((first, label) => first !== label)) {
    const merged = accuracyOf(predictions, firstOf).merged.toFixed(1);
    console.log(`with classes that make the same sentence as one class: accuracy ${merged} %`);
  }
  const table = accuracyByClass(predictions, dataset.classNames);
  console.log(`\n${tableText(table)}`);
  if (values.json) {
    const pictures = predictions.map(({ path, label, predicted, confidence }) => ({
      picture: path,
      class: dataset.classNames[label],
      predicted: dataset.classNames[predicted],
      confidence: Number(confidence.toFixed(6)),
    }));
    const classRows = table.rows.map(({ class: name, pictures: count, accuracy: own }) => ({
      class: name,
      pictures: count,
      accuracy: own,
    }));
    const result = { dataset: dataset.name, split: dataset.split, subset, accuracy, confidence, ece };
    writeAtomic(fromHere(values.json), `${pretty({ ...result, classes: classRows, pictures })}\n`);
    console.log(`\nwritten to ${values.json}`);
  }
  return 0;
}
