/** `--processes N`: more processes at the same command, which take runs of the same grid. */
import { spawn } from "node:child_process";
import type { Meter } from "../experiments/progress";

/** In a worker process: when the process that started it began its grid, in milliseconds. */
const workerSince = "PROMPTSRC_WORKER_SINCE";

/** Whether another process started this one to take runs of its grid: that one reports what failed. */
export const isWorker = (): boolean => process.env[workerSince] !== undefined;

/** Ends a worker within a second after the process that started it, even if that one was killed. */
export function endWithParent(): void {
  const parent = process.ppid;
  setInterval(() => process.ppid === parent || process.exit(1), 1000).unref();
}

/** When the grid began that this process works on. */
export const gridSince = (): number => Number(process.env[workerSince] || Date.now());

/**
 * Starts more processes that run the same thing. They take runs of the same grid, which locks divide among them, and end
 * with this process. The reason of one that fails is shown here.
 * @param args what follows `run` on the command line
 */
export function startWorkers(count: number, args: string[], since: number): void {
  const ownArgs = args.filter((arg, k) => !arg.startsWith("--json") && args[k - 1] !== "--json");
  const command = [...process.execArgv, process.argv[1], "run", ...ownArgs, "--processes", "1"];
  const env = { ...process.env, [workerSince]: `${since}` };
  const workers = Array.from({ length: count }, () => {
    const worker = spawn(process.execPath, command, { stdio: ["ignore", "ignore", "pipe"], env });
    let lastLines = "";
    worker.stderr?.on("data", (text) => {
      lastLines = `${lastLines}${text}`.slice(-2000);
    });
    worker.on("close", (status) => {
      if (status === null || status === 0 || status === 130) return;
      const reason = /error: [\s\S]*$/.exec(lastLines)?.[0] ?? lastLines;
      console.error(`a worker process ended with status ${status}; ${reason.trim()}`);
    });
    return worker;
  });
  process.on("exit", () => {
    for (const worker of workers) worker.kill();
  });
}

/** With several processes at the same work, what is left goes as many times faster. */
export const shared = (meter: Meter, processes: number): Meter => ({
  ...meter,
  report: ({ work, total, ...status }) => meter.report({ ...status, work, total: work + (total - work) / processes }),
});
