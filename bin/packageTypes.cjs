/**
 * The types of the packages behind ./src/kit as the notebooks' kernel reads them: one file, .kernel/packages.json, in
 * place of a thousand. It holds the text of each declaration file without comments, which are two thirds of it, and what
 * each import in it means, which TypeScript would ask the disk a thousand times. Only the comments of tfjs-core stay:
 * Shift-Tab explains TensorFlow's functions with them.
 */
const { existsSync, readFileSync } = require("node:fs");
const path = require("node:path");

const root = path.dirname(__dirname);
const file = path.join(root, ".kernel", "packages.json");

const isPackage = (name) => name.includes("/node_modules/");
const declaration = /\.d\.[cm]?ts$/;
const licence = /^\s*\/\*\*\s*\*? @license[\s\S]*?\*\//;

/**
 * The content of .kernel/packages.json: `texts` by file, and `imports`, the file that a name means in a file; all files
 * relative to the root of the clone.
 * @param program a TypeScript program that reaches the kit's declarations
 */
function packageTypes(ts, program) {
  const printer = ts.createPrinter({ removeComments: true });
  const relative = (name) => path.relative(root, name);
  const files = program.getSourceFiles().filter((source) => !program.isSourceFileDefaultLibrary(source));
  const textOf = (source) =>
    source.fileName.includes("/tfjs-core/") ? source.text.replace(licence, "") : printer.printFile(source);
  const importsOf = (source) => {
    const found = {};
    source.resolvedModules?.forEach((resolved, name) => {
      const module = resolved?.resolvedModule;
      if (!module)
        found[name] = null; // a module of Node, which @types/node declares
      else if (declaration.test(module.resolvedFileName)) found[name] = relative(module.resolvedFileName);
    });
    return found;
  };
  return {
    texts: Object.fromEntries(
      files.filter((one) => isPackage(one.fileName)).map((one) => [relative(one.fileName), textOf(one)]),
    ),
    imports: Object.fromEntries(files.map((one) => [relative(one.fileName), importsOf(one)])),
  };
}

/** Lets TypeScript read these texts in place of the files. @returns what an import means; undefined if it is not known */
function openPackageTypes(ts) {
  if (!existsSync(file)) return () => undefined;
  const { texts, imports } = JSON.parse(readFileSync(file, "utf8"));
  const { readFile, fileExists } = ts.sys;
  const textOf = (name) => (isPackage(name) ? texts[path.relative(root, name)] : undefined);
  ts.sys.readFile = (name, encoding) => textOf(name) ?? readFile(name, encoding);
  ts.sys.fileExists = (name) => textOf(name) !== undefined || fileExists(name);
  return (name, importer) => {
    const found = imports[path.relative(root, importer)]?.[name];
    if (found === undefined) return undefined;
    if (found === null) return { resolvedModule: undefined };
    const resolvedFileName = path.join(root, found);
    const [extension] = declaration.exec(found);
    return { resolvedModule: { resolvedFileName, extension, isExternalLibraryImport: isPackage(resolvedFileName) } };
  };
}

module.exports = { file, packageTypes, openPackageTypes };
