/**
 * `npm run promptsrc -- reproduce <benchmark> --model <clip> --data <root>`: the paper's configuration of every method
 * that its table has. Before it starts it says what will run and how long that takes, by a few measured steps; at the
 * end, how our numbers agree with the paper's.
 */

import { benchmarks } from "../benchmarks/registry";
import { methods } from "../methods/registry";
import { loadPaper } from "../results/paper";
import { reproductionTable } from "../results/reproduction";
import { tableText } from "../results/table";
import { oneOf, UsageError } from "../util/errors";
import { estimateSeconds, openJobs, planTable } from "./estimate";
import { runCommand } from "./run";

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
  const args = [name, ...rest, "--config", "paper"];
  if (!has("--seeds")) args.push("--seeds", "1,2,3");
  if (!has("--methods")) args.push("--methods", methodsInPaper(name).join(","));
  return runCommand(args, {
    async before(context) {
      const open = openJobs(context);
      console.log(`\n${tableText(planTable(context, open, await estimateSeconds(context, open)))}\n`);
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

export const reproduceHelp = `  reproduce <name>    the paper's table of a benchmark with its settings: ${reproducible.filter((name) => name in benchmarks).join(", ")};
                      takes --model, --data, --datasets, --methods, --seeds (1,2,3), --shots, --processes, --results of run;
                      --dry-run shows what would run, and the time and memory, and ends`;
