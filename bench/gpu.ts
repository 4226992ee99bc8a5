/**
 * `npm run bench -- --device gpu`: PromptSRC's step and test batches on a GPU, beside the same in PyTorch on the same GPU.
 * Both in float32 and TF32, PyTorch also with autocast (float16), as the official configurations have it.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { findGpu } from "../src/engine/gpu";
import { clock } from "../src/experiments/progress";
import { writeAtomic } from "../src/io/atomicWrite";
import { pretty } from "../src/io/json";
import type { BenchOutcome, ModelJob, Where } from "../src/results/benchFile";
import { type Table, tableText } from "../src/results/table";
import { UsageError } from "../src/util/errors";
import { inputsFile, modelFolder } from "./model";
import { runProgram, tsx } from "./program";

type Precision = "float32" | "tf32" | "autocast";
export type GpuJob = { where: Where; precision: Precision; job: ModelJob };

/** `gpuBytes`: what the GPU's memory grew by, context and libraries included. */
export type GpuRecord = {
  where: Where;
  precision: Precision;
  what: ModelJob["what"];
  classes: number;
  phase: string;
  seconds: number;
  fastest: number;
  slowest: number;
  repeats: number;
  gpuBytes: number;
};

const shape = { model: "ViT-B/16", batch: 4, depth: 9, nameTokens: "mixed" } as const;

/** The jobs in their order: the kit's float32 first, since it writes the inputs of the others. */
export function gpuJobs({ peer, quick }: { peer: boolean; quick: boolean }): GpuJob[] {
  const steps = (quick ? [50, 500] : [10, 50, 100, 500, 1000]).map(
    (classes) => ({ what: "step", ...shape, classes }) as const,
  );
  const test = { what: "evaluation", ...shape, classes: 100, batch: 100 } as const;
  const kinds: [Where, Precision][] = [
    ["ours", "float32"],
    ["pytorch", "float32"],
    ["ours", "tf32"],
    ["pytorch", "tf32"],
    ["pytorch", "autocast"],
  ];
  return [...steps, test].flatMap((job) =>
    kinds.flatMap(([where, precision]) => (where === "ours" || peer ? [{ where, precision, job }] : [])),
  );
}

const usedBytes = (): number =>
  2 ** 20 *
  Number(
    execFileSync("nvidia-smi", ["--query-gpu=memory.used", "--format=csv,noheader,nounits"], { encoding: "utf8" })
      .trim()
      .split("\n")
      .pop(),
  );

/** The program of a job, its arguments and its environment. `model`: the folder of the weights that PyTorch reads. */
export function commandOf({ where, precision, job }: GpuJob, threads: number, torch: string, model: string) {
  if (where === "ours")
    return {
      program: process.execPath,
      args: ["--import", tsx, join("bench", "measure.ts"), JSON.stringify(job)],
      environment: { PROMPTSRC_THREADS: `${threads}`, PROMPTSRC_TF32: precision === "tf32" ? "1" : "0" },
    };
  const inputs = [model, inputsFile(job)];
  const how = ["--device", "cuda", "--precision", precision];
  return {
    program: torch,
    args: [join("bench", "peer.py"), JSON.stringify(job), `${threads}`, ...inputs, ...how],
    environment: { OMP_NUM_THREADS: `${threads}` },
  };
}

