/**
 * Runs a program that ends with the process that started it, however that one ends: also by a closed terminal or
 * kill -9. Node can't ask the kernel for this; but the channel to this process closes when its parent is gone. If this
 * process is killed itself, its parent ends the program (programs.mjs).
 *
 *   node leash.mjs alone|group <program> <argument>...
 *
 * "group": this process leads a process group, and everything in it is ended, such as a compiler's linker. "alone": the
 * program is asked to end, and ends its own children, as JupyterLab does with its kernels.
 */
import { spawn } from "node:child_process";
import { constants } from "node:os";

const [kind, program, ...args] = process.argv.slice(2);
const patience = 10_000; // milliseconds until the program is killed

const child = spawn(program, args, { stdio: "inherit" });
process.send?.(child.pid); // whoever started this process ends the program if this one is killed

function signalAll(signal) {
  try {
    process.kill(kind === "group" ? -process.pid : child.pid, signal);
  } catch {} // it has ended already
}

let isEnding = false;
function end() {
  if (isEnding) return;
  isEnding = true;
  signalAll("SIGTERM");
  setTimeout(() => {
    signalAll("SIGKILL");
    process.exit(1);
  }, patience).unref();
}

process.once("disconnect", end);
process.on("SIGTERM", end);
process.on("SIGHUP", end);
process.on("SIGINT", () => {}); // a terminal sends it to the program as well, and set-up sends SIGTERM

child.on("error", (error) => {
  console.error(`${program} cannot be started: ${error.message}`);
  process.exit(127);
});
child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
