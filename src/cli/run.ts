/**
 * `npm run promptsrc -- run <benchmark|ablation> ...` and `list`: from options to jobs, from finished runs to tables.
 */
import { join } from "node:path";
import { type Ablation, ablationJobs, ablationTables, variantsOf } from "../benchmarks/ablation";
import { ablations } from "../benchmarks/ablations";
import { benchmarks } from "../benchmarks/registry";
import { type Dataset, datasetNames, loadDataset } from "../datasets/split";
import { wantedThreads } from "../engine/tf";
import type { Benchmark, Grid } from "../experiments/benchmark";
import { failureText } from "../experiments/failures";
import { type Job, rowsOf } from "../experiments/job";
import { provenance } from "../experiments/provenance";
import type { GridResult } from "../experiments/runner";
import { writeAtomic } from "../io/atomicWrite";
import { pretty } from "../io/json";
import { configFor, type Method } from "../methods/method";
import { methodNamed, methods } from "../methods/registry";
import { loadPaper } from "../results/paper";
import { resultsFolder } from "../results/store";
import { type Labelled, type Table, tableText } from "../results/table";
import { oneOf, UsageError } from "../util/errors";
import { changeBy, presetOf } from "./chosenSettings";
import { compute, endOfPart, jobsAt, placeHelp, placeOf, placeOptions } from "./compute";
import { lookAtPictures } from "./lookAtPictures";
import { fromHere, list, modelPath, parseOptions, startModel, wholeNumbers } from "./options";
import type { RunContext } from "./runContext";
import { runReport } from "./runReport";
import { isWorker } from "./workers";

export const runHelp = `  run <name>          run a benchmark or an ablation and show its tables; what is stored is reused
    benchmarks        ${Object.keys(benchmarks).join(", ")}
    ablations         ${Object.keys(ablations).join(", ")}
    --methods a,b     of a benchmark (all that can take part)
    --variants a,b    of an ablation (all)
    --datasets a,b    folders under --data, or all
    --source name     dataset that is trained on, where others are tested (generic, else imagenet)
    --seeds 1,2,3     seeds of few shots, initial prompts and augmentation (1)
    --shots 16        training pictures per class (the benchmark's own)
    --split renders   which split of the datasets: renders (the default) or disjoint; CoOp's datasets have one
    --subset test     pictures that are tested: test, or val for choosing numbers
    --config paper    settings by name: paper or embedded (the model's own: those that its folder names, else the paper's)
    --set key=value   changes one setting, such as lr=0.02 or ensemble=null; may be repeated (settings <method> lists them)
    --per-epoch       also test every third picture after every epoch
    --predictions     compute again what is stored without the prediction of each picture (as runs that came with the kit)
${placeHelp}
    --skip-corrupt    leave out pictures that cannot be decoded, and say so
    --json out.json   accuracies, seeds, versions and seconds as JSON
    --data folder     a root of CoOp's fifteen datasets, or folders with images/ and split files (data)
    --model path      a CLIP: a Hugging Face or open_clip folder, or OpenAI's .pt (weights/mini-clip)
    --results folder  where runs are stored and found again (${resultsFolder}, and the runs that came with the kit)
  list                benchmarks, ablations and their variants, methods, datasets`;

const runOptions = {
  methods: { type: "string" },
  variants: { type: "string" },
  datasets: { type: "string" },
  source: { type: "string" },
  seeds: { type: "string", default: "1" },
  shots: { type: "string" },
  split: { type: "string" },
  subset: { type: "string", default: "test" },
  config: { type: "string" },
  set: { type: "string", multiple: true },
  "per-epoch": { type: "boolean", default: false },
  predictions: { type: "boolean", default: false },
  ...placeOptions,
  "skip-corrupt": { type: "boolean", default: false },
  json: { type: "string" },
  data: { type: "string" },
  model: { type: "string" },
  results: { type: "string" },
} as const;

