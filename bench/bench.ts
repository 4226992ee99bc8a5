/**
 * npm run bench: measures time and memory of the kit's training step, of its evaluation and of a complete run, and of
 * the same work in plain PyTorch (peer.py). Each measurement runs in a separate process and is stored as soon as it is
 * done, so an interrupted bench resumes where it stopped. A stored measurement is reused if it was made with the same
 * code on the same machine while nothing else ran.
 */

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { clock } from "../src/experiments/progress";
import { writeAtomic } from "../src/io/atomicWrite";
import { pretty } from "../src/io/json";
import {
  type BenchFile,
  type BenchJob,
  type Measured,
  type ModelJob,
  peers,
  type Where,
} from "../src/results/benchFile";
import {
  evaluationTable,
  peersTable,
  phasesTable,
  profileTable,
  sideTitles,
  stepsTable,
  sweepTable,
} from "../src/results/benchTables";
import { type Table, tableText } from "../src/results/table";
import { oneOf, UsageError } from "../src/util/errors";
import { numericsVersion } from "../src/util/numerics";
import { gpuBench } from "./gpu";
import { measure } from "./job";
import { cacheFolder, inputsFile, modelFolder } from "./model";
import { type Planned, plan, type Section, sections } from "./plan";
import { acrossTurns, lossDifferences, profilesOf, recordsOf } from "./records";

const help = `npm run bench -- [options]
  --quick            the embedded model and one small case of ViT-B/16, about 5 minutes
  --only a,b         sections to measure: ${sections.join(", ")} (default: all, about 90 minutes)
  --device gpu       measure on the GPU, beside PyTorch in float32, TF32 and autocast (with --quick: 50 and 500 classes)
  --no-peer          do not measure PyTorch
  --torch python     a Python that has PyTorch, instead of the bench's environment bench/.venv
  --fresh            measure again, even if a stored measurement exists
  --json file        output file of the records (default: bench/results/<sections>.json)
PROMPTSRC_THREADS sets the number of threads for the kit and for PyTorch.`;

const options = {
  quick: { type: "boolean", default: false },
  only: { type: "string" },
  device: { type: "string", default: "cpu" },
  "no-peer": { type: "boolean", default: false },
  torch: { type: "string" },
  fresh: { type: "boolean", default: false },
  json: { type: "string" },
  help: { type: "boolean", short: "h", default: false },
} as const;

const threads = Number(process.env.PROMPTSRC_THREADS || availableParallelism());
const cpu = (cpus()[0]?.model ?? process.arch).trim();

/** Hash of the code that the measurements of the kit ("ours") or of PyTorch depend on. */
function sourceOf(where: Where): string {
  const files =
    where === "ours"
      ? [join("bench", "measure.ts"), join("bench", "model.ts")]
      : ["bench/peer.py", "bench/requirements.txt"];
  const hash = createHash("sha256");
  if (where === "ours") hash.update(numericsVersion());
  for (const file of files) hash.update(readFileSync(file));
  return hash.digest("hex");
}
const sources = { ours: sourceOf("ours"), peers: sourceOf("pytorch") };

function measurementFile({ where, job, turn }: Planned): string {
  const key = createHash("sha256")
    .update(JSON.stringify([where, job, turn, where === "ours" ? sources.ours : sources.peers, cpu, threads]))
    .digest("hex")
    .slice(0, 16);
  return join(cacheFolder, "measured", `${key}.json`);
}

function readMeasured(planned: Planned): Measured | undefined {
  try {
    return JSON.parse(readFileSync(measurementFile(planned), "utf8"));
  } catch {
    return undefined;
  }
}

/** Share of the processors' time that other programs use, measured over one second in which the bench is idle. */
async function busyShare(): Promise<number> {
  const processorTimes = () => cpus().map(({ times }) => times);
  const before = processorTimes();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  let [idle, all] = [0, 0];
  for (const [k, after] of processorTimes().entries()) {
    idle += after.idle - before[k].idle;
    all += Object.values(after).reduce((a, b) => a + b, 0) - Object.values(before[k]).reduce((a, b) => a + b, 0);
  }
  return Number((1 - idle / all).toFixed(2));
}

/** Above this share of busy processors, the measured times are not reliable. */
const tooBusy = 0.15;

/**
 * Estimate of the bytes of memory that a job needs in plain PyTorch, which took 4.0 GB at 50 classes of ViT-B/16 and
 * 16.5 GB at 500.
 */
const peerBytes = (job: BenchJob): number =>
  job.what === "step" && job.model === "ViT-B/16" ? 2.6e9 + 28e6 * job.classes : 1e9;

function freeBytes(): number {
  try {
    return 1024 * Number(/MemAvailable:\s*(\d+)/.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]);
  } catch {
    return totalmem();
  }
}

const title = ({ where, job, turn }: Planned): string => {
  const side = sideTitles[where];
  if (job.what === "matmul") return `${side}: matrix product of ${job.size} x ${job.size}`;
  if (job.what === "run") return `${side}: promptsrc run base-to-novel ${job.arguments.join(" ")}`;
  const { what, model, classes, batch, depth, nameTokens } = job as ModelJob;
  const run = turn === undefined ? "" : `, run ${turn + 1}`;
  return `${side}: ${what}, ${model}, ${classes} classes, batch ${batch}, depth ${depth}, names ${nameTokens}${run}`;
};

