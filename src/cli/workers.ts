/**
 * `--processes N`: more processes at the same command, which take runs of the same grid. Each begins with its own part of
 * the plan, then takes what the others have left; locks keep two from the same run.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Shard } from "../cluster/plan";
import type { Meter } from "../experiments/progress";
import { without } from "./options";

/** In a worker process: which of how many it is, and when the first one began the grid, in milliseconds. */
const workerVariable = "PROMPTSRC_WORKER";

/** Which worker this process is, if another one started it to take runs of its grid: that one shows the results. */
export function workerOf(): (Shard & { since: number }) | undefined {
  const text = process.env[workerVariable];
  if (text === undefined) return undefined;
  const [k, count, since] = text.split(" ").map(Number);
  return { k, count, since };
}

export const isWorker = (): boolean => workerOf() !== undefined;

/** The meter of a worker: the process that started it shows its lines; it has a progress line of its own. */
export const meterOfWorker: Meter = { report() {}, say: (line) => console.error(line), done() {} };

/**
 * Ends this process with the one that started it, even if that one is killed: the channel between them closes then.
 * Processes without such a channel go on.
 */
export function endWithParent(): void {
  if (process.channel) process.once("disconnect", () => process.exit(1));
}

/**
 * Starts more processes that run the same thing. They take runs of the same grid, which locks divide among them, and end
 * with this process.
 * @param args what follows `run` on the command line
 * @returns a meter for all of them: it shows what a worker says with its number, each line once, and expects that what
 *   is left goes as many times faster
 */
export function startWorkers(count: number, args: string[], since: number, meter: Meter): Meter {
  const command = [...process.execArgv, process.argv[1], "run", ...without(args, ["--json"]), "--processes", "1"];
  const said = new Set<string>();
  const say = (line: string, prefix = "") => {
    if (!said.has(line)) meter.say(`${prefix}${line}`);
    said.add(line);
  };
  const workers = Array.from({ length: count }, (_, k) => {
    const env = { ...process.env, [workerVariable]: `${k + 2} ${count + 1} ${since}` };
    const worker = spawn(process.execPath, command, { stdio: ["ignore", "ignore", "pipe", "ipc"], env });
    const prefix = `process ${k + 2}: `;
    if (worker.stderr) createInterface(worker.stderr).on("line", (line) => line.trim() !== "" && say(line, prefix));
    worker.on("close", (status, signal) => {
      if (signal || (status !== 0 && status !== 130))
        meter.say(`${prefix}ended by ${signal ?? `status ${status}`}; the others go on`);
    });
    return worker;
  });
  process.on("exit", () => {
    for (const worker of workers) worker.kill();
  });
  return {
    ...meter,
    say: (line) => say(line),
    report: ({ work, total, ...status }) =>
      meter.report({ ...status, work, total: work + (total - work) / (count + 1) }),
  };
}