export const parseRunOptions = (args: string[]) => parseOptions(args, runOptions);
type Options = ReturnType<typeof parseRunOptions>["values"];

/** The named datasets; of an ablation's own those that there are; else all that the benchmark takes. */
function chooseDatasets({ data, datasets, split }: Options, benchmark: Benchmark, own?: string[]): Dataset[] {
  const folder = fromHere(data, "data");
  const names = datasetNames(folder, split);
  const load = (name: string) => loadDataset(join(folder, name), split);
  if (datasets !== undefined && datasets !== "all")
    return list("datasets", datasets).map((name) => load(oneOf("dataset", name, names)));
  const chosen = datasets === undefined ? names.filter((name) => own?.includes(name)) : [];
  return (chosen.length > 0 ? chosen : names).map(load).filter(benchmark.takes);
}

function chooseSource({ data, source, split }: Options): Dataset {
  const folder = fromHere(data, "data");
  const names = datasetNames(folder, split);
  const chosen = source ?? ["generic", "imagenet"].find((name) => names.includes(name));
  if (chosen === undefined) throw new UsageError(`--source: which of these is trained on? ${names.join(", ")}`);
  return loadDataset(join(folder, oneOf("dataset", chosen, names)), split);
}

/** What is run under a name: its jobs on a grid, the rows of its tables, and the tables. */
type Plan = {
  methods: Method[];
  jobs(grid: Omit<Grid, "methods">): Job[];
  named: Labelled[];
  tables(result: Job[], runs: GridResult["runs"]): Table[];
};

function planBenchmark(benchmark: Benchmark, { methods: names, variants }: Options): Plan {
  if (variants !== undefined)
    throw new UsageError(`--variants: ${benchmark.name} is a benchmark; choose among --methods`);
  const answers = (method: Method) =>
    benchmark.sameClasses || method.transfers?.(configFor(method, "paper", "baseToNovel")) !== false;
  const named = names === undefined ? Object.values(methods).filter(answers) : list("methods", names).map(methodNamed);
  return {
    methods: named,
    named,
    jobs: (grid) => benchmark.jobs({ ...grid, methods: named }),
    tables: (jobs, runs) => benchmark.tables(rowsOf(jobs, runs), named, loadPaper()),
  };
}

function planAblation(ablation: Ablation, { methods: names, variants, source }: Options): Plan {
  if (names !== undefined)
    throw new UsageError(`--methods: ${ablation.name} is an ablation; choose among its --variants`);
  if (source !== undefined) throw new UsageError(`--source: ${ablation.name} trains on the datasets that it tests`);
  const known = ablation.variants.map((variant) => variant.name);
  const chosen =
    variants === undefined ? known : list("variants", variants).map((name) => oneOf("variant", name, known));
  const named = ablation.variants.filter((variant) => chosen.includes(variant.name));
  return {
    methods: [...new Set(named.map(({ method }) => method))],
    named,
    jobs: (grid) => ablationJobs(variantsOf({ ...ablation, variants: named }, grid.clip), grid),
    tables: (jobs, runs) => ablationTables({ ...ablation, variants: named }, rowsOf(jobs, runs), loadPaper()),
  };
}

/** What a command adds to a run: before the jobs are computed, and after their tables. */
type RunExtras = {
  before?(context: RunContext): Promise<void>;
  after?(context: RunContext, result: GridResult): void;
};

