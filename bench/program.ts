/** Child processes of the bench. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** The loader of TypeScript, for `node --import`. */
export const tsx = pathToFileURL(join("node_modules", "tsx", "dist", "loader.mjs")).href;

/**
 * Runs a program until it exits.
 * @returns its standard output, its wall-clock seconds and its peak resident memory in bytes (0 on systems without
 *   /proc)
 */
export function runProgram(
  program: string,
  args: string[],
  environment = {},
): Promise<{ output: string; seconds: number; peakBytes: number }> {
  return new Promise((resolve, reject) => {
    const startTime = performance.now();
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...environment },
    });
    let [output, errors, peakBytes] = ["", "", 0];
    const poll = setInterval(() => {
      try {
        peakBytes =
          1024 *
          Number(/VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1] ?? peakBytes / 1024);
      } catch {
        clearInterval(poll);
      }
    }, 100);
    child.stdout.on("data", (data) => (output += data));
    child.stderr.on("data", (data) => (errors += data));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearInterval(poll);
      const seconds = (performance.now() - startTime) / 1000;
      if (code === 0) resolve({ output, seconds, peakBytes });
      else
        reject(
          new Error(
            signal === "SIGKILL"
              ? "the process was killed, probably because memory ran out"
              : errors.trim().split("\n").slice(-3).join("\n") || `${signal ?? code}`,
          ),
        );
    });
  });
}
