/** `--processes N`: the workers end with the process that started them, even if that one is killed. */
import { execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect, it } from "vitest";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

it("a worker whose parent was killed ends by itself", async () => {
  const folder = temporaryFolder("workers");
  await drawShapes(join(folder, "data", "shapes"));
  const command = [
    "run",
    "base-to-novel",
    "--data",
    "data",
    "--methods",
    "ivlp",
    "--seeds",
    "1,2,3,4",
    "--processes",
    "2",
  ];
  const parent = spawn(
    process.execPath,
    ["--import", "tsx", "src/cli/main.ts", ...command, "--set", "epochs=1000", "--results", "results"],
    { env: { ...process.env, INIT_CWD: folder }, stdio: "ignore" },
  );
  try {
    let workers: number[] = [];
    for (let k = 0; k < 300 && workers.length === 0; k++) {
      await setTimeout(200);
      const list = execFileSync("ps", ["-A", "-o", "pid=,ppid=,args="], { encoding: "utf8" });
      workers = list
        .split("\n")
        .map((line) => line.trim().split(/\s+/))
        .filter(([, ppid, ...args]) => Number(ppid) === parent.pid && args.includes("base-to-novel"))
        .map(([pid]) => Number(pid));
    }
    expect(workers).toHaveLength(1);
    await setTimeout(5000); // until the worker is in its training
    expect(isAlive(workers[0])).toBe(true);
    parent.kill("SIGKILL");
    for (let k = 0; k < 100 && isAlive(workers[0]); k++) await setTimeout(200);
    expect(isAlive(workers[0])).toBe(false);
  } finally {
    parent.kill("SIGKILL");
    await setTimeout(500);
  }
}, 120_000);
