/**
 * `--on slurm` without Slurm: `sbatch` is a program that runs the tasks of its script one after the other, and `squeue`
 * shows what a file holds. Commands, scripts, plans, tasks and results are the real ones. `npm run slurm` has a real queue.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { beforeAll, expect, it } from "vitest";
import { commandLine } from "../cli/commandLine";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";

const folder = temporaryFolder("on slurm");
const programs = join(folder, "bin");

/** A program in PATH, in place of Slurm's. */
const program = (name: string, script: string) =>
  writeFileSync(join(programs, name), `#!/bin/bash\n${script}\n`, { mode: 0o755 });

beforeAll(async () => {
  mkdirSync(programs);
  await drawShapes(join(folder, "data", "shapes"));
  program("squeue", `cat '${folder}/queue' 2> /dev/null; exit 0`);
  program("sinfo", "printf 'cpu\\nlong\\n'");
  program("scontrol", `echo "$@" >> '${folder}/requeued'`);
});

const runsTasks = `[ "$1" = --version ] && exit
log=$(sed -n 's/^#SBATCH --output=//p' "$2")
for task in $(seq $(sed -n 's/^#SBATCH --array=1-\\([0-9]*\\).*/\\1/p' "$2")); do
  SLURM_ARRAY_JOB_ID=77 SLURM_ARRAY_TASK_ID=$task bash "$2" > "\${log/\\%a/$task}" 2>&1
done
echo 77`;

const env = () => ({ PATH: `${programs}:${process.env.PATH}`, PROMPTSRC_THREADS: "1" });
const run = commandLine(() => folder, env);
const grid = ["run", "base-to-novel", "--model", join(process.cwd(), "test", "golden"), "--data", "data"];
const small = [...grid, "--methods", "coop,ivlp", "--config", "paper", "--set", "epochs=2", "--shots", "1"];
const onSlurm = ["--on", "slurm", "--tasks", "2"];

/** The accuracies, losses and times of the runs in a results folder, by file. */
function stored(results: string): Record<string, { numbers: unknown; finished: number }> {
  const names = readdirSync(join(folder, results), { recursive: true, encoding: "utf8" });
  return Object.fromEntries(
    names
      .filter((name) => /^[^.].*\.json$/.test(name))
      .map((name) => {
        const { metrics, epochs, finished } = JSON.parse(readFileSync(join(folder, results, name), "utf8"));
        return [name, { numbers: { metrics, epochs }, finished: Date.parse(finished) }];
      }),
  );
}
const numbers = (results: string) =>
  Object.fromEntries(Object.entries(stored(results)).map(([name, run]) => [name, run.numbers]));

it("says that sbatch is missing, and gives sbatch's own words for a partition that there is not", () => {
  const nowhere = commandLine(
    () => folder,
    () => ({ ...env(), PATH: folder }),
  );
  const missing = nowhere(...small, ...onSlurm, "--results", "none");
  expect([missing.status, missing.err]).toEqual([
    2,
    expect.stringMatching(
      /there is no sbatch on this machine\. Give the command on a login node.*--processes.*--shard/,
    ),
  ]);
  program("sbatch", `[ "$1" = --version ] || { echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1; }`);
  const refused = run(...small, ...onSlurm, "--slurm", "partition=gpu", "--results", "none");
  expect([refused.status, refused.err]).toEqual([
    2,
    expect.stringMatching(
      /sbatch refuses .*\.sh: invalid partition specified: gpu\. There are the partitions cpu, long/,
    ),
  ]);
  const plans = join(folder, "none", ".slurm");
  const left = readdirSync(join(plans, readdirSync(plans)[0]));
  expect(left).toEqual(["1.sh"]); // nothing counts as submitted
});

it("gives the files of one process; --fresh computes all again, once, and is refused while the grid is in the queue", () => {
  program("sbatch", runsTasks);
  expect(run(...small, "--results", "whole").status).toBe(0);
  const first = run(...small, ...onSlurm, "--results", "tasks");
  expect([first.status, first.out], first.err).toEqual([0, expect.stringContaining("2 runs in 2 tasks")]);
  expect(numbers("tasks")).toEqual(numbers("whole"));

  const before = stored("tasks");
  const again = run(...small, "--on", "slurm", "--tasks", "1", "--fresh", "--results", "tasks");
  expect(again.err).toContain("job 77 is submitted");
  expect(numbers("tasks")).toEqual(numbers("whole"));
  const afterwards = stored("tasks");
  for (const [name, { finished }] of Object.entries(afterwards))
    expect(finished).toBeGreaterThan(before[name].finished);

  const plans = join(folder, "tasks", ".slurm");
  const plan = join(plans, readdirSync(plans)[0], "2.plan.json");
  const repeated = run(...small, "--results", "tasks", "--shard", "1/1", "--plan", plan); // as after a requeue
  expect([repeated.status, repeated.err]).toEqual([0, expect.stringMatching(/2 of 2 runs are stored/)]);
  const later = run(...small, ...onSlurm, "--results", "tasks");
  expect([later.status, later.err]).toEqual([0, expect.stringContaining("submitted before")]);
  expect(stored("tasks")).toEqual(afterwards);

  writeFileSync(join(folder, "queue"), `promptsrc-${readdirSync(plans)[0]}-2|1-2|PENDING|Priority\n`);
  const queued = run(...small, ...onSlurm, "--fresh", "--results", "tasks");
  expect([queued.status, queued.err]).toEqual([2, expect.stringContaining("leave out --fresh to see it")]);
  rmSync(join(folder, "queue"));
});

it("a task that is told to end (SIGUSR1, then SIGTERM) stops after its step, and goes on to the same numbers", async () => {
  const long = [...grid, "--methods", "ivlp", "--set", "epochs=40", "--shots", "2"];
  const task = [...long, "--shard", "1/1", "--results", "ended"];
  const trained = () => readdirSync(join(folder, "ended", ".trained")).filter((name) => name.endsWith(".safetensors"));
  /** Starts the task, sends the signal once an epoch is stored, and returns its status, its words and its last seconds. */
  async function end(signal: NodeJS.Signals): Promise<[number | null, string, number]> {
    const queue = { SLURM_ARRAY_JOB_ID: "77", SLURM_ARRAY_TASK_ID: "1" };
    const child: ChildProcess = spawn(process.execPath, ["--import", "tsx", "src/cli/main.ts", ...task], {
      env: { ...process.env, INIT_CWD: folder, ...env(), ...queue },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr?.on("data", (text) => (said += text));
    const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
    const startTime = Date.now();
    while (child.exitCode === null && !(existsSync(join(folder, "ended", ".trained")) && isStored(startTime)))
      await setTimeout(20);
    const told = Date.now();
    child.kill(signal);
    return [await ended, said, (Date.now() - told) / 1000];
  }
  const isStored = (since: number) =>
    trained().some((name) => statSync(join(folder, "ended", ".trained", name)).mtimeMs > since);

  for (const signal of ["SIGUSR1", "SIGTERM"] as const) {
    const [status, said, seconds] = await end(signal);
    expect([status, said]).toEqual([130, expect.stringContaining("interrupted: 0 of 1 runs done")]);
    expect(seconds).toBeLessThan(3);
    expect(trained()).toHaveLength(1);
  }
  expect(readFileSync(join(folder, "requeued"), "utf8")).toBe("requeue 77_1\n"); // on SIGTERM it is Slurm that does it
  expect(run(...task).status).toBe(0);
  expect(run(...long, "--results", "undisturbed").status).toBe(0);
  expect(numbers("ended")).toEqual(numbers("undisturbed"));
});
