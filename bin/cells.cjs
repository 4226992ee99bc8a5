/**
 * Runs TypeScript cells with tslab's executor, for the Jupyter kernel (kernel.cjs) and for notebooks without Jupyter (run-notebook.cjs):
 * cells import "./src/..." from the root of the clone, a failed cell comes back as { ename, evalue, traceback } with lines of the
 * TypeScript sources, and a last value that has [Symbol.for("Jupyter.display")]() is shown by the MIME bundle which that returns.
 */
const { existsSync, readFileSync } = require("node:fs");
const { SourceMap } = require("node:module");
const path = require("node:path");
const { inspect } = require("node:util");

const root = path.dirname(__dirname);
process.chdir(root); // tslab takes its root folder from here when it is loaded

const ts = require("@tslab/typescript-for-tslab");
const { createConverter } = require("tslab/dist/converter.js");
const { createExecutor } = require("tslab/dist/executor.js");
const jupyter = require("tslab/dist/jupyter.js");

/** `execute(code)` resolves to null when the cell went well, else to its failure { ename, evalue, traceback }. */
exports.createSession = function createSession() {
  const node = createConverter({ isJS: false, isBrowser: false });
  const cells = []; // { source, lines: compiled lines } of every cell run so far
  const modules = new Map(); // compiled text of the src/ modules by tslab's name for them
  let source = "";
  let failures = [];

  const convert = (declarations, code) => {
    const converted = node.convert(declarations, writeOutShorthands(code));
    cells.push({ source, lines: (converted.output ?? "").split("\n") });
    for (const { path: file, data } of converted.sideOutputs ?? []) modules.set(file, data);
    return converted;
  };
  const executor = createExecutor(
    root,
    { node: { ...node, convert }, close: () => node.close() },
    { log: showValue, error: (...what) => failures.push(what) },
  );

  return {
    inspect: executor.inspect,
    complete: executor.complete,
    interrupt: executor.interrupt,
    close: executor.close,
    async execute(code) {
      source = code;
      failures = [];
      const ok = await executor.execute(code);
      if (ok) {
        for (const what of failures) console.error(...what); // type errors of a "/** @module */" cell, which runs all the same
        return null;
      }
      // A failing cell reports either one thrown value, or its type errors as format("%s%d:%d - %s", file, line, column, text).
      const [first] = failures;
      return first?.length > 1 ? typeErrors(failures, code) : thrown(first?.[0], cells, modules);
    },
    describe: (value) => thrown(value, cells, modules),
  };
};

/**
 * `{ clip, seeds }` as `{ clip: clip, seeds: seeds }`, in the text of a cell: tslab compiles the short form to names that do not exist
 * when the variable comes from an earlier cell (wrapPrevIdentifier in tslab/dist/converter.js asks for the property's symbol).
 */
function writeOutShorthands(code) {
  const file = ts.createSourceFile("cell.ts", code, ts.ScriptTarget.ES2022);
  const names = [];
  const visit = (node) => {
    if (ts.isShorthandPropertyAssignment(node)) names.push(node.name);
    ts.forEachChild(node, visit);
  };
  visit(file);
  const before = (text, name) =>
    `${text.slice(0, name.getStart(file))}${name.text}: ${text.slice(name.getStart(file))}`;
  return names.sort((a, b) => b.pos - a.pos).reduce(before, code);
}

/** The value of a cell's last expression. */
function showValue(value) {
  const bundle = value?.[Symbol.for("Jupyter.display")]?.();
  if (bundle) jupyter.lastWriteDisplayData({ data: bundle, metadata: {}, transient: {} }, false);
  else console.log(value);
}

const red = (text) => `\u001b[31m${text}\u001b[39m`;

function typeErrors(failures, code) {
  const lines = code.split("\n");
  const texts = failures.map(([, file, line, column, text]) => {
    const at = `${file ? `${path.relative(root, file.trim())} ` : ""}line ${line}, column ${column}`;
    return { at, text, shown: file ? "" : `\n    ${lines[line - 1]?.trim() ?? ""}` };
  });
  return {
    ename: "TypeScript",
    evalue: texts.map(({ at, text }) => `${at}: ${text}`).join("\n"),
    traceback: texts.map(({ at, text, shown }) => `${red("TypeScript")} ${at}: ${text}${shown}`),
  };
}

