/**
 * npm starts a script through a shell, and a signal that ends npm ends the shell, but not the script. So the script
 * looks whether they are still there.
 */
import { execFileSync } from "node:child_process";
import { isAlive } from "./programs.mjs";

/** Sends this process SIGTERM once the npm that started it has ended. Started in another way, it is left alone. */
export function endWithNpm() {
  if (process.env.npm_lifecycle_event === undefined) return;
  const shell = process.ppid;
  const npm = parentOf(shell);
  const timer = setInterval(() => {
    if (process.ppid === shell && (npm === undefined || isAlive(npm))) return;
    clearInterval(timer);
    process.kill(process.pid, "SIGTERM");
  }, 1000).unref();
}

/** The parent of a shell, which is npm; of npm itself, which some shells leave in their place, undefined. */
function parentOf(pid) {
  try {
    const [parent, name] = execFileSync("ps", ["-o", "ppid=,comm=", "-p", `${pid}`], { encoding: "utf8" })
      .trim()
      .split(/\s+/);
    return /sh$/.test(name) ? Number(parent) : undefined;
  } catch {
    return undefined; // there is no ps; the shell ends with npm on most signals
  }
}
