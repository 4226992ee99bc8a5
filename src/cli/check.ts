/**
 * `npm run promptsrc -- check <path>...`: what a path is, whether and how the kit uses it, what is missing and where it
 * is to be had.
 */
import fs from "node:fs";
import path from "node:path";
import { findModel } from "../clip/findModel";
import { checkModel } from "../clip/load";
import { type CoopDataset, coopDataset, coopDatasets, missingLists } from "../datasets/coop";
import { classFolders } from "../datasets/photoFolder";
import { isTableName, listedSplit } from "../datasets/photoTable";
import { type Dataset, listSplits, loadDataset } from "../datasets/split";
import { firstOfSameSentence } from "../experiments/evaluate";
import { isPrompts, readPrompts } from "../experiments/trainedPrompts";
import { identify, isPictureName, kindWords } from "../io/identify";
import { openTensors } from "../io/openTensors";
import { decode } from "../io/preprocess";
import { readJson } from "../io/readJson";
import { UsageError } from "../util/errors";
import { describePrompts } from "./convert";
import { fromHere } from "./options";

/** What was found: sentences that are shown, and whether the kit can use the path as it is. */
type Finding = { usable: boolean; lines: string[] };

const usable = (...lines: string[]): Finding => ({ usable: true, lines });
const unusable = (...lines: string[]): Finding => ({ usable: false, lines });

/** Checks every path. @returns the exit status: 0 if all of them can be used, else 1 */
export async function check(paths: string[]): Promise<number> {
  if (paths.length === 0)
    throw new UsageError("check what? Name a model, a data root, a dataset, a picture or a result");
  let all = true;
  for (const name of paths) {
    const finding = await checkPath(name);
    all &&= finding.usable;
    console.log(`${finding.usable ? "ok" : "NOT USABLE"}  ${name}`);
    for (const line of finding.lines) console.log(`    ${line}`);
  }
  return all ? 0 : 1;
}

async function checkPath(name: string): Promise<Finding> {
  const place = fromHere(name);
  const kind = identify(place);
  try {
    if (kind === "missing" && /^[\w-]+\/[\w.-]+$/.test(name)) return checkModelPath(findModel(name, fromHere));
    if (kind === "missing") return unusable(`there is nothing at ${place}.`);
    if (kind === "folder") return await checkFolder(place);
    if (kind === "picture") return await checkPicture(place);
    if (kind === "safetensors" || kind === "torch") return checkTensorFile(place);
    if (kind === "json") return checkJson(place);
    if (isTableName(place)) return checkTable(place);
    return unusable(`It is ${kindWords[kind]}.`);
  } catch (error) {
    return unusable(`${(error as Error).message}.`.replace(/\.\.$/, "."));
  }
}

function checkModelPath(place: string): Finding {
  const { layout, config, bytes, notes } = checkModel(place);
  const { image, text, embed } = config;
  return usable(
    `It is ${layout} of a CLIP, ${(bytes / 1e6).toFixed(0)} MB: every tensor is there, of the right shape and type, and finite.`,
    `Image encoder: ${image.layers} blocks of width ${image.width}, pictures of ${image.size} pixels, patches of ${image.patch}.`,
    `Text encoder: ${text.layers} blocks of width ${text.width}, ${text.context} tokens, ${text.activation}; joint embedding ${embed}.`,
    ...notes.map((note) => `${note}.`),
    `Use it with --model ${place}`,
  );
}

async function checkFolder(folder: string): Promise<Finding> {
  const names = fs.readdirSync(folder);
  if (names.length === 0) return unusable("It is an empty folder.");
  const isModel = names.some(
    (name) => ["config.json", "open_clip_config.json"].includes(name) || /\.(pt|safetensors|bin)$/.test(name),
  );
  if (isModel) return checkModelPath(folder);
  const record = coopDataset(path.basename(folder));
  const splits = listSplits(folder);
  if (record && missingLists(record, folder).length === 0) return datasetFinding(loadDataset(folder), record);
  if (splits.length > 0) {
    return usable(
      ...splits.flatMap((split) => [`Split ${split}:`, ...datasetFinding(loadDataset(folder, split)).lines]),
    );
  }
  const present = coopDatasets.filter((dataset) => names.includes(dataset.folder) || names.includes(dataset.name));
  if (present.length > 0) return checkRoot(folder, names);
  const inner = names.filter(
    (name) => fs.existsSync(path.join(folder, name, "images")) && listSplits(path.join(folder, name)).length > 0,
  );
  if (inner.length > 0) {
    return usable(
      `It is a data root of ${inner.length} datasets: ${inner.join(", ")}.`,
      `Use it with --data ${folder}`,
    );
  }
  if (record) {
    return unusable(
      `It has the name of ${record.paper}, but lacks ${missingLists(record, folder).join(", ")}.`,
      `Where to get it: ${record.source}.`,
    );
  }
  if (names.some((name) => name.endsWith(".jsonl") || fs.existsSync(path.join(folder, name, ".trained")))) {
    return usable("It is a folder of results.", `Use it with --results ${folder}`);
  }
  const classes = classFolders(folder);
  if (classes.length > 1) {
    const { lines } = datasetFinding(loadDataset(folder));
    const parent = path.dirname(folder);
    return usable(
      "It is a folder with a folder of pictures for each class, split at random (seed1; --split seed2 is another).",
      ...lines,
      `Use it with --data ${parent} --datasets ${path.basename(folder)}`,
    );
  }
  const pictures = countPictures(folder);
  if (pictures.count > 0) {
    return unusable(
      `It is a folder of ${pictures.count} pictures, not in a folder for each class: predict takes it; a dataset needs ` +
        "such folders, or images/ with split_<name>.json.",
    );
  }
  return unusable(`It is a folder of nothing that is known here: ${names.slice(0, 6).join(", ")}.`);
}

