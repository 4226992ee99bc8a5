/** Runs a job of the bench in a process of its own, so that its peak memory is its own. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchOutcome, Peer } from "../src/results/benchFile";
import { inputsFile, modelFolder } from "./model";
import type { Planned } from "./plan";
import { runProgram, tsx } from "./program";

const peerOptions: Record<Peer, string[]> = {
  pytorch: [],
  "pytorch-tuned": ["--tuned"],
  "pytorch-tuned-bf16": ["--tuned", "--precision", "autocast"],
};

/** Runs a job in a child process. @returns the outcome, which the child prints as the last line of its output */
export async function measure({ where, job }: Planned, threads: number, torch: string): Promise<BenchOutcome> {
  if (job.what === "run") return completeRun(job.arguments, threads);
  const jobJson = JSON.stringify(job);
  if (where === "ours") {
    const { output } = await runProgram(process.execPath, ["--import", tsx, join("bench", "measure.ts"), jobJson], {
      PROMPTSRC_THREADS: `${threads}`,
    });
    return JSON.parse(output.trim().split("\n").pop() as string);
  }
  const inputs = job.what === "matmul" ? [] : [modelFolder(job.model), inputsFile(job)];
  const { output } = await runProgram(
    torch,
    [join("bench", "peer.py"), jobJson, `${threads}`, ...inputs, ...peerOptions[where]],
    { OMP_NUM_THREADS: `${threads}` },
  );
  return JSON.parse(output.trim().split("\n").pop() as string);
}

/** Measures a run from the command line, as a user starts it, into an empty results folder. */
async function completeRun(args: string[], threads: number): Promise<BenchOutcome> {
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
    const { seconds, peakBytes } = await runProgram(process.execPath, command, { PROMPTSRC_THREADS: `${threads}` });
    const [{ seconds: trainAndTestSeconds }] = JSON.parse(readFileSync(join(results, "run.json"), "utf8")).runs;
    const phase = (phase: string, seconds: number) => ({
      phase,
      seconds,
      fastest: seconds,
      slowest: seconds,
      repeats: 1,
    });
    return {
      phases: [phase("end to end", seconds), phase("training and test", trainAndTestSeconds)],
      peakBytes,
      threads,
      versions: { node: process.versions.node },
    };
  } finally {
    rmSync(results, { recursive: true, force: true });
  }
}
