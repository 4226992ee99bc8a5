#!/usr/bin/env node
/**
 * Type check of src/ with the compiler and the fixed options of the notebooks' kernel (tslab/dist/converter.js):
 * TypeScript 5.0.4, not strict.
 */
const { readdirSync } = require("node:fs");
const path = require("node:path");
const ts = require("@tslab/typescript-for-tslab");

const root = path.dirname(__dirname);
const files = readdirSync(path.join(root, "src"), { recursive: true })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => path.join(root, "src", name));
const program = ts.createProgram(files, {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Node10,
  lib: ["lib.es2022.d.ts"],
  typeRoots: [path.join(root, "node_modules", "@types")],
  types: ["node"],
  esModuleInterop: true,
  resolveJsonModule: true,
  skipLibCheck: true,
  noEmit: true,
});
const diagnostics = ts.getPreEmitDiagnostics(program);
const host = { getCanonicalFileName: (name) => name, getCurrentDirectory: () => root, getNewLine: () => "\n" };
if (diagnostics.length > 0) console.error(ts.formatDiagnostics(diagnostics, host));
console.log(`TypeScript ${ts.version}: ${files.length} files of src/, ${diagnostics.length} errors`);
process.exit(diagnostics.length > 0 ? 1 : 0);
