#!/usr/bin/env node
/**
 * The modules of src/ compiled for the notebooks: `node bin/library.cjs` type-checks them with the compiler and the
 * fixed options of the notebooks' kernel (tslab/dist/converter.js: TypeScript 5.0.4, not strict) and writes code,
 * declarations and source maps to .kernel/. Set-up does this, and a kernel that finds a changed source.
 *
 * tslab itself would compile and type-check all modules behind `./src/kit` in every new kernel, 7 to 11 seconds on two
 * cores. With their declarations in place of the sources, and those of packages in one file without comments
 * (packageTypes.cjs), only the cell is checked: the first import takes 1.2 to 1.7 seconds.
 */
const { createHash } = require("node:crypto");
const {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} = require("node:fs");
const path = require("node:path");
const packages = require("./packageTypes.cjs");

const root = path.dirname(__dirname);
const sourceFolder = path.join(root, "src");
const folder = path.join(root, ".kernel");
const stamp = path.join(folder, "stamp");

const sources = () =>
  readdirSync(sourceFolder, { recursive: true })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => path.join(sourceFolder, name))
    .sort();

/** Hash of everything that the library is made from: the sources, this file, and the versions of all packages. */
function contentKey() {
  const sum = createHash("sha256");
  for (const file of [
    __filename,
    require.resolve("./packageTypes.cjs"),
    path.join(root, "package-lock.json"),
    ...sources(),
  ])
    sum
      .update(`${path.relative(root, file)}\0`)
      .update(readFileSync(file))
      .update("\0");
  return sum.digest("hex");
}

/** The file of the library that belongs to a file beside a source: src/kit.d.ts -> .kernel/src/kit.d.ts. */
const compiledFile = (file) => path.join(folder, path.relative(root, file));
const scriptOf = (source) => source.replace(/\.ts$/, ".js");

/** Hash of the compiled code and declarations; undefined where something is missing. */
function compiledKey() {
  const sum = createHash("sha256");
  const ofSources = sources().flatMap((source) => [scriptOf(source), source.replace(/\.ts$/, ".d.ts")]);
  for (const file of [...ofSources.map(compiledFile), packages.file]) {
    if (!existsSync(file)) return undefined;
    sum.update(readFileSync(file)).update("\0");
  }
  return sum.digest("hex");
}

/** What the library was made from, and what was made: the two hashes of the stamp. */
const stamped = () => (existsSync(stamp) ? readFileSync(stamp, "utf8").split(" ") : []);

/** Whether the library is complete and undamaged, and that of the present sources. */
const isCurrent = () => stamped()[0] === contentKey() && stamped()[1] === compiledKey();

/** Writes a file so that a kernel that starts at the same time reads the old or the new content. */
function writeWhole(file, content) {
  mkdirSync(path.dirname(file), { recursive: true });
  const part = `${file}.${process.pid}.part`;
  writeFileSync(part, content);
  renameSync(part, file);
}

const options = (ts) => ({
  target: ts.ScriptTarget.ES2022,
  moduleResolution: ts.ModuleResolutionKind.Node10,
  lib: ["lib.es2022.d.ts"],
  typeRoots: [path.join(root, "node_modules", "@types")],
  types: ["node"],
  module: ts.ModuleKind.CommonJS,
  esModuleInterop: true,
  resolveJsonModule: true,
  skipLibCheck: true,
  declaration: true,
  sourceMap: true,
  newLine: ts.NewLineKind.LineFeed,
  rootDir: root,
  outDir: folder,
});

/**
 * Compiles what changed since the last time (TypeScript's incremental builds).
 * @returns the type errors as text; undefined if there are none
 */
function build() {
  const ts = require("@tslab/typescript-for-tslab");
  const key = contentKey();
  const tsBuildInfoFile = path.join(folder, "build.tsbuildinfo");
  // TypeScript writes only what changed: where something is missing or damaged, everything is written.
  if (stamped()[1] !== compiledKey()) rmSync(tsBuildInfoFile, { force: true });
  const incremental = { incremental: true, tsBuildInfoFile };
  const program = ts.createIncrementalProgram({ rootNames: sources(), options: { ...options(ts), ...incremental } });
  const { diagnostics } = program.emit(undefined, (name, text) => writeWhole(name, text));
  const all = [...ts.getPreEmitDiagnostics(program.getProgram()), ...diagnostics];
  writeWhole(packages.file, JSON.stringify(packages.packageTypes(ts, kitProgram(ts))));
  writeWhole(stamp, `${key} ${compiledKey()}`);
  const host = { getCanonicalFileName: (name) => name, getCurrentDirectory: () => root, getNewLine: () => "\n" };
  return all.length > 0 ? ts.formatDiagnostics(ts.sortAndDeduplicateDiagnostics(all), host) : undefined;
}

