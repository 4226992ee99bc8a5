/** `npm run promptsrc -- train --data <dataset> --out <file>`: trained prompts as one file, from a dataset of one's own. */
import { existsSync } from "node:fs";
import { pathOf } from "../analysis/trajectory";
import { fewShot } from "../benchmarks/fewShot";
import { loadDataset } from "../datasets/split";
import { configOf, type Grid } from "../experiments/benchmark";
import { rowsOf, trainedFile } from "../experiments/job";
import { meter, terminalScreen } from "../experiments/progress";
import { provenance } from "../experiments/provenance";
import { runGrid } from "../experiments/runner";
import { writePrompts } from "../experiments/trainedPrompts";
import { methodNamed, methods } from "../methods/registry";
import { loadPaper } from "../results/paper";
import { resultsFolder } from "../results/store";
import { tableText } from "../results/table";
import { oneOf, UsageError } from "../util/errors";
import { changeBy, presetOf } from "./chosenSettings";
import { lookAtPictures } from "./lookAtPictures";
import { fromHere, modelPath, onInterrupt, parseOptions, startModel, wholeNumber } from "./options";

const trainable = Object.values(methods).filter((method) => method.trainable);

export const trainHelp = `  train               train prompts on all classes of a dataset, and write them as one file
    --data path       the dataset: a folder with a folder of pictures for each class, a CSV of path and label, or any other
    --out file        where the prompts are written, such as my.safetensors (convert makes an official .pth.tar of it)
    --method name     promptsrc, or another of ${trainable.map(({ name }) => name).join(", ")}
    --shots 16        training pictures per class, or all; --seed 1; --split, --config, --set, --model, --results,
                      --skip-corrupt as for run`;

export async function train(args: string[]): Promise<number> {
  const { values, positionals } = parseOptions(args, {
    data: { type: "string" },
    out: { type: "string" },
    method: { type: "string", default: "promptsrc" },
    shots: { type: "string", default: "16" },
    seed: { type: "string", default: "1" },
    split: { type: "string" },
    config: { type: "string" },
    set: { type: "string", multiple: true },
    model: { type: "string" },
    results: { type: "string" },
    "skip-corrupt": { type: "boolean", default: false },
  });
  if (positionals.length > 0) throw new UsageError(`unexpected "${positionals.join(" ")}": train takes options only`);
  if (values.data === undefined) throw new UsageError("train needs --data: the dataset to train on");
  if (!values.out?.endsWith(".safetensors"))
    throw new UsageError("train needs --out: the file of the prompts, whose name ends in .safetensors");
  const out = fromHere(values.out);
  const [seed, preset] = [wholeNumber("seed", values.seed), presetOf(values.config)];
  const trainableNames = trainable.map(({ name }) => name);
  const method = methodNamed(oneOf("method", values.method, trainableNames));
  const change = changeBy(values.set ?? [], [method]);
  const model = modelPath(values.model);
  const whole = loadDataset(fromHere(values.data), values.split);
  if (whole.train.length === 0) throw new UsageError(`${whole.name} has no training pictures`);
  const perClass = whole.classNames.map((_, label) => whole.train.filter((item) => item.label === label).length);
  const shots = values.shots === "all" ? Math.max(...perClass) : wholeNumber("shots", values.shots);
  const { decodable, leftOut } = await lookAtPictures([whole], [shots], [seed], values["skip-corrupt"]);
  const dataset = decodable(whole);

  const { engine, clip } = await startModel(model, console.log);
  const grid: Grid = { clip, datasets: [dataset], methods: [method], seeds: [seed], shots: [shots], preset, change };
  const compared = [methods.clip, method];
  const jobs = fewShot.jobs({ ...grid, methods: compared });
  const root = fromHere(values.results, resultsFolder);
  const trained = trainedFile(jobs[1].training?.key ?? "", root);
  const made = provenance(engine);
  const { runs, failed, interrupted } = await runGrid(jobs, {
    meter: meter(terminalScreen()),
    signal: onInterrupt(),
    // A stored accuracy is of no use without the training that it belongs to.
    fresh: existsSync(trained) ? undefined : Date.now(),
    provenance: made,
    shipped: false,
    root,
  });
  if (interrupted) return 130;
  if (failed.length > 0) throw new Error(failed.map(({ place, reason }) => `${place}: ${reason}`).join("\n"));

  const config = configOf(grid, method, fewShot.settings(dataset.name), dataset);
  const { final } = pathOf(method, { clip, classNames: dataset.classNames, config, seed }, jobs[1], root);
  writePrompts(out, {
    method: method.name,
    config,
    classNames: dataset.classNames,
    model: { name: clip.name, fingerprint: clip.fingerprint },
    training: { dataset: dataset.name, data: dataset.fingerprint, split: dataset.split, shots, seed },
    provenance: made,
    params: final,
    source: out,
  });
  const [table] = fewShot.tables(rowsOf(jobs, runs), compared, loadPaper());
  console.log(`\n${tableText({ ...table, title: `${table.title}, ${dataset.test.length} test pictures` })}`);
  if (leftOut.length > 0)
    console.log(`\n${leftOut.length} pictures that cannot be decoded are left out (--skip-corrupt)`);
  console.log(`\nprompts of ${method.title} for ${dataset.classNames.length} classes written to ${values.out}`);
  return 0;
}