export async function runCommand([name, ...rest]: string[], { before, after }: RunExtras = {}): Promise<number> {
  const names = [...Object.keys(benchmarks), ...Object.keys(ablations)];
  if (name === undefined || name.startsWith("-")) throw new UsageError(`run what? There are: ${names.join(", ")}`);
  oneOf("benchmark or ablation", name, names);
  const { values, positionals } = parseRunOptions(rest);
  if (positionals.length > 0)
    throw new UsageError(`unexpected "${positionals.join(" ")}"; lists are written with commas and no spaces`);
  const benchmark = benchmarks[name] ?? benchmarks["base-to-novel"];
  const ablation = (ablations as Record<string, Ablation | undefined>)[name];
  const plan = ablation ? planAblation(ablation, values) : planBenchmark(benchmark, values);
  if (values.source !== undefined && !benchmark.transfers)
    throw new UsageError(`--source: ${name} trains on the datasets that it tests`);
  const subset = oneOf("subset", values.subset, ["test", "val"]) as "test" | "val";
  const asked = presetOf(values.config);
  const change = changeBy(values.set ?? [], plan.methods);
  const seeds = wholeNumbers("seeds", values.seeds);
  const shots = values.shots === undefined ? undefined : wholeNumbers("shots", values.shots);
  const chosen = chooseDatasets(values, benchmark, ablation?.datasets);
  const chosenSource = benchmark.transfers ? chooseSource(values) : undefined;
  const model = modelPath(values.model);

  const place = placeOf(values);
  if (place.processes > 1 && !place.slurm)
    process.env.PROMPTSRC_THREADS = `${Math.max(1, Math.floor(wantedThreads() / place.processes))}`;
  const { decodable, leftOut, refusals } = await lookAtPictures(
    [...chosen, ...(chosenSource ? [chosenSource] : [])],
    shots ?? benchmark.shots,
    seeds,
    values["skip-corrupt"],
  );
  const datasets = chosen.map(decodable);
  const source = chosenSource && decodable(chosenSource);
  const { engine, clip } = await startModel(model, console.log);
  const preset = asked ?? clip.preset;
  console.log(
    `settings "${preset}"${asked ? "" : preset === "paper" ? ": the paper's, since the model's folder names no others" : ": the model's own"}`,
  );
  const refusalOf = ({ identity, refused }: Job): string | undefined =>
    refusals.get(identity.dataset) ?? refusals.get(identity.source?.dataset ?? "") ?? refused;
  const planned = plan.jobs({
    clip,
    datasets,
    source,
    seeds,
    shots,
    preset,
    change,
    subset,
    perEpoch: values["per-epoch"],
    predictions: values.predictions,
  });
  const jobs = jobsAt(
    place,
    planned.map((job) => ({ ...job, refused: refusalOf(job) })),
  );
  const made = provenance(engine);
  const context: RunContext = {
    benchmark,
    preset,
    methods: plan.methods,
    jobs,
    datasets,
    source,
    clip,
    root: fromHere(values.results, resultsFolder),
    shipped: values.results === undefined, // a folder that is named holds all that it is asked for
    fresh: place.fresh,
  };
  if (before && !place.dryRun) await before(context);
  const result = await compute(place, context, made, [name, ...rest]);
  if (result === undefined || isWorker()) return 0;
  if (place.shard) return endOfPart(place.shard, jobs, result);
  if (result.runs.length > 0) {
    const splits = [...new Set(datasets.map((dataset) => dataset.split))].join(" and ");
    const which = `split ${splits}, ${subset} pictures`;
    for (const table of plan.tables(jobs, result.runs)) {
      if (table.rows.length > 0) console.log(`\n${tableText({ ...table, title: `${table.title}, ${which}` })}`);
    }
  }
  if (leftOut.length > 0)
    console.log(`\n${leftOut.length} pictures that cannot be decoded are left out (--skip-corrupt)`);
  after?.(context, result);
  if (values.json) {
    writeAtomic(
      fromHere(values.json),
      `${pretty({ ...runReport(name, jobs, result, made), ...(leftOut.length > 0 ? { leftOut } : {}) })}\n`,
    );
    console.log(`\nwritten to ${values.json}`);
  }
  const { failed, interrupted } = result;
  if (failed.length > 0)
    console.error(`\n${failureText(failed, jobs.length, place.slurm ? "the same command with --retry" : undefined)}`);
  return interrupted ? 130 : failed.length > 0 ? 1 : 0;
}
