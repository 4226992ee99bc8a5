/** `--processes N`: more processes at the same command, which take runs of the same grid. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Meter } from "../experiments/progress";

/** In a worker process: when the process that started it began its grid, in milliseconds. */
const workerSince = "PROMPTSRC_WORKER_SINCE";

/** Whether another process started this one to take runs of its grid: that one shows the results. */
export const isWorker = (): boolean => process.env[workerSince] !== undefined;

/** When the grid began that this process works on. */
export const gridSince = (): number => Number(process.env[workerSince] || Date.now());

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
  const ownArgs = args.filter((arg, k) => !arg.startsWith("--json") && args[k - 1] !== "--json");
  const command = [...process.execArgv, process.argv[1], "run", ...ownArgs, "--processes", "1"];
  const env = { ...process.env, [workerSince]: `${since}` };
  const said = new Set<string>();
  const say = (line: string, prefix = "") => {
    if (!said.has(line)) meter.say(`${prefix}${line}`);
    said.add(line);
  };
  const workers = Array.from({ length: count }, (_, k) => {
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
