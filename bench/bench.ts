/**
 * npm run bench: time and memory of the kit's training step, testing and a whole run, beside the same in plain PyTorch (peer.py).
 * Each measurement has a process of its own and is stored when it is done: an interrupted bench goes on where it was, and what was measured
 * with the same code on the same machine, while nothing else ran, is not measured again.
 */

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, cpus, tmpdir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { clock } from "../src/experiments/progress";
import { writeAtomic } from "../src/io/atomicWrite";
import { pretty } from "../src/io/json";
import type { BenchFile, BenchJob, BenchOutcome, Measured, ModelJob, Where } from "../src/results/benchFile";
import { evaluationTable, phasesTable, profileTable, stepsTable, sweepTable } from "../src/results/benchTables";
import { type Table, tableText } from "../src/results/table";
import { oneOf, UsageError } from "../src/util/errors";
import { numericsVersion } from "../src/util/numerics";
import { cacheFolder, inputsFile, modelFolder } from "./model";
import { type Planned, plan, type Section, sections } from "./plan";
import { acrossTurns, lossDifferences, profilesOf, recordsOf } from "./records";

const help = `npm run bench -- [options]
  --quick            the embedded model and one small case of ViT-B/16, about 5 minutes
  --only a,b         ${sections.join(", ")} (all of them unless named; the whole takes about 80 minutes)
  --no-peer          without PyTorch beside it
  --torch python     a Python that has PyTorch, instead of the bench's own environment bench/.venv
  --fresh            measure again what is stored
  --json file        where the records go (bench/results/<sections>.json)
PROMPTSRC_THREADS sets the threads of both sides.`;

const options = {
  quick: { type: "boolean", default: false },
  only: { type: "string" },
  "no-peer": { type: "boolean", default: false },
  torch: { type: "string" },
  fresh: { type: "boolean", default: false },
  json: { type: "string" },
  help: { type: "boolean", short: "h", default: false },
} as const;

const threads = Number(process.env.PROMPTSRC_THREADS || availableParallelism());
const cpu = (cpus()[0]?.model ?? process.arch).trim();

/** Hash of the code that a side's numbers depend on. */
function sourceOf(where: Where): string {
  const files =
    where === "pytorch"
      ? ["bench/peer.py", "bench/requirements.txt"]
      : [join("bench", "measure.ts"), join("bench", "model.ts")];
  const hash = createHash("sha256");
  if (where === "ours") hash.update(numericsVersion());
  for (const file of files) hash.update(readFileSync(file));
  return hash.digest("hex");
}
const sources: Record<Where, string> = { ours: sourceOf("ours"), pytorch: sourceOf("pytorch") };

function storedAt({ where, job, turn }: Planned): string {
  const key = createHash("sha256")
    .update(JSON.stringify([where, job, turn, sources[where], cpu, threads]))
    .digest("hex")
    .slice(0, 16);
  return join(cacheFolder, "measured", `${key}.json`);
}

function readMeasured(planned: Planned): Measured | undefined {
  try {
    return JSON.parse(readFileSync(storedAt(planned), "utf8"));
  } catch {
    return undefined;
  }
}

const tsx = pathToFileURL(join("node_modules", "tsx", "dist", "loader.mjs")).href;

