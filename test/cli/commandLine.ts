/** The command line in a process of its own, as a person calls it from a folder. */
import { spawnSync } from "node:child_process";

/** What a command printed, and its exit status. */
export type Answer = { status: number | null; out: string; err: string };

/** A function that runs a command with these arguments from a folder. `env` adds to the environment. */
export const commandLine =
  (folder: () => string, env: () => Record<string, string> = () => ({})) =>
  (...args: string[]): Answer => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--import", "tsx", "src/cli/main.ts", ...args], {
      encoding: "utf8",
      env: { ...process.env, INIT_CWD: folder(), ...env() },
    });
    return { status, out: stdout, err: stderr };
  };
