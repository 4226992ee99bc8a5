/** The exports of src/kit.ts: their names, that all of them have docstrings, and that notebooks import nothing else. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";

const program = ts.createProgram(["src/kit.ts"], {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  skipLibCheck: true,
  noEmit: true,
});
const checker = program.getTypeChecker();
const module = checker.getSymbolAtLocation(program.getSourceFile("src/kit.ts") as ts.Node) as ts.Symbol;
const exported = checker
  .getExportsOfModule(module)
  .map((symbol) =>
    symbol.flags & ts.SymbolFlags.Alias
      ? { name: symbol.name, symbol: checker.getAliasedSymbol(symbol) }
      : { name: symbol.name, symbol },
  );

test("src/kit.ts exports exactly these names", () => {
  expect(exported.map(({ name }) => name).sort()).toMatchInlineSnapshot(`
    [
      "AblationStudy",
      "Choice",
      "Clip",
      "Config",
      "Dataset",
      "Ensemble",
      "Figure",
      "Method",
      "Params",
      "PicturePrediction",
      "Predicted",
      "Preset",
      "RowPredictions",
      "Run",
      "Settings",
      "Task",
      "Tensor",
      "Tensor2D",
      "ablation",
      "ablationDatasets",
      "ablationJobs",
      "ablationTables",
      "ablations",
      "accuracyByClass",
      "accuracyDifferences",
      "anglesFigure",
      "anglesOf",
      "attentionFigure",
      "attentionMaps",
      "baseNovel",
      "baseNovelFigure",
      "baseNovelTable",
      "baseToNovel",
      "baseToNovelJobs",
      "baseToNovelTable",
      "batchOf",
      "calibration",
      "calibrationFigure",
      "calibrationTable",
      "choiceFigure",
      "classesFigure",
      "comparable",
      "comparableRuns",
      "configFor",
      "confusionFigure",
      "confusionMatrix",
      "confusionOf",
      "confusionsFigure",
      "cosineLogits",
      "cost",
      "costFigure",
      "criticalDifferenceFigure",
      "crossDataset",
      "crossEntropy",
      "datasetNames",
      "differencesByEpoch",
      "differencesFigure",
      "differencesTable",
      "distances",
      "domainGeneralisation",
      "drawFewShot",
      "embeddedAblation",
      "embeddedRows",
      "engineLine",
      "ensembleWeights",
      "featuresFigure",
      "featuresOf",
      "fewShot",
      "fewShotFigure",
      "fewShotTable",
      "firstBatch",
      "forgettingFigure",
      "forgettingTable",
      "gpaFigure",
      "harmonicMeansTable",
      "host",
      "imageAttention",
      "improvementFigure",
      "independent",
      "largestConfusions",
      "lastBlock",
      "learntParts",
      "loadClip",
      "loadDataset",
      "loadPaper",
      "lossesFigure",
      "methods",
      "mistakesGrid",
      "mostConfidentMistakes",
      "objective",
      "operationsTable",
      "paperBaseToNovel",
      "paperOf",
      "paperTemplates",
      "paperTriple",
      "parallelFigure",
      "partsFigure",
      "pathOf",
      "peersTable",
      "pictureGrid",
      "picturesByClass",
      "planeFigure",
      "predictDataset",
      "predictWith",
      "predictionsOf",
      "presets",
      "priceFigure",
      "profileFigure",
      "promptLearner",
      "promptSets",
      "promptShares",
      "readBench",
      "runInCell",
      "runNotebookGrid",
      "runProfile",
      "save",
      "saveFigure",
      "scoresByShots",
      "scoresByTarget",
      "scoresOf",
      "scoresOfRows",
      "settingFigure",
      "show",
      "sized",
      "sortedFrame",
      "startEngine",
      "statisticsTable",
      "stepsTable",
      "storedRuns",
      "sweepFigure",
      "sweepTable",
      "tableFrame",
      "termsFigure",
      "termsOf",
      "termsTable",
      "testPictures",
      "tf",
      "trainableDatasets",
      "trainingFigure",
      "trajectoryFigure",
      "transferFigure",
      "uncertaintyTable",
      "variantsFigure",
      "variantsOf",
      "withParams",
    ]
  `);
});

test("every export has a docstring", () => {
  const isDefinedInKit = ({ symbol }: { symbol: ts.Symbol }) =>
    symbol.declarations?.every((node) => !node.getSourceFile().fileName.includes("node_modules"));
  const isDocumented = ({ symbol }: { symbol: ts.Symbol }) => symbol.getDocumentationComment(checker).length > 0;
  const undocumented = exported.filter((entry) => entry.name !== "tf" && isDefinedInKit(entry) && !isDocumented(entry));
  expect(undocumented.map(({ name }) => name)).toEqual([]);
});

test("every notebook imports src/kit and no other file of the clone", () => {
  for (const name of readdirSync("notebooks").filter((file) => file.endsWith(".ipynb"))) {
    const { cells } = JSON.parse(readFileSync(join("notebooks", name), "utf8")) as {
      cells: { cell_type: string; source: string[] }[];
    };
    const code = cells.filter((cell) => cell.cell_type === "code").map((cell) => cell.source.join(""));
    const imported = code.flatMap((text) => [...text.matchAll(/from "(\.[^"]+)"/g)].map(([, path]) => path));
    expect([name, imported]).toEqual([name, ["./src/kit"]]);
  }
});