/** Runs a program to its end. @returns its standard output, its seconds and, where there is /proc, its largest resident memory */
function child(
  program: string,
  args: string[],
  environment = {},
): Promise<{ output: string; seconds: number; peakBytes: number }> {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const running = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...environment },
    });
    let [output, errors, peakBytes] = ["", "", 0];
    const watch = setInterval(() => {
      try {
        peakBytes =
          1024 *
          Number(/VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${running.pid}/status`, "utf8"))?.[1] ?? peakBytes / 1024);
      } catch {
        clearInterval(watch);
      }
    }, 100);
    running.stdout.on("data", (data) => (output += data));
    running.stderr.on("data", (data) => (errors += data));
    running.on("error", reject);
    running.on("close", (code, signal) => {
      clearInterval(watch);
      const seconds = (performance.now() - begun) / 1000;
      if (code === 0) resolve({ output, seconds, peakBytes });
      else
        reject(
          new Error(
            signal === "SIGKILL"
              ? "killed, most likely for want of memory"
              : errors.trim().split("\n").slice(-3).join("\n") || `${signal ?? code}`,
          ),
        );
    });
  });
}

/** What a side says about a job: the last line of its output. */
async function measure({ where, job }: Planned, torch: string): Promise<BenchOutcome> {
  if (job.what === "run") return wholeRun(job.arguments);
  const said = JSON.stringify(job);
  if (where === "ours") {
    const { output } = await child(process.execPath, ["--import", tsx, join("bench", "measure.ts"), said], {
      PROMPTSRC_THREADS: `${threads}`,
    });
    return JSON.parse(output.trim().split("\n").pop() as string);
  }
  const files = job.what === "matmul" ? [] : [modelFolder(job.model), inputsFile(job)];
  const { output } = await child(torch, [join("bench", "peer.py"), said, `${threads}`, ...files], {
    OMP_NUM_THREADS: `${threads}`,
  });
  return JSON.parse(output.trim().split("\n").pop() as string);
}

/** The command line as a person calls it, into an empty results folder. */
async function wholeRun(args: string[]): Promise<BenchOutcome> {
  const results = mkdtempSync(join(tmpdir(), "bench-"));
  try {
    const command = [
      "--import",
      tsx,
      join("src", "cli", "main.ts"),
      "run",
      "base-to-novel",
      ...args,
      "--results",
      results,
      "--json",
      join(results, "run.json"),
    ];
    const { seconds, peakBytes } = await child(process.execPath, command, { PROMPTSRC_THREADS: `${threads}` });
    const [{ seconds: own }] = JSON.parse(readFileSync(join(results, "run.json"), "utf8")).runs;
    const phase = (phase: string, seconds: number) => ({
      phase,
      seconds,
      fastest: seconds,
      slowest: seconds,
      repeats: 1,
    });
    return {
      phases: [phase("end to end", seconds), phase("training and test", own)],
      peakBytes,
      threads,
      versions: { node: process.versions.node },
    };
  } finally {
    rmSync(results, { recursive: true, force: true });
  }
}

/** Share of the processors that is in use, over a second in which the bench rests. */
async function busyShare(): Promise<number> {
  const spent = () => cpus().map(({ times }) => times);
  const before = spent();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  let [idle, all] = [0, 0];
  for (const [k, after] of spent().entries()) {
    idle += after.idle - before[k].idle;
    all += Object.values(after).reduce((a, b) => a + b, 0) - Object.values(before[k]).reduce((a, b) => a + b, 0);
  }
  return Number((1 - idle / all).toFixed(2));
}

/** From here on times are not worth keeping. */
const tooBusy = 0.15;

/** Memory that the peer's step takes, about: official PyTorch took 4.0 GB at 50 classes of ViT-B/16 and 16.5 GB at 500. */
const peerNeeds = (job: BenchJob): number =>
  job.what === "step" && job.model === "ViT-B/16" ? 2.6e9 + 28e6 * job.classes : 1e9;

function freeBytes(): number {
  try {
    return 1024 * Number(/MemAvailable:\s*(\d+)/.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]);
  } catch {
    return totalmem();
  }
}

const title = ({ where, job, turn }: Planned): string => {
  const side = where === "ours" ? "ours" : "PyTorch";
  if (job.what === "matmul") return `${side}: one product of ${job.size} x ${job.size}`;
  if (job.what === "run") return `${side}: promptsrc run base-to-novel ${job.arguments.join(" ")}`;
  const { what, model, classes, batch, depth, nameTokens } = job as ModelJob;
  const which = turn === undefined ? "" : `, turn ${turn + 1}`;
  return `${side}: ${what}, ${model}, ${classes} classes, batch ${batch}, depth ${depth}, names ${nameTokens}${which}`;
};

async function main(): Promise<number> {
  const known = Object.keys(options).map((name) => `--${name}`);
  const args = process.argv.slice(2);
  for (const arg of args) if (arg.startsWith("--")) oneOf("option", arg.split("=")[0], known);
  const { values } = parseArgs({ args, options });
  if (values.help) {
    console.log(help);
    return 0;
  }
  const chosen = (values.only?.split(",") ?? sections).map(
    (name) => oneOf("section", name.trim(), [...sections]) as Section,
  );
  const peer = !values["no-peer"] && values.torch !== undefined;
  const jobs = plan(chosen, { quick: values.quick, peer });
  const name = values.quick ? "quick" : values.only ? chosen.join("-") : "full";
  const here = process.env.INIT_CWD || process.cwd();
  const file = values.json ? resolve(here, values.json) : join("bench", "results", `${name}.json`);

  console.log(`${cpu}, ${threads} threads, ${(totalmem() / 1e9).toFixed(0)} GB`);
  modelFolder("ViT-B/16");
  const busyNow = await busyShare();
  if (busyNow > tooBusy)
    console.log(`others use ${(100 * busyNow).toFixed(0)} % of the processors: times will be too long`);
  const begun = Date.now();
  const done: Measured[] = [];
  let reused = 0;
  for (const [k, planned] of jobs.entries()) {
    const place = `[${k + 1}/${jobs.length}] ${title(planned)}`;
    const { where, job } = planned;
    const own = where === "ours" && job.what !== "matmul" && job.what !== "run";
    const stored = values.fresh ? undefined : readMeasured(planned);
    const good = stored && (stored.busy <= tooBusy || busyNow > tooBusy);
    if (good && (!own || !peer || existsSync(inputsFile(job)))) {
      done.push(stored);
      reused += 1;
      continue;
    }
    if (where === "pytorch" && peerNeeds(job) > freeBytes()) {
      console.log(
        `${place}: left out, it needs about ${(peerNeeds(job) / 1e9).toFixed(0)} GB and ${(freeBytes() / 1e9).toFixed(0)} GB are free`,
      );
      continue;
    }
    const [busy, since] = [await busyShare(), Date.now()];
    try {
      const outcome = await measure(planned, values.torch ?? "");
      const measured: Measured = { where, job, outcome, busy, finished: new Date().toISOString() };
      writeAtomic(storedAt(planned), JSON.stringify(measured));
      done.push(measured);
      const times = outcome.phases.map(({ phase, seconds }) => `${phase} ${seconds.toFixed(3)} s`).join(", ");
      console.log(
        `${place}: ${times}; ${(outcome.peakBytes / 1e9).toFixed(2)} GB (${clock((Date.now() - since) / 1000)})`,
      );
    } catch (error) {
      console.log(`${place}: failed: ${(error as Error).message}`);
    }
  }
  if (reused > 0)
    console.log(
      `${reused} of ${jobs.length} were measured before, with the same code on this machine (--fresh measures again)`,
    );

  const result = fileOf(acrossTurns(done));
  for (const table of tablesOf(result)) console.log(`\n${tableText(table)}`);
  if (result.losses.length > 0) {
    const largest = Math.max(...result.losses.map(({ difference }) => difference));
    console.log(
      `\nBoth sides start from the same numbers; the losses of their first steps differ by at most ${largest} (relative).`,
    );
  }
  writeAtomic(file, `${pretty(result)}\n`);
  console.log(`\n${result.records.length} records in ${values.json ?? file}, ${clock((Date.now() - begun) / 1000)}`);
  return done.length === jobs.length ? 0 : 1;
}

function fileOf(done: Measured[]): BenchFile {
  const versions: BenchFile["made"]["versions"] = { ours: {}, pytorch: {} };
  for (const { where, outcome } of done) Object.assign(versions[where], outcome.versions);
  const made = {
    date: new Date().toISOString().slice(0, 10),
    cpu,
    cores: cpus().length,
    threads,
    memoryBytes: totalmem(),
    versions,
  };
  return { made, records: done.flatMap(recordsOf), losses: lossDifferences(done), profiles: profilesOf(done) };
}

/** The tables that have rows. */
function tablesOf(file: BenchFile): Table[] {
  const runs = file.records
    .filter(({ what }) => what === "run")
    .map(({ phase, seconds, peakBytes }) => ({ phase, seconds, memory: peakBytes / 1e9 }));
  const whole: Table = {
    title: "A whole run on the embedded data: 16 shots, 20 epochs, both tests",
    columns: [
      { key: "phase", title: "" },
      { key: "seconds", title: "s" },
      { key: "memory", title: "GB", digits: 2 },
    ],
    rows: runs,
  };
  const profiles = file.profiles.flatMap(({ job, operations }) => {
    const { model, classes, batch, depth, nameTokens } = job as ModelJob;
    const shown =
      model === "mini-clip" || ([50, 500].includes(classes) && batch === 4 && depth === 9 && nameTokens === "mixed");
    return shown ? [profileTable(model, classes, operations)] : [];
  });
  return [stepsTable(file), phasesTable(file), evaluationTable(file), whole, sweepTable(file), ...profiles].filter(
    ({ rows }) => rows.length > 0,
  );
}

main().then(
  (status) => process.exit(status),
  (error: Error) => {
    console.error(error instanceof UsageError ? `error: ${error.message}` : error);
    process.exit(error instanceof UsageError ? 2 : 1);
  },
);