async function main(): Promise<number> {
  const optionNames = Object.keys(options).map((name) => `--${name}`);
  const args = process.argv.slice(2);
  for (const arg of args) if (arg.startsWith("--")) oneOf("option", arg.split("=")[0], optionNames);
  const { values } = parseArgs({ args, options });
  if (values.help) {
    console.log(help);
    return 0;
  }
  const selected = (values.only?.split(",") ?? sections).map(
    (name) => oneOf("section", name.trim(), [...sections]) as Section,
  );
  const peer = !values["no-peer"] && values.torch !== undefined;
  if (oneOf("device", values.device, ["cpu", "gpu"]) === "gpu") {
    if (values.only !== undefined) throw new UsageError("--only chooses sections of the CPU; --device gpu has one");
    const output = resolve(process.env.INIT_CWD || "", values.json ?? join("bench", "results", "gpu.json"));
    return gpuBench({ torch: peer ? values.torch : undefined, quick: values.quick, threads, file: output });
  }
  const jobs = plan(selected, { quick: values.quick, peer });
  const name = values.quick ? "quick" : values.only ? selected.join("-") : "full";
  const callerFolder = process.env.INIT_CWD || process.cwd();
  const file = values.json ? resolve(callerFolder, values.json) : join("bench", "results", `${name}.json`);

  console.log(`${cpu}, ${threads} threads, ${(totalmem() / 1e9).toFixed(0)} GB`);
  modelFolder("ViT-B/16");
  const busyNow = await busyShare();
  if (busyNow > tooBusy)
    console.log(
      `warning: other programs use ${(100 * busyNow).toFixed(0)} % of the processors; measured times will be too long`,
    );
  const startTime = Date.now();
  const finished: Measured[] = [];
  let reused = 0;
  for (const [k, planned] of jobs.entries()) {
    const label = `[${k + 1}/${jobs.length}] ${title(planned)}`;
    const { where, job } = planned;
    const savesInputs = where === "ours" && job.what !== "matmul" && job.what !== "run";
    const stored = values.fresh ? undefined : readMeasured(planned);
    const isUsable = stored && (stored.busy <= tooBusy || busyNow > tooBusy);
    if (isUsable && (!savesInputs || !peer || existsSync(inputsFile(job)))) {
      finished.push(stored);
      reused += 1;
      continue;
    }
    if (where === "pytorch" && peerBytes(job) > freeBytes()) {
      console.log(
        `${label}: skipped, as it needs ${(peerBytes(job) / 1e9).toFixed(0)} GB and ${(freeBytes() / 1e9).toFixed(0)} GB are free`,
      );
      continue;
    }
    const [busy, jobStart] = [await busyShare(), Date.now()];
    try {
      const outcome = await measure(planned, threads, values.torch ?? "");
      const measured: Measured = { where, job, outcome, busy, finished: new Date().toISOString() };
      writeAtomic(measurementFile(planned), JSON.stringify(measured));
      finished.push(measured);
      const times = outcome.phases.map(({ phase, seconds }) => `${phase} ${seconds.toFixed(3)} s`).join(", ");
      console.log(
        `${label}: ${times}; ${(outcome.peakBytes / 1e9).toFixed(2)} GB (${clock((Date.now() - jobStart) / 1000)})`,
      );
    } catch (error) {
      console.log(`${label}: failed: ${(error as Error).message}`);
    }
  }
  if (reused > 0)
    console.log(
      `${reused} of ${jobs.length} measurements are reused: same code, same machine (--fresh measures them again)`,
    );

  const result = fileOf(acrossTurns(finished));
  for (const table of tablesOf(result)) console.log(`\n${tableText(table)}`);
  for (const peer of peers) {
    const differences = result.losses.filter((compared) => compared.peer === peer).map(({ difference }) => difference);
    if (differences.length > 0)
      console.log(`\nFirst step, ${sideTitles[peer]}: losses differ by at most ${Math.max(...differences)} of theirs`);
  }
  writeAtomic(file, `${pretty(result)}\n`);
  console.log(
    `\n${result.records.length} records in ${values.json ?? file}, ${clock((Date.now() - startTime) / 1000)}`,
  );
  return finished.length === jobs.length ? 0 : 1;
}

function fileOf(measured: Measured[]): BenchFile {
  const versions: BenchFile["made"]["versions"] = {};
  for (const { where, outcome } of measured) versions[where] = { ...versions[where], ...outcome.versions };
  const made = {
    date: new Date().toISOString().slice(0, 10),
    cpu,
    cores: cpus().length,
    threads,
    memoryBytes: totalmem(),
    versions,
  };
  return {
    made,
    records: measured.flatMap(recordsOf),
    losses: lossDifferences(measured),
    profiles: profilesOf(measured),
  };
}

/** The tables of a bench file, without those that have no rows. */
function tablesOf(file: BenchFile): Table[] {
  const runs = file.records
    .filter(({ what }) => what === "run")
    .map(({ phase, seconds, peakBytes }) => ({ phase, seconds, memory: peakBytes / 1e9 }));
  const completeRunTable: Table = {
    title: "A complete run on the embedded data: 16 shots, 20 epochs, test on base and novel classes",
    columns: [
      { key: "phase", title: "" },
      { key: "seconds", title: "s" },
      { key: "memory", title: "GB", digits: 2 },
    ],
    rows: runs,
  };
  const profiles = file.profiles.flatMap(({ job, operations }) => {
    const { model, classes, batch, depth, nameTokens } = job as ModelJob;
    const isShown =
      model === "mini-clip" || ([50, 500].includes(classes) && batch === 4 && depth === 9 && nameTokens === "mixed");
    return isShown ? [profileTable(model, classes, operations)] : [];
  });
  return [
    stepsTable(file),
    phasesTable(file),
    evaluationTable(file),
    completeRunTable,
    sweepTable(file),
    peersTable(file),
    ...profiles,
  ].filter(({ rows }) => rows.length > 0);
}

main().then(
  (status) => process.exit(status),
  (error: Error) => {
    console.error(error instanceof UsageError ? `error: ${error.message}` : error);
    process.exit(error instanceof UsageError ? 2 : 1);
  },
);
