#!/usr/bin/env node
/**
 * npm run notebook -- notebook.ipynb [key=value ...] [--in-place | --out file.ipynb]: runs a notebook without Jupyter.
 * `key=value` sets a variable of the cell tagged `parameters`: as in papermill, a cell with the assignments is inserted
 * after it. Without --in-place or --out nothing is written. The exit status is 1 when a cell fails; --in-place then
 * leaves the file unchanged. The written file depends on the cells only: cells without an id get a numbered one, times
 * are dropped, execution counts start from 1, and texts are stored as lists of lines.
 */
const { readFileSync, renameSync, writeFileSync } = require("node:fs");
const path = require("node:path");
const { parseArgs } = require("node:util");

process.env.TF_CPP_MIN_LOG_LEVEL ??= "2";
process.env.TF_FORCE_GPU_ALLOW_GROWTH ??= "true";
const workingFolder = process.cwd();

const usage = "npm run notebook -- notebook.ipynb [key=value ...] [--in-place | --out file.ipynb]";
const writeToTerminal = process.stdout.write.bind(process.stdout);

/** Parses the command line; if it is wrong, prints a message and ends the process. */
function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { out: { type: "string" }, "in-place": { type: "boolean" } },
    });
    const [file, ...settings] = positionals;
    if (!file) throw new Error("no notebook was given");
    const invalid = settings.find((text) => !/^[A-Za-z_$][\w$]*=/.test(text));
    if (invalid) throw new Error(`"${invalid}" is not of the form key=value`);
    const target = values["in-place"] ? file : values.out;
    return {
      file: path.resolve(workingFolder, file),
      target: target && path.resolve(workingFolder, target),
      inPlace: Boolean(values["in-place"]),
      settings,
    };
  } catch (error) {
    console.error(`${error.message}\nusage: ${usage}`);
    process.exit(2);
  }
}

function readNotebook(file) {
  try {
    const notebook = JSON.parse(readFileSync(file, "utf8"));
    if (!Array.isArray(notebook.cells)) throw new Error("it has no list of cells");
    return notebook;
  } catch (error) {
    console.error(`${file} is not a notebook: ${error.message}`);
    process.exit(2);
  }
}

const hasTag = (cell, tag) => (cell.metadata?.tags ?? []).includes(tag);

/**
 * `key=value` as a TypeScript assignment. Values that are valid JSON (2, true, [1,2], "x") are literals, others
 * strings.
 */
function assignment(text) {
  const [key, value] = [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)];
  try {
    JSON.parse(value);
    return `${key} = ${value};`;
  } catch {
    return `${key} = ${JSON.stringify(value)};`;
  }
}

function injectParameters(cells, settings, file) {
  const withoutInjected = cells.filter((cell) => !hasTag(cell, "injected-parameters"));
  if (settings.length === 0) return withoutInjected;
  const parametersIndex = withoutInjected.findIndex((cell) => hasTag(cell, "parameters"));
  if (parametersIndex < 0) {
    console.error(`${file} has no cell tagged "parameters", so ${settings.join(" ")} cannot be set`);
    process.exit(2);
  }
  const injected = {
    cell_type: "code",
    metadata: { tags: ["injected-parameters"] },
    source: settings.map(assignment).join("\n"),
  };
  return withoutInjected.toSpliced
    ? withoutInjected.toSpliced(parametersIndex + 1, 0, injected)
    : [...withoutInjected.slice(0, parametersIndex + 1), injected, ...withoutInjected.slice(parametersIndex + 1)];
}

const joinSource = (source) => [source].flat().join("");
const lines = (text) => text.split(/(?<=\n)/);

/**
 * Collects the outputs of one cell at a time. Display ids are valid in the whole notebook: later cells can update them.
 */
function createRecorder() {
  const displays = new Map();
  let outputs = [];
  return {
    begin: () => {
      outputs = [];
      return outputs;
    },
    stream: (name) => (text, encoding, callback) => {
      const last = outputs.at(-1);
      const newText = typeof text === "string" ? text : Buffer.from(text).toString("utf8");
      if (last?.output_type === "stream" && last.name === name) last.text += newText;
      else outputs.push({ output_type: "stream", name, text: newText });
      (typeof encoding === "function" ? encoding : callback)?.();
      return true;
    },
    display: ({ data, metadata, transient }, update) => {
      const id = transient?.display_id;
      const existing = id && displays.get(id);
      if (update && existing) {
        Object.assign(existing, { data, metadata });
        return;
      }
      const output = { output_type: "display_data", data, metadata: metadata ?? {} };
      outputs.push(output);
      if (id) displays.set(id, output);
    },
  };
}

