#!/usr/bin/env node
/**
 * npm run notebook -- notebook.ipynb [key=value ...] [--in-place | --out file.ipynb]: runs a notebook without Jupyter.
 * `key=value` sets a variable of the cell tagged `parameters` (a cell after it is injected, as papermill does).
 * Without --in-place or --out nothing is written. The exit status is 1 when a cell fails; --in-place then leaves the file as it was.
 * What is written depends on the cells only: ids are kept or numbered, no times, execution counts from 1, texts as lists of lines.
 */
const { readFileSync, renameSync, writeFileSync } = require("node:fs");
const path = require("node:path");
const { parseArgs } = require("node:util");

process.env.TF_CPP_MIN_LOG_LEVEL ??= "2";
process.env.TF_FORCE_GPU_ALLOW_GROWTH ??= "true";
const started = process.cwd();

const usage = "npm run notebook -- notebook.ipynb [key=value ...] [--in-place | --out file.ipynb]";
const terminal = process.stdout.write.bind(process.stdout);

/** Reads the command line; ends the process with a message when it is wrong. */
function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { out: { type: "string" }, "in-place": { type: "boolean" } },
    });
    const [file, ...settings] = positionals;
    if (!file) throw new Error("no notebook was named");
    const wrong = settings.find((text) => !/^[A-Za-z_$][\w$]*=/.test(text));
    if (wrong) throw new Error(`"${wrong}" is not of the form key=value`);
    const target = values["in-place"] ? file : values.out;
    return {
      file: path.resolve(started, file),
      target: target && path.resolve(started, target),
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

const tagged = (cell, tag) => (cell.metadata?.tags ?? []).includes(tag);

/** Values are TypeScript literals where they read as JSON (2, true, [1,2], "x"), else strings. */
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
  const own = cells.filter((cell) => !tagged(cell, "injected-parameters"));
  if (settings.length === 0) return own;
  const at = own.findIndex((cell) => tagged(cell, "parameters"));
  if (at < 0) {
    console.error(`${file} has no cell tagged "parameters", so ${settings.join(" ")} cannot be set`);
    process.exit(2);
  }
  const injected = {
    cell_type: "code",
    metadata: { tags: ["injected-parameters"] },
    source: settings.map(assignment).join("\n"),
  };
  return own.toSpliced ? own.toSpliced(at + 1, 0, injected) : [...own.slice(0, at + 1), injected, ...own.slice(at + 1)];
}

const joined = (source) => [source].flat().join("");
const lines = (text) => text.split(/(?<=\n)/);

/** Collects one cell's outputs; displays keep their id through the whole notebook, so that later cells can update them. */
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
      const added = typeof text === "string" ? text : Buffer.from(text).toString("utf8");
      if (last?.output_type === "stream" && last.name === name) last.text += added;
      else outputs.push({ output_type: "stream", name, text: added });
      (typeof encoding === "function" ? encoding : callback)?.();
      return true;
    },
    display: ({ data, metadata, transient }, update) => {
      const id = transient?.display_id;
      const shown = id && displays.get(id);
      if (update && shown) {
        Object.assign(shown, { data, metadata });
        return;
      }
      const output = { output_type: "display_data", data, metadata: metadata ?? {} };
      outputs.push(output);
      if (id) displays.set(id, output);
    },
  };
}

/** As Jupyter stores them: texts as lists of lines, JSON as it is; of text that a carriage return overwrote, what was left on the screen. */
function stored(output) {
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
    source: lines(joined(cell.source)).filter((line) => line !== ""),
  };
  if (cell.attachments) clean.attachments = cell.attachments;
  if (cell.cell_type !== "code") return clean;
  return { ...clean, execution_count: cell.execution_count ?? null, outputs: (cell.outputs ?? []).map(stored) };
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

/** Runs the code cells in order up to the first failure; returns that failure or null. */
async function runCells(cells, session, recorder) {
  const total = cells.filter((cell) => cell.cell_type === "code").length;
  let stray = null; // an error outside the cell's own promise (a timer, a forgotten await) fails the cell that runs
  const catchStray = (value) => {
    stray ??= session.describe(value);
  };
  process.on("uncaughtException", catchStray);
  process.on("unhandledRejection", catchStray);
  let count = 0;
  for (const cell of cells) {
    if (cell.cell_type !== "code") continue;
    cell.execution_count = ++count;
    cell.outputs = recorder.begin();
    const since = Date.now();
    let failure = await session.execute(joined(cell.source));
    await new Promise(setImmediate);
    failure ??= stray;
    if (failure) cell.outputs.push({ output_type: "error", ...failure });
    terminal(`cell ${count}/${total}: ${((Date.now() - since) / 1000).toFixed(1)} s\n`);
    if (failure) return failure;
  }
  return null;
}

async function main() {
  const { file, target, inPlace, settings } = readArguments();
  const notebook = readNotebook(file);
  const cells = injectParameters(notebook.cells, settings, file);
  for (const cell of cells) if (cell.cell_type === "code") Object.assign(cell, { outputs: [], execution_count: null });
  const { createSession } = require("./cells.cjs");
  const recorder = createRecorder();
  require("tslab/dist/jupyter.js").lastWriteDisplayData = recorder.display;
  const session = createSession();
  const since = Date.now();
  process.stdout.write = recorder.stream("stdout");
  process.stderr.write = recorder.stream("stderr");
  const failure = await runCells(cells, session, recorder);
  session.close();
  if (target && !(failure && inPlace)) write(target, cleanNotebook(cells));
  if (failure) terminal(`${failure.traceback.join("\n")}\n`);
  terminal(
    `${path.basename(file)}: ${failure ? "FAILED" : "ok"}, ${((Date.now() - since) / 1000).toFixed(1)} s${target && !(failure && inPlace) ? `, written to ${target}` : ""}\n`,
  );
  process.exit(failure ? 1 : 0);
}

main();
