/**
 * Runs TypeScript cells with tslab's executor, for the Jupyter kernel (kernel.cjs) and for notebooks without Jupyter
 * (run-notebook.cjs):
 * - cells import "./src/..." from the root of the clone;
 * - a failed cell returns { ename, evalue, traceback }, whose line numbers refer to the TypeScript sources;
 * - if the last value of a cell has a method [Symbol.for("Jupyter.display")](), the MIME bundle that it returns is
 *   shown.
 */
const { SourceMap } = require("node:module");
const path = require("node:path");
const { inspect } = require("node:util");

const root = path.dirname(__dirname);

/** Ends the process. A cell that calls `process.exit` gets an error instead: the kernel and what it computed go on. */
exports.exitProcess = process.exit.bind(process);
process.exit = (code = 0) => {
  throw new Error(`a cell called process.exit(${code}): it ends here; a kernel is ended by Kernel > Shut Down`);
};

process.chdir(root); // tslab takes the working directory as its root folder when it is loaded

const ts = require("./compiler.cjs"); // before tslab, which then uses it
const { createConverter } = require("tslab/dist/converter.js");
const { createExecutor } = require("tslab/dist/executor.js");
const jupyter = require("tslab/dist/jupyter.js");
const { openLibrary } = require("./library.cjs");

/** @returns a session; `execute(code)` resolves to null if the cell succeeded, else to { ename, evalue, traceback } */
exports.createSession = function createSession() {
  const library = openLibrary();
  const node = createConverter({ isJS: false, isBrowser: false });
  const cells = []; // of every cell run so far: { source, lines: lines of the compiled code }
  let loaded = false; // whether tslab has the code of the library's modules
  let source = "";
  let failures = [];

  const convert = (declarations, text) => {
    const converted = node.convert(declarations, prepareCell(text));
    cells.push({ source, lines: (converted.output ?? "").split("\n") });
    const { changed, modules } = library.changes();
    if (changed.length > 0) {
      const names = changed.map((file) => path.relative(root, file)).join(", ");
      console.error(
        `${names} changed: a cell that imports it takes the new code when it is run; types are checked anew after a restart of the kernel`,
      );
    }
    const code = loaded ? modules : library.modules();
    loaded = true;
    return { ...converted, sideOutputs: [...(converted.sideOutputs ?? []), ...code] };
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
        // A "/** @module */" cell runs in spite of its type errors, which are printed here.
        for (const message of failures) console.error(...message);
        return null;
      }
      // A failed cell reports either one thrown value, or its type errors as arguments of a format string:
      // ("%s%d:%d - %s", file, line, column, text).
      const [first] = failures;
      return first?.length > 1 ? typeErrors(failures, code) : describeThrown(first?.[0], cells, library);
    },
    describe: (value) => describeThrown(value, cells, library),
  };
};

/**
 * The text of a cell as tslab can take it:
 * - `{ clip, seeds }` becomes `{ clip: clip, seeds: seeds }`. tslab compiles the shorthand to names that do not exist
 *   when the variable comes from an earlier cell, because wrapPrevIdentifier in tslab/dist/converter.js asks for the
 *   symbol of the property instead of the variable's.
 * - `for await (...)` at the top gets an `await` before it: tslab knows no other sign of an asynchronous cell.
 * - `const fs = await import("node:fs")` becomes `import * as fs from "node:fs"`: tslab declares each variable of a cell
 *   for the next ones, and TypeScript cannot write down the type of such a module.
 */