/**
 * An output as Jupyter stores it: texts become lists of lines, JSON is unchanged, and of text that was overwritten
 * after a carriage return, only what remained on the screen is stored.
 */
function storedOutput(output) {
  if (output.output_type === "stream") return { ...output, text: lines(output.text.replace(/[^\n]*\r(?!\n)/g, "")) };
  if (output.output_type !== "display_data") return output;
  const data = Object.entries(output.data).map(([type, value]) => [
    type,
    typeof value === "string" && !/^image\/(?!svg)|pdf/.test(type) ? lines(value) : value,
  ]);
  return { ...output, data: Object.fromEntries(data) };
}

function cleanCell(cell, index) {
  const {
    execution: _timing,
    collapsed: _collapsed,
    ExecuteTime: _extension,
    papermill: _papermill,
    ...metadata
  } = cell.metadata ?? {};
  const clean = {
    cell_type: cell.cell_type,
    id: cell.id ?? `cell-${index + 1}`,
    metadata,
    source: lines(joinSource(cell.source)).filter((line) => line !== ""),
  };
  if (cell.attachments) clean.attachments = cell.attachments;
  if (cell.cell_type !== "code") return clean;
  return { ...clean, execution_count: cell.execution_count ?? null, outputs: (cell.outputs ?? []).map(storedOutput) };
}

function cleanNotebook(cells) {
  return {
    cells: cells.map(cleanCell),
    metadata: {
      kernelspec: { display_name: "PromptSRC (TypeScript)", language: "typescript", name: "promptsrc" },
      language_info: { file_extension: ".ts", mimetype: "text/typescript", name: "typescript" },
    },
    nbformat: 4,
    nbformat_minor: 5,
  };
}

function write(file, notebook) {
  const part = `${file}.${process.pid}.part`;
  writeFileSync(part, `${JSON.stringify(notebook, null, 1)}\n`);
  renameSync(part, file);
}

/** Runs the code cells in order up to the first failure. @returns the failure, or null */
async function runCells(cells, session, recorder) {
  const total = cells.filter((cell) => cell.cell_type === "code").length;
  // An error outside of the cell's promise (in a timer, or after a forgotten await) fails the cell that is running.
  let uncaught = null;
  const catchUncaught = (value) => {
    uncaught ??= session.describe(value);
  };
  process.on("uncaughtException", catchUncaught);
  process.on("unhandledRejection", catchUncaught);
  let count = 0;
  for (const cell of cells) {
    if (cell.cell_type !== "code") continue;
    cell.execution_count = ++count;
    cell.outputs = recorder.begin();
    const cellStart = Date.now();
    let failure = await session.execute(joinSource(cell.source));
    await new Promise(setImmediate);
    failure ??= uncaught;
    if (failure) cell.outputs.push({ output_type: "error", ...failure });
    writeToTerminal(`cell ${count}/${total}: ${((Date.now() - cellStart) / 1000).toFixed(1)} s\n`);
    if (failure) return failure;
  }
  return null;
}

async function main() {
  const { file, target, inPlace, settings } = readArguments();
  const notebook = readNotebook(file);
  const cells = injectParameters(notebook.cells, settings, file);
  for (const cell of cells) if (cell.cell_type === "code") Object.assign(cell, { outputs: [], execution_count: null });
  const { createSession, exitProcess } = require("./cells.cjs");
  const recorder = createRecorder();
  require("tslab/dist/jupyter.js").lastWriteDisplayData = recorder.display;
  const session = createSession();
  const startTime = Date.now();
  process.stdout.write = recorder.stream("stdout");
  process.stderr.write = recorder.stream("stderr");
  const failure = await runCells(cells, session, recorder);
  session.close();
  if (target && !(failure && inPlace)) write(target, cleanNotebook(cells));
  if (failure) writeToTerminal(`${failure.traceback.join("\n")}\n`);
  writeToTerminal(
    `${path.basename(file)}: ${failure ? "FAILED" : "ok"}, ${((Date.now() - startTime) / 1000).toFixed(1)} s${target && !(failure && inPlace) ? `, written to ${target}` : ""}\n`,
  );
  exitProcess(failure ? 1 : 0);
}

main();
