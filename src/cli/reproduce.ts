/**
 * `npm run promptsrc -- reproduce <benchmark> --model <clip> --data <root>`: the paper's configuration of every method
 * that its table has. Before it starts it says what will run and how long that takes, by a few measured steps; at the
 * end, how our numbers agree with the paper's.
 */

import { existsSync } from "node:fs";
import { measureMethod } from "../benchmarks/cost";
import { benchmarks } from "../benchmarks/registry";
import { drawFewShot } from "../datasets/fewShot";
import { clock } from "../experiments/progress";
import { storedRuns, trainedFile } from "../experiments/runner";
import { trainingCost } from "../experiments/trainAndEvaluate";
import { configFor, type Method, trainingSettings } from "../methods/method";
import { methods } from "../methods/registry";
import { loadPaper } from "../results/paper";
import { reproductionTable } from "../results/reproduction";
import { runKey } from "../results/store";
import { type Table, tableText } from "../results/table";
import { oneOf, UsageError } from "../util/errors";
import { type RunContext, runCommand } from "./run";

const reproducible = ["base-to-novel", "few-shot", "cross-dataset", "domain-generalisation"];

/** The methods of the paper's own table of a benchmark; of others it has averages alone, which no dataset stands beside. */
function methodsInPaper(benchmark: string): string[] {
  const paper = loadPaper();
  const table = {
    "base-to-novel": paper.baseToNovel,
    "few-shot": paper.fewShot,
    "cross-dataset": paper.crossDataset,
    "domain-generalisation": paper.domainGeneralisation,
  }[benchmark];
  return Object.values(methods)
    .filter(({ title }) => table && title in table.rows && !(title in (table.others ?? {})))
    .map(({ name }) => name);
}

export async function reproduce([name, ...rest]: string[]): Promise<number> {
  if (name === undefined || name.startsWith("-"))
    throw new UsageError(`reproduce what? There are: ${reproducible.join(", ")}`);
  oneOf("benchmark", name, reproducible);
  const has = (option: string) => rest.some((arg) => arg === option || arg.startsWith(`${option}=`));
  if (has("--config") || has("--set")) throw new UsageError("reproduce runs the paper's settings; others are for: run");
  const args = [name, ...rest.filter((arg) => arg !== "--dry-run"), "--config", "paper"];
  if (!has("--seeds")) args.push("--seeds", "1,2,3");
  if (!has("--methods")) args.push("--methods", methodsInPaper(name).join(","));
  return runCommand(args, {
    async before(context) {
      await showPlan(context);
      return !rest.includes("--dry-run");
    },
    after: ({ jobs, methods: chosen }, { runs }) => {
      const keys = new Set(jobs.map(({ identity }) => identity.method));
      const table = reproductionTable(
        name,
        runs,
        chosen.filter((method) => keys.has(method.name)),
        loadPaper(),
      );
      if (table.rows.length > 0) console.log(`\n${tableText(table)}`);
      else console.log("\nNone of these datasets is the paper's: there is nothing to compare.");
    },
  });
}

/** Steps and test batches that are measured for the estimate, after one that is not. */
const measured = { timed: 2, warmup: 1 };

/** Seconds of a picture through training and testing, by number of classes. */
type Rate = { classes: number; training: number; testing: number };

/** Shows what will run, what is stored, and the time and memory that a few measured steps let expect. */
async function showPlan({ jobs, methods: chosen, datasets, source, clip, root, benchmark }: RunContext): Promise<void> {
  const stored = new Set(storedRuns(jobs, root).map(({ key }) => key));
  const trainedOn = source ? [source] : datasets.filter(({ train }) => train.length > 0);
  const bySize = [...trainedOn].sort((a, b) => a.classNames.length - b.classNames.length);
  const ends = bySize.length > 1 ? [bySize[0], bySize[bySize.length - 1]] : bySize;
  const classesOf = new Map([...datasets, ...trainedOn].map((dataset) => [dataset.name, dataset.classNames.length]));
  const half = benchmark.name === "base-to-novel" ? 2 : 1;
  const rows: Record<string, string | number>[] = [];
  /** Trainings that are stored, or counted already. */
  const trained = new Set(
    jobs.flatMap(({ training }) => (training && existsSync(trainedFile(training.key, root)) ? [training.key] : [])),
  );
  let total = 0;
  for (const method of chosen) {
    const mine = jobs.filter(({ identity }) => identity.method === method.name);
    const open = mine.filter(({ identity }) => !stored.has(runKey(identity)));
    if (mine.length === 0) continue;
    const rates: Rate[] = [];
    if (open.length > 0) for (const dataset of ends) rates.push(await rateOf(method, dataset));
    let seconds = 0;
    for (const { identity, training, testing } of open) {
      const classes = (dataset: string) => (classesOf.get(dataset) ?? 1) / half;
      seconds += testing * at(rates, classes(identity.dataset), "testing");
      if (!training || trained.has(training.key)) continue;
      trained.add(training.key);
      const source = identity.source?.dataset ?? identity.dataset;
      seconds += (training.work / trainingCost) * at(rates, classes(source), "training");
    }
    total += seconds;
    rows.push({
      method: method.title,
      runs: mine.length,
      stored: mine.length - open.length,
      time: open.length > 0 ? clock(seconds) : "",
      memory: `${(process.resourceUsage().maxRSS / 2 ** 20).toFixed(1)}`,
    });
  }
  const table: Table = {
    title: `${jobs.length} runs, ${stored.size} of them stored; about ${clock(total)} on this machine`,
    columns: [
      { key: "method", title: "method" },
      { key: "runs", title: "runs", digits: 0 },
      { key: "stored", title: "stored", digits: 0 },
      { key: "time", title: "time" },
      { key: "memory", title: "GB, at most so far" },
    ],
    rows,
    note: `Estimated from ${measured.timed} steps and test batches of each method.`,
  };
  console.log(`\n${tableText(table)}\n`);

  async function rateOf(method: Method, dataset: (typeof datasets)[number]): Promise<Rate> {
    const config = configFor(method, "paper", benchmark.settings(dataset.name), dataset.template);
    const task = { clip, classNames: dataset.classNames, config: trainingSettings(method, config), seed: 1 };
    const { metrics } = await measureMethod(
      task,
      method,
      drawFewShot(dataset, Math.max(...benchmark.shots), 1),
      "test",
      measured,
    );
    const batch = Math.min(config.batch ?? 1, dataset.train.length);
    return {
      classes: dataset.classNames.length,
      training: metrics["ms a step"] ? metrics["ms a step"] / 1000 / batch : 0,
      testing: 1 / metrics["pictures a second"],
    };
  }
}

/** Between the two measured numbers of classes, and beyond them, along a line. */
function at(rates: Rate[], classes: number, what: "training" | "testing"): number {
  const [a, b] = rates;
  if (a === undefined) return 0;
  if (b === undefined || b.classes === a.classes) return a[what];
  return Math.max(a[what] / 4, a[what] + ((b[what] - a[what]) * (classes - a.classes)) / (b.classes - a.classes));
}

export const reproduceHelp = `  reproduce <name>    the paper's table of a benchmark with its settings: ${reproducible.filter((name) => name in benchmarks).join(", ")};
                      takes --model, --data, --datasets, --methods, --seeds (1,2,3), --shots, --processes, --results of run;
                      --dry-run shows what would run, and the time and memory, and ends`;