function prepareCell(code) {
  const file = ts.createSourceFile("cell.ts", code, ts.ScriptTarget.ES2022);
  const edits = []; // { start, end, text }
  for (const statement of file.statements) {
    const start = statement.getStart(file);
    if (ts.isForOfStatement(statement) && statement.awaitModifier) edits.push({ start, end: start, text: "await 0; " });
    const imported = namespaceImport(statement);
    if (imported) edits.push({ start, end: statement.end, text: imported });
  }
  const visit = (node) => {
    if (ts.isShorthandPropertyAssignment(node)) {
      const start = node.name.getStart(file);
      edits.push({ start, end: start, text: `${node.name.text}: ` });
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  const apply = (text, edit) => `${text.slice(0, edit.start)}${edit.text}${text.slice(edit.end)}`;
  return edits.sort((a, b) => b.start - a.start).reduce(apply, code);
}

/** `import * as x from "y";` for the statement `const x = await import("y");`; undefined for any other. */
function namespaceImport(statement) {
  if (!ts.isVariableStatement(statement) || statement.declarationList.declarations.length !== 1) return undefined;
  const [{ name, initializer, type }] = statement.declarationList.declarations;
  const call = initializer && ts.isAwaitExpression(initializer) ? initializer.expression : undefined;
  if (type || !ts.isIdentifier(name) || !call || !ts.isCallExpression(call)) return undefined;
  const [module] = call.arguments;
  if (call.expression.kind !== ts.SyntaxKind.ImportKeyword || !ts.isStringLiteral(module)) return undefined;
  return `import * as ${name.text} from ${JSON.stringify(module.text)};`;
}

/** Shows the value of a cell's last expression. */
function showValue(value) {
  const bundle = value?.[Symbol.for("Jupyter.display")]?.();
  if (bundle) jupyter.lastWriteDisplayData({ data: bundle, metadata: {}, transient: {} }, false);
  else console.log(value);
}

const red = (text) => `\u001b[31m${text}\u001b[39m`;

function typeErrors(failures, code) {
  const lines = code.split("\n");
  const errors = failures.map(([, file, line, column, text]) => {
    const location = `${file ? `${path.relative(root, file.trim())} ` : ""}line ${line}, column ${column}`;
    return { location, text, sourceLine: file ? "" : `\n    ${lines[line - 1]?.trim() ?? ""}` };
  });
  return {
    ename: "TypeScript",
    evalue: errors.map(({ location, text }) => `${location}: ${text}`).join("\n"),
    traceback: errors.map(({ location, text, sourceLine }) => `${red("TypeScript")} ${location}: ${text}${sourceLine}`),
  };
}

function describeThrown(value, cells, library) {
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
  const traceback = [`${red(value.name)}: ${value.message}`, ...frames(value.stack, cells, library)];
  if (value.cause) traceback.push(`caused by ${describeThrown(value.cause, cells, library).traceback.join("\n")}`);
  return { ename: value.name, evalue: value.message, traceback };
}

/** The stack frames that lie in cells or in the source files of the clone, innermost first. */
function frames(stack, cells, library) {
  const frameLines = [];
  for (const line of stack.split("\n")) {
    const match = /^\s+at (?:async )?(?:(.*) \()?(.+?):(\d+):(\d+)\)?$/.exec(line);
    if (!match) continue;
    const [, name, file, row, column] = match;
    const location =
      file === "evalmachine.<anonymous>"
        ? inCell(Number(row), cells)
        : inModule(file.replace(/^file:\/\//, ""), Number(row), Number(column), library);
    const plain = name?.replace(/^Proxy\./, ""); // the object of a cell's variables, a detail of tslab
    if (location)
      frameLines.push(`    at ${plain && !plain.startsWith("evalmachine") ? `${plain} (${location})` : location}`);
  }
  return frameLines;
}

/**
 * Finds a compiled line of a cell in the sources by its text, in the latest cell first, because tslab numbers neither
 * cells nor their lines.
 */
function inCell(row, cells) {
  for (const { source, lines } of [...cells].reverse()) {
    const text = normalised(lines[row - 1] ?? "");
    if (text.length < 4) continue;
    const sourceLines = source.split("\n");
    const at = prepareCell(source)
      .split("\n")
      .findIndex((line) => normalised(line) === text);
    if (at >= 0) return `cell, line ${at + 1}: ${sourceLines[at].trim()}`;
  }
  return undefined;
}

/**
 * A line of code without spaces, semicolons and everything that tslab's compilation adds: `exports.x`, `module_1.x`,
 * `(0, x)`, the name of the last value.
 */
const normalised = (line) => line.replace(/\b(exports|\w+_\d+)\.|tsLastExpr =|\(0, ([\w.]+)\)|[\s;]/g, "$2");

/**
 * file:line:column relative to the root of the clone; a position in the TypeScript source if the library has the file.
 * @returns undefined for files outside the clone's sources
 */
function inModule(file, row, column, library) {
  const name = path.relative(root, file);
  if (!path.isAbsolute(file) || name.startsWith("..") || name.startsWith("node_modules") || name.startsWith("bin"))
    return undefined;
  const map = library.sourceMap(file);
  if (!map) return `${name}:${row}:${column}`;
  const { originalLine, originalColumn } = new SourceMap(map).findEntry(row - 1, column - 1);
  return `${name.replace(/\.js$/, ".ts")}:${originalLine + 1}:${originalColumn + 1}`;
}