function checkTable(file: string): Finding {
  const dataset = loadDataset(file);
  const how = dataset.split === listedSplit ? "with parts" : "split at random (seed1; --split seed2 is another)";
  return usable(
    `It is a table of pictures, ${how}.`,
    ...datasetFinding(dataset).lines,
    `Use it with --data ${path.dirname(file)} --datasets ${path.basename(file)}`,
  );
}

function datasetFinding({ name, classNames, train, val, test, template }: Dataset, record?: CoopDataset): Finding {
  const counts = { classes: classNames.length, train: train.length, val: val.length, test: test.length };
  const lines = [
    `It is the dataset ${name}: ${counts.classes} classes, ${counts.train} training, ${counts.val} validation and ${counts.test} test pictures, all there.`,
  ];
  if (template) lines.push(`Sentence of zero-shot CLIP: "${template}"`);
  if (record) {
    const differs = Object.entries(record.published).filter(
      ([key, value]) => counts[key as keyof typeof counts] !== value,
    );
    lines.push(
      differs.length === 0
        ? "The counts are the published ones."
        : `The published counts differ: ${differs.map(([key, value]) => `${key} ${value}`).join(", ")}.`,
    );
  }
  const firstOf = firstOfSameSentence(classNames);
  for (const [label, className] of classNames.entries()) {
    if (firstOf[label] === label) continue;
    lines.push(`"${className}" and "${classNames[firstOf[label]]}" make the same sentence: they cannot be told apart.`);
  }
  return usable(...lines);
}

/** Which of CoOp's fifteen datasets a root has. */
function checkRoot(root: string, names: string[]): Finding {
  let complete = 0;
  const lines = coopDatasets.map((record) => {
    const folder = path.join(root, record.folder);
    const title = record.name.padEnd(16);
    if (!names.includes(record.folder)) {
      const other = [
        record.name,
        record.paper,
        record.folder.replaceAll("-", "_"),
        record.folder.replaceAll("-", ""),
      ].find((name) => names.includes(name));
      if (other) return `${title} is under another name: rename ${other} to ${record.folder}`;
      return `${title} missing; ${record.folder}/ from ${record.source}`;
    }
    const missing = missingLists(record, folder);
    if (missing.length > 0) return `${title} lacks ${missing.join(", ")}; from ${record.source}`;
    try {
      const { classNames, train, val, test } = loadDataset(folder);
      complete++;
      const { published: p } = record;
      const same = p.classes === classNames.length && p.train === train.length && p.test === test.length;
      const counts = `${classNames.length} classes, ${train.length} / ${val.length} / ${test.length} pictures`;
      return `${title} ${counts}${same ? ", as published" : `; published: ${p.classes}, ${p.train} / ${p.val} / ${p.test}`}`;
    } catch (error) {
      return `${title} ${(error as Error).message}`;
    }
  });
  const head = `It is a data root with ${complete} of CoOp's fifteen datasets.`;
  const tail = `Use it with --data ${root}`;
  return { usable: complete > 0, lines: [head, ...lines, tail] };
}

function countPictures(folder: string): { count: number; folders: number } {
  const files = fs.readdirSync(folder, { recursive: true, encoding: "utf8" }).filter(isPictureName);
  return { count: files.length, folders: new Set(files.map((name) => path.dirname(name))).size };
}

async function checkPicture(file: string): Promise<Finding> {
  const { width, height } = await decode(file);
  return usable(`It is a picture of ${width} x ${height} pixels, and can be decoded.`);
}

function checkTensorFile(file: string): Finding {
  const tensors = openTensors(file);
  const { names } = tensors;
  tensors.close();
  if (names.some((name) => /visual\.(conv1|trunk)/.test(name))) return checkModelPath(file);
  if (names.some((name) => name.startsWith("vision_model."))) {
    return unusable(
      "It is the weight file of a Hugging Face model: name its folder instead, which has the config and the tokenizer.",
    );
  }
  if (isPrompts(tensors) || names.some((name) => /prompt|VPT|^ctx$/.test(name))) return promptsFinding(file);
  return unusable(`It is a file of ${names.length} tensors that are no CLIP: ${names.slice(0, 4).join(", ")}.`);
}

function promptsFinding(file: string): Finding {
  const prompts = readPrompts(file);
  const { classNames, model, training } = prompts;
  const lines = [`It holds ${describePrompts(prompts)}.`];
  if (model) lines.push(`Model of the training: ${model.name}, fingerprint ${model.fingerprint.slice(0, 12)}.`);
  if (training) {
    const { dataset, split, shots, seed } = training;
    lines.push(`Trained on ${dataset}, split ${split}, ${shots} shots, seed ${seed}.`);
  }
  if (classNames) lines.push(`Classes of the training: ${classNames.join(", ")}.`);
  return usable(...lines, `Use it with --prompts ${file}`);
}

function checkJson(file: string): Finding {
  const json = readJson(file);
  if (json?.cells && json?.nbformat)
    return usable("It is a notebook: open it in JupyterLab, or run it with npm run notebook.");
  if (json?.metrics && json?.key)
    return usable(`It is the result of a run: ${json.method} on ${json.dataset}, seed ${json.seed}.`);
  if (json?.train || json?.test)
    return usable("It is a split file: it belongs into a dataset's folder as split_<name>.json.");
  return unusable("It is a JSON file that is neither a result, a split file nor a notebook.");
}