/** Measures all jobs and writes them to a file. @returns the exit status */
export async function gpuBench(options: {
  torch?: string;
  quick: boolean;
  threads: number;
  file: string;
}): Promise<number> {
  const { torch, quick, threads, file } = options;
  const gpu = findGpu();
  if (!gpu) throw new UsageError("--device gpu: nvidia-smi finds no GPU on this machine");
  console.log(`${gpu.name}, ${gpu.memoryGB.toFixed(0)} GB, driver ${gpu.driver}; ${threads} threads of the host`);
  const jobs = gpuJobs({ peer: torch !== undefined, quick });
  const records: GpuRecord[] = [];
  const [versions, losses]: [Record<string, string>, Record<string, number>] = [{}, {}];
  for (const [k, planned] of jobs.entries()) {
    const { where, precision, job } = planned;
    const label = `[${k + 1}/${jobs.length}] ${where === "ours" ? "PromptSRC kit" : "PyTorch"}, ${precision}: ${job.what}, ${job.classes} classes`;
    const [before, start] = [usedBytes(), Date.now()];
    let most = before;
    const poll = setInterval(() => (most = Math.max(most, usedBytes())), 500);
    try {
      const { program, args, environment } = commandOf(planned, threads, torch ?? "", modelFolder(job.model));
      const { output } = await runProgram(program, args, environment);
      const outcome = JSON.parse(output.trim().split("\n").pop() as string) as BenchOutcome;
      if (where === "ours" && !outcome.versions.device.includes(gpu.name))
        throw new Error(`it ran on ${outcome.versions.device}: set the CUDA build up, PROMPTSRC_CUDA=1 npm run setup`);
      Object.assign(versions, outcome.versions);
      const { what, classes } = job;
      const gpuBytes = most - before;
      for (const phase of outcome.phases) records.push({ where, precision, what, classes, ...phase, gpuBytes });
      if (outcome.losses) losses[`${where} ${precision} ${classes}`] = outcome.losses.total;
      const times = outcome.phases.map(({ phase, seconds }) => `${phase} ${(1000 * seconds).toFixed(0)} ms`).join(", ");
      console.log(`${label}: ${times}; ${(gpuBytes / 1e9).toFixed(1)} GB (${clock((Date.now() - start) / 1000)})`);
    } catch (error) {
      console.log(`${label}: failed: ${(error as Error).message}`);
    } finally {
      clearInterval(poll);
    }
    writeAtomic(
      file,
      `${pretty({ made: { date: new Date().toISOString().slice(0, 10), gpu, threads, versions }, records, losses })}\n`,
    );
  }
  for (const table of [gpuTable(records, "step"), gpuTable(records, "batch")]) console.log(`\n${tableText(table)}`);
  const measured = new Set(
    records.map(({ where, precision, what, classes }) => `${where} ${precision} ${what} ${classes}`),
  );
  return measured.size === jobs.length ? 0 : 1;
}

/** Milliseconds and memory of a phase, a row for each number of classes. */
export function gpuTable(records: GpuRecord[], phase: "step" | "batch"): Table {
  const own = records.filter((record) => record.phase === phase);
  const rows = [...new Set(own.map(({ classes }) => classes))].map((classes) => {
    const of = (where: Where, precision: Precision) =>
      own.find((record) => record.classes === classes && record.where === where && record.precision === precision);
    const [kit, peer] = [of("ours", "float32"), of("pytorch", "float32")];
    const milliseconds = (record?: GpuRecord) => record && 1000 * record.seconds;
    return {
      classes,
      kit: milliseconds(kit),
      kitTf32: milliseconds(of("ours", "tf32")),
      peer: milliseconds(peer),
      peerTf32: milliseconds(of("pytorch", "tf32")),
      autocast: milliseconds(of("pytorch", "autocast")),
      memory: kit && kit.gpuBytes / 1e9,
      peerMemory: peer && peer.gpuBytes / 1e9,
    };
  });
  const time = (key: string, title: string) => ({ key, title, digits: 0 });
  return {
    title:
      phase === "step"
        ? "One training step of PromptSRC, ViT-B/16, batch 4 (ms)"
        : "Testing 100 pictures, classes prepared (ms)",
    columns: [
      { key: "classes", title: "classes", digits: 0 },
      time("kit", "kit, float32"),
      time("kitTf32", "TF32"),
      time("peer", "PyTorch, float32"),
      time("peerTf32", "TF32"),
      time("autocast", "autocast"),
      { key: "memory", title: "kit GB", digits: 1 },
      { key: "peerMemory", title: "PyTorch GB", digits: 1 },
    ],
    rows,
    note: "Median; memory of the GPU by nvidia-smi, context and libraries included.",
  };
}