/** How to find and read files so that the declarations of the library are where the sources of src/ are. */
function withDeclarations({ fileExists, readFile }) {
  const known = new Set(sources());
  const isDeclaration = (file) => file.endsWith(".d.ts") && known.has(file.replace(/\.d\.ts$/, ".ts"));
  return {
    isDeclaration,
    fileExists: (file) => !known.has(file) && (isDeclaration(file) || fileExists(file)),
    readFile: (file, encoding) => readFile(isDeclaration(file) ? compiledFile(file) : file, encoding),
  };
}

/** The program of a cell that imports ./src/kit. */
function kitProgram(ts) {
  const host = ts.createCompilerHost(options(ts));
  const { fileExists, readFile } = withDeclarations(host);
  Object.assign(host, { fileExists, readFile });
  return ts.createProgram([path.join(sourceFolder, "kit.d.ts")], options(ts), host);
}

/**
 * Opens the library for a session, building it first if a source changed. From then on TypeScript finds the
 * declarations of the library where the sources of src/ are.
 */
function openLibrary() {
  const ts = require("@tslab/typescript-for-tslab");
  const errors = isCurrent() ? undefined : build();
  if (errors) console.error(errors);

  const files = sources();
  const { isDeclaration, ...served } = withDeclarations(ts.sys);
  const { watchFile } = ts.sys;
  Object.assign(ts.sys, served);
  // Neither packages nor the library change while a kernel runs; a thousand watches would slow its start.
  ts.sys.watchFile = (file, ...rest) =>
    isDeclaration(file) || file.includes("/node_modules/") ? { close() {} } : watchFile(file, ...rest);

  const stampOf = (file) => `${statSync(file, { throwIfNoEntry: false })?.mtimeMs}`;
  const stamps = new Map(files.map((file) => [file, stampOf(file)]));
  const code = new Map(files.map((file) => [scriptOf(file), readFileSync(compiledFile(scriptOf(file)), "utf8")]));

  /** The modules that import one of these, directly or not, and these themselves. */
  function withDependents(changed) {
    const found = new Set(changed);
    for (let before = -1; before < found.size; ) {
      before = found.size;
      for (const [file, text] of code) {
        const imports = [...text.matchAll(/\brequire\("(\.[^"]+)"\)/g)].map((match) =>
          path.join(path.dirname(file), `${match[1]}.js`),
        );
        if (imports.some((name) => found.has(name))) found.add(file);
      }
    }
    return [...found];
  }

  return {
    /** The code of all modules, by the names that tslab gives them: `{ path, data }`. */
    modules: () => [...code].map(([file, data]) => ({ path: file, data })),
    /**
     * The modules whose sources changed since the last call, compiled without a type check, and all that depend on
     * them, which must run again to see them.
     */
    changes() {
      const changed = files.filter((file) => stampOf(file) !== stamps.get(file) && existsSync(file));
      for (const file of changed) {
        stamps.set(file, stampOf(file));
        const { outputText } = ts.transpileModule(readFileSync(file, "utf8"), {
          fileName: file,
          compilerOptions: { ...options(ts), sourceMap: false, inlineSourceMap: true },
        });
        code.set(scriptOf(file), outputText);
      }
      const again = withDependents(changed.map(scriptOf));
      return { changed, modules: again.map((file) => ({ path: file, data: code.get(file) })) };
    },
    /** The source map of a module as an object; undefined if the file is no module of the library. */
    sourceMap(file) {
      const inline = /\/\/# sourceMappingURL=data:application\/json;base64,(\S+)/.exec(code.get(file) ?? "");
      if (inline) return JSON.parse(Buffer.from(inline[1], "base64").toString("utf8"));
      return code.has(file) ? JSON.parse(readFileSync(`${compiledFile(file)}.map`, "utf8")) : undefined;
    },
  };
}

module.exports = { build, isCurrent, openLibrary };

if (require.main === module) {
  const errors = build();
  if (errors) console.error(errors);
  console.log(`src/ is compiled for notebooks${errors ? ", with errors" : ""}`);
  process.exit(errors ? 1 : 0);
}
