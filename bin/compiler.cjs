/**
 * The TypeScript compiler as tslab is to use it. Loaded before tslab, it takes the compiler's place:
 * - Types of packages come from one file (packageTypes.cjs), global ones from @types/node alone, not from whatever
 *   @types folders the packages of the kit brought along.
 * - Programs are plain ones. The builder that tslab would take keeps, for watching a whole project, a table of what each
 *   of a thousand files depends on, in a third of the time of a cell.
 * - `methods["wrong"]` is an error as `methods.wrong` is.
 * - A type error is one message. tslab makes one of every line of its explanation, each with the same place.
 */
const file = require.resolve("@tslab/typescript-for-tslab");
const ts = require(file);
const { openPackageTypes } = require("./packageTypes.cjs");

function createWatchCompilerHost(rootFiles, options, system, _createProgram, ...reports) {
  const resolve = openPackageTypes(ts);
  const host = ts.createWatchCompilerHost(rootFiles, { ...options, types: ["node"] }, system, plainProgram, ...reports);
  host.resolveModuleNameLiterals = (names, importer, _redirect, compilerOptions) =>
    names.map(({ text }) => resolve(text, importer) ?? ts.resolveModuleName(text, importer, compilerOptions, host));
  host.resolveTypeReferenceDirectiveReferences = (types, importer, _redirect, compilerOptions) =>
    types.map((type) => ts.resolveTypeReferenceDirective(type.fileName ?? type, importer, compilerOptions, host));
  host.hasInvalidatedResolutions = () => false; // imports are looked up when the file that has them changes
  return host;
}

function plainProgram(...args) {
  const builder = ts.createAbstractBuilder(...args);
  const program = builder.getProgram();
  // tslab reads the names that a cell declares, for which the builder had to create a type checker.
  for (const name of program.getRootFileNames())
    ts.bindSourceFile(program.getSourceFile(name), program.getCompilerOptions());
  return { ...builder, getAllDependencies: (source) => sourcesBehind(program, source.fileName) };
}

/** The source files, no declarations, that a file imports, directly or not, and the file itself. */
function sourcesBehind(program, name) {
  const found = new Set([name]);
  for (const one of found) {
    program.getSourceFile(one)?.resolvedModules?.forEach((resolved) => {
      const module = resolved?.resolvedModule;
      const imported = module && program.getSourceFile(module.resolvedFileName);
      if (imported && !imported.isDeclarationFile) found.add(imported.fileName);
    });
  }
  return [...found];
}

function getPreEmitDiagnosticsOfFiles(program, files, token) {
  const errors = [...ts.getPreEmitDiagnosticsOfFiles(program, files, token), ...files.flatMap(wrongNames(program))];
  return errors.map((error) => ({ ...error, messageText: ts.flattenDiagnosticMessageText(error.messageText, "\n") }));
}

/**
 * The names in brackets and quotes that an object of the kit or of a package does not have: TypeScript takes their values
 * as `any`, unless it is strict in everything. Objects that a cell made may get new names in this way.
 */
function wrongNames(program) {
  const checker = program.getTypeChecker();
  const cells = new Set(program.getRootFileNames());
  const isForeign = (file) => !cells.has(file.fileName) && !program.isSourceFileDefaultLibrary(file);
  const isKnown = ({ symbol }) => symbol?.declarations?.some((one) => isForeign(one.getSourceFile())) ?? false;
  const has = (type, name) =>
    !isKnown(type) || checker.getPropertyOfType(type, name) || checker.getIndexInfosOfType(type).length > 0;
  return (file) => {
    const found = [];
    const visit = (node) => {
      ts.forEachChild(node, visit);
      if (!ts.isElementAccessExpression(node) || !ts.isStringLiteralLike(node.argumentExpression)) return;
      const { text } = node.argumentExpression;
      const type = checker.getApparentType(checker.getTypeAtLocation(node.expression));
      const parts = type.isUnion() ? type.types : [type];
      if (parts.some((part) => has(part, text))) return;
      const like = checker.getSuggestionForNonexistentProperty(text, type);
      found.push({
        file,
        start: node.argumentExpression.getStart(file),
        length: text.length + 2,
        category: ts.DiagnosticCategory.Error,
        code: like ? 2551 : 2339,
        messageText: `Property '${text}' does not exist on type '${checker.typeToString(type)}'.${like ? ` Did you mean '${like}'?` : ""}`,
      });
    };
    visit(file);
    return found;
  };
}

module.exports = { ...ts, createWatchCompilerHost, getPreEmitDiagnosticsOfFiles };
require.cache[file].exports = module.exports;