function thrown(value, cells, modules) {
  if (value?.code === "ERR_SCRIPT_EXECUTION_INTERRUPTED" || value?.message === "Interrupted asynchronously") {
    return {
      ename: "Interrupted",
      evalue: "the cell was stopped",
      traceback: [`${red("Interrupted")}: the cell was stopped`],
    };
  }
  if (!(value instanceof Error) && typeof value?.stack !== "string") {
    const text = typeof value === "string" ? value : inspect(value);
    return { ename: "Thrown", evalue: text, traceback: [`${red("Thrown")}: ${text}`] };
  }
  const traceback = [`${red(value.name)}: ${value.message}`, ...frames(value.stack, cells, modules)];
  if (value.cause) traceback.push(`caused by ${thrown(value.cause, cells, modules).traceback.join("\n")}`);
  return { ename: value.name, evalue: value.message, traceback };
}

/** The stack's lines that lie in cells or in the clone's own sources, innermost first. */
function frames(stack, cells, modules) {
  const found = [];
  for (const line of stack.split("\n")) {
    const match = /^\s+at (?:async )?(?:(.*) \()?(.+?):(\d+):(\d+)\)?$/.exec(line);
    if (!match) continue;
    const [, name, file, row, column] = match;
    const where =
      file === "evalmachine.<anonymous>"
        ? inCell(Number(row), cells)
        : inModule(file.replace(/^file:\/\//, ""), Number(row), Number(column), modules);
    if (where) found.push(`    at ${name && !name.startsWith("evalmachine") ? `${name} (${where})` : where}`);
  }
  return found;
}

/** A cell's compiled line is looked up by its text, latest cell first: tslab numbers neither cells nor their lines. */
function inCell(row, cells) {
  for (const { source, lines } of [...cells].reverse()) {
    const text = plain(lines[row - 1] ?? "");
    if (text.length < 4) continue;
    const written = source.split("\n");
    const at = writeOutShorthands(source)
      .split("\n")
      .findIndex((line) => plain(line) === text);
    if (at >= 0) return `cell, line ${at + 1}: ${written[at].trim()}`;
  }
  return undefined;
}

/** A line without what tslab's compilation adds: `exports.x`, `module_1.x`, `(0, x)`, the name of the last value, spaces and semicolons. */
const plain = (line) => line.replace(/\b(exports|\w+_\d+)\.|tsLastExpr =|\(0, ([\w.]+)\)|[\s;]/g, "$2");

/** file:line:column relative to the root, in the TypeScript source when tslab compiled the file; undefined for foreign files. */
function inModule(file, row, column, modules) {
  const name = path.relative(root, file);
  if (!path.isAbsolute(file) || name.startsWith("..") || name.startsWith("node_modules") || name.startsWith("bin"))
    return undefined;
  const compiled = modules.get(file);
  const typescript = file.replace(/\.js$/, ".ts");
  if (compiled === undefined || !existsSync(typescript)) return `${name}:${row}:${column}`;
  const original = sourcePosition(readFileSync(typescript, "utf8"), compiled, row, column);
  const place = path.relative(root, typescript);
  return original ? `${place}:${original.originalLine + 1}:${original.originalColumn + 1}` : place;
}

/** tslab compiles in two steps and keeps no source map: both steps are repeated with one. Undefined when they come out otherwise. */
function sourcePosition(source, compiled, row, column) {
  const target = ts.ScriptTarget.ES2022;
  const compile = (text, fileName, compilerOptions) =>
    ts.transpileModule(text, {
      fileName,
      compilerOptions: { target, newLine: ts.NewLineKind.LineFeed, sourceMap: true, ...compilerOptions },
    });
  const strip = (text) => text.replace(/\n\/\/# sourceMappingURL=.*\s*$/, "\n").trimEnd();
  const first = compile(source, "module.ts", { module: ts.ModuleKind.ESNext });
  const script = strip(first.outputText);
  const second = compile(script, "module.js", {
    module: ts.ModuleKind.CommonJS,
    esModuleInterop: true,
    noImplicitUseStrict: true,
  });
  if (strip(second.outputText) !== compiled.trimEnd()) return undefined;
  const middle = new SourceMap(JSON.parse(second.sourceMapText)).findEntry(row - 1, column - 1);
  if (middle.originalLine === undefined) return undefined;
  const entry = new SourceMap(JSON.parse(first.sourceMapText)).findEntry(middle.originalLine, middle.originalColumn);
  return entry.originalLine === undefined ? undefined : entry;
}
