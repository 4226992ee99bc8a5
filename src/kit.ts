/**
 * The kit for notebooks and scripts: `import { methods, loadClip, show } from "./src/kit"`. Everything that a cell
 * needs is here, and nothing else; the folders behind it may change, this surface is kept by test/kit.test.ts.
 */

// Analysis: what training did to features, attention and predictions.
export { imageAttention, promptShares } from "./analysis/attention";
export { calibration, calibrationTable, mostConfidentMistakes } from "./analysis/calibration";
export { accuracyByClass, confusionMatrix, largestConfusions } from "./analysis/confusion";
export { anglesOf, batchOf, confusionOf, firstBatch, termsOf, termsTable } from "./analysis/diagnostics";
export { featuresOf } from "./analysis/features";
export { learntParts } from "./analysis/parts";
export { distances, pathOf, withParams } from "./analysis/trajectory";
// Benchmarks and ablations: the runs of a grid, and their scores and tables.
export { ablationDatasets, ablationJobs, ablationTables, paperOf, variantsOf } from "./benchmarks/ablation";
export { ablations } from "./benchmarks/ablations";
export { baseToNovel, baseToNovelJobs, scoresOf, scoresOfRows, testPictures } from "./benchmarks/baseToNovel";
export { cost, operationsTable } from "./benchmarks/cost";
export { fewShot, scoresByShots } from "./benchmarks/fewShot";
export { crossDataset, domainGeneralisation, scoresByTarget } from "./benchmarks/transfer";
// The model.
export { loadClip } from "./clip/load";
export type { Clip } from "./clip/model";
// Settings.
export type { Config } from "./configs/config";
export { presets } from "./configs/presets";
export type { Ensemble, Preset } from "./configs/settings";
export { paperTemplates } from "./configs/templates";
// Datasets.
export { baseNovel } from "./datasets/baseNovel";
export { drawFewShot } from "./datasets/fewShot";
export type { Dataset } from "./datasets/split";
export { datasetNames, loadDataset, trainableDatasets } from "./datasets/split";
// The engine.
export type { Tensor, Tensor2D } from "./engine/tf";
export { engineLine, startEngine, tf } from "./engine/tf";
// Runs, and predictions of single pictures.
export { storedRuns } from "./experiments/job";
export type { PicturePrediction } from "./experiments/predictions";
export { predictDataset, predictWith } from "./experiments/predictions";
// Figures: plain Plotly records, drawn by `show` and written by `save` or `saveFigure`.
export { differencesFigure, improvementFigure } from "./figures/against";
export { anglesFigure, attentionFigure, gpaFigure, termsFigure } from "./figures/analysis";
export { baseNovelFigure } from "./figures/baseNovel";
export { calibrationFigure } from "./figures/calibration";
export { choiceFigure } from "./figures/choice";
export { classesFigure } from "./figures/classes";
export { confusionFigure, confusionsFigure } from "./figures/confusion";
export { costFigure } from "./figures/cost";
export { criticalDifferenceFigure } from "./figures/criticalDifference";
export { featuresFigure } from "./figures/features";
export { fewShotFigure } from "./figures/fewShot";
export { forgettingFigure } from "./figures/forgetting";
export { lossesFigure, trainingFigure } from "./figures/losses";
export { parallelFigure } from "./figures/parallel";
export { partsFigure } from "./figures/parts";
export { planeFigure } from "./figures/plane";
export { priceFigure } from "./figures/price";
export { profileFigure } from "./figures/profile";
export { saveFigure } from "./figures/save";
export { settingFigure } from "./figures/setting";
export { sized } from "./figures/sizes";
export type { Figure } from "./figures/style";
export { sweepFigure } from "./figures/sweep";
export { trajectoryFigure } from "./figures/trajectory";
export { transferFigure } from "./figures/transfer";
export { variantsFigure } from "./figures/variants";
// Methods: the registry, and what a new one is made of.
export { independent, promptSets } from "./methods/ivlp";
export { cosineLogits, crossEntropy } from "./methods/losses";
export type { Method, Params, Settings, Task } from "./methods/method";
export { configFor } from "./methods/method";
export { host, objective, promptLearner } from "./methods/promptLearner";
export { methods } from "./methods/registry";
// Cells: running, progress, showing, saving.
export type { AblationStudy, Choice } from "./notebook/ablation";
export { ablation } from "./notebook/ablation";
export { attentionMaps } from "./notebook/attentionMaps";
export { embeddedAblation, embeddedRows } from "./notebook/embedded";
export { mistakesGrid, pictureGrid, picturesByClass } from "./notebook/pictures";
export { runNotebookGrid, runProfile } from "./notebook/profile";
export { runInCell } from "./notebook/run";
export { save } from "./notebook/save";
export { show } from "./notebook/show";
// Results: tables with the paper's numbers beside, differences with intervals.
export { accuracyDifferences, fewShotTable } from "./results/accuracy";
export { peersTable, readBench, stepsTable, sweepTable } from "./results/benchTables";
export { differencesTable } from "./results/differences";
export { comparableRuns, differencesByEpoch, forgettingTable } from "./results/forgetting";
export { sortedFrame, tableFrame } from "./results/frame";
export { loadPaper, paperBaseToNovel, paperTriple } from "./results/paper";
export type { Predicted, RowPredictions } from "./results/predictions";
export { predictionsOf } from "./results/predictions";
export { comparable } from "./results/statistics";
export { statisticsTable, uncertaintyTable } from "./results/statisticsTables";
export type { Run } from "./results/store";
export { baseNovelTable, baseToNovelTable, harmonicMeansTable, lastBlock } from "./results/table";
// Training: the weights of the epochs (equation 6).
export { ensembleWeights } from "./training/ensemble";
