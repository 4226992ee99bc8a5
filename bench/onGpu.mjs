/**
 * Everything that a GPU is to be tried on, in under nine minutes: set-up with the CUDA build, parity, the bench beside
 * PyTorch, and a grid on the embedded data. It writes one JSON file and needs nothing but Node and Python.
 *
 *   node bench/onGpu.mjs [--dry-run] [file]
 *
 * A step that takes longer than its limit is ended, and the next begins; what a step has said is in the file either way.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { readJson, root, writeWhole } from "../bin/setup/tools.mjs";

const dryRun = process.argv.includes("--dry-run");
const [file = "gpu-check.json"] = process.argv.slice(2).filter((arg) => arg !== "--dry-run");
const folder = dryRun ? tmpdir() : mkdtempSync(join(tmpdir(), "on-gpu-"));
const json = (name) => join(folder, `${name}.json`);

const grid = ["--methods", "clip,ivlp,promptsrc", "--datasets", "food", "--set", "epochs=12", "--results", folder];
/** Seconds that a step may take, and its arguments of npm. The bench's first run installs PyTorch. */
const steps = {
  setup: [170, ["run", "setup"]],
  parity: [60, ["run", "promptsrc", "--", "parity", "test/golden"]],
  grid: [70, ["run", "promptsrc", "--", "run", "base-to-novel", ...grid, "--json", json("grid")]],
  bench: [230, ["run", "bench", "--", "--device", "gpu", "--quick", "--json", json("bench")]],
};
const most = Object.values(steps).reduce((sum, [seconds]) => sum + seconds, 0);

/** Runs a step in a process group of its own, which is ended when its time is over. */
function run([seconds, args]) {
  return new Promise((resolve) => {
    const startTime = Date.now();
    const child = spawn("npm", args, {
      cwd: root,
      detached: true,
      env: { ...process.env, PROMPTSRC_CUDA: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (text) => {
        said = (said + text).slice(-20_000);
        process.stdout.write(text);
      });
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      process.kill(-child.pid, "SIGKILL");
    }, 1000 * seconds);
    child.on("close", (status) => {
      clearTimeout(timer);
      resolve({ status, timedOut, seconds: (Date.now() - startTime) / 1000, said: said.split("\n").slice(-60) });
    });
  });
}

console.log(`at most ${most} s:`);
for (const [name, [seconds, args]] of Object.entries(steps))
  console.log(`  ${name}, ${seconds} s: npm ${args.join(" ")}`);
if (!dryRun) {
  const query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"];
  const gpu = spawnSync("nvidia-smi", query, { encoding: "utf8" }).stdout?.trim() || "none";
  const commit = spawnSync("git", ["rev-parse", "HEAD"], { cwd: root, encoding: "utf8" }).stdout?.trim();
  const report = { date: new Date().toISOString(), gpu, commit, steps: {} };
  for (const [name, step] of Object.entries(steps)) {
    report.steps[name] = { command: `npm ${step[1].join(" ")}`, ...(await run(step)), result: readJson(json(name)) };
    writeWhole(resolve(file), `${JSON.stringify(report, null, 1)}\n`);
  }
  rmSync(folder, { recursive: true, force: true });
  console.log(`written to ${file}`);
  process.exitCode = Object.values(report.steps).every(({ status }) => status === 0) ? 0 : 1;
}
