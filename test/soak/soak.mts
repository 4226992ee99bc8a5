/**
 * `npm run soak`: a grid of 60 small runs is disturbed by 100 faults, and is then run undisturbed to its end. Every
 * number must be that of a grid in another folder that nothing disturbed, and no damaged file may have been believed.
 * At the end all results are removed and computed once more from the stored trainings, so that each of these is read.
 *
 *   npm run soak -- [seed [faults]]
 *
 * Faults: kill -9 of the command or of its worker, both stopped and continued, flipped bytes in files at rest, a full
 * disk, and a read-only folder. The last two need a disk of their own (a tmpfs in a mount namespace, Linux with
 * `unshare`); without it they are left out, and the others take their place.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { seeded } from "../../src/util/random";
import { drawShapes } from "../shapes";

const inNamespace = process.env.SOAK_NAMESPACE === "1";
if (!inNamespace && spawnSync("unshare", ["-rm", "true"]).status === 0) {
  const again = [...process.execArgv, process.argv[1], ...process.argv.slice(2)];
  const { status } = spawnSync("unshare", ["-rm", process.execPath, ...again], {
    stdio: "inherit",
    env: { ...process.env, SOAK_NAMESPACE: "1" },
  });
  process.exit(status ?? 1);
}

const [seed = 1, wanted = 100] = process.argv.slice(2).map(Number);
const random = seeded("soak", seed);
const folder = mkdtempSync(join(tmpdir(), "soak-"));
const disturbed = join(folder, "disk", "results");
const startTime = Date.now();
mkdirSync(join(folder, "disk"));
if (inNamespace) execFileSync("mount", ["-t", "tmpfs", "-o", "size=64m", "tmpfs", join(folder, "disk")]);
await drawShapes(join(folder, "data", "shapes"));

// Few-shot, because four epochs are enough for its GPA of the paper (mean 30, deviation 30).
const settings = ["--model", "test/golden", "--data", join(folder, "data"), "--config", "paper", "--set", "epochs=4"];
const methods = "coop,cocoop,kgcoop,maple,ivlp,promptsrc";
const grid = ["--methods", methods, "--seeds", "1,2,3,4,5,6,7,8,9,10", "--shots", "4", "--processes", "2"];

/** Everything that the commands said, for the search of unexpected errors. */
let said = "";

/** The grid as a user starts it, in a process group of its own. */
function start(results: string): ChildProcess {
  const command = ["--import", "tsx", "src/cli/main.ts", "run", "few-shot", ...settings, ...grid];
  const child = spawn(process.execPath, [...command, "--results", results], {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
    env: { ...process.env, PROMPTSRC_THREADS: "2" },
  });
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (text) => (said += text));
  return child;
}

const ended = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve) =>
    child.exitCode !== null || child.signalCode !== null ? resolve(child.exitCode) : child.once("exit", resolve),
  );

const files = (root: string, ending: string): string[] =>
  existsSync(root)
    ? readdirSync(root, { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(ending))
        .map((name) => join(root, name))
    : [];

/** The accuracies and losses of all runs, by file. */
function numbers(root: string): Record<string, string> {
  const runs = files(root, ".json").filter((file) => !file.includes("/.partial/"));
  return Object.fromEntries(
    runs.map((file) => {
      const { metrics, epochs } = JSON.parse(readFileSync(file, "utf8"));
      return [file.slice(root.length), JSON.stringify({ metrics, epochs })];
    }),
  );
}

const hash = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");
function pick<T>(list: T[]): T {
  return list[random.int(list.length)];
}

/** The worker of a command. */
const workersOf = (pid: number): number[] =>
  spawnSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" })
    .stdout.split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, parent]) => parent === pid)
    .map(([worker]) => worker);

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {} // it has just ended
}

/** Files whose bytes were flipped, with the hash that they had then. */
const flipped = new Map<string, string>();

function flipBytes(): boolean {
  const stored = [...files(disturbed, ".json"), ...files(disturbed, ".safetensors")];
  if (stored.length === 0) return false;
  const file = pick(stored);
  try {
    const bytes = readFileSync(file);
    for (let k = 0; k < 1 + random.int(40); k++) bytes[random.int(bytes.length)] ^= 1 + random.int(255);
    writeFileSync(file, bytes);
    flipped.set(file, hash(file));
    return true;
  } catch {
    return false; // it was replaced in this moment
  }
}

async function fillDisk(): Promise<boolean> {
  const filler = join(folder, "disk", "filler");
  spawnSync("dd", ["if=/dev/zero", `of=${filler}`, "bs=4k"], { stdio: "ignore" }); // until the disk is full
  await setTimeout(300 + random.int(700));
  rmSync(filler);
  return true;
}

async function makeReadOnly(): Promise<boolean> {
  const remount = (how: string) => spawnSync("mount", ["-o", `remount,${how}`, join(folder, "disk")]).status === 0;
  for (let k = 0; k < 20; k++) {
    if (remount("ro")) {
      await setTimeout(300 + random.int(700));
      return remount("rw");
    }
    await setTimeout(20); // a file is open for writing
  }
  return false;
}

const faults: Record<string, (pid: number) => boolean | Promise<boolean>> = {
  "command killed": (pid) => {
    signal(pid, "SIGKILL");
    return true;
  },
  "worker killed": (pid) => {
    const [worker] = workersOf(pid);
    if (worker !== undefined) signal(worker, "SIGKILL");
    return worker !== undefined;
  },
  "stopped and continued": async (pid) => {
    const all = [pid, ...workersOf(pid)];
    for (const each of all) signal(each, "SIGSTOP");
    await setTimeout(200 + random.int(800));
    for (const each of all) signal(each, "SIGCONT");
    return true;
  },
  "bytes flipped": flipBytes,
  ...(inNamespace ? { "disk full": fillDisk, "read-only": makeReadOnly } : {}),
};
if (!inNamespace) console.log("no mount namespace (unshare): the disk is not filled, and no folder made read-only");

const undisturbed = join(folder, "undisturbed");
if ((await ended(start(undisturbed))) !== 0) throw new Error(`the undisturbed grid failed:\n${said.slice(-2000)}`);
const expected = numbers(undisturbed);
console.log(`undisturbed: ${Object.keys(expected).length} runs, ${((Date.now() - startTime) / 1000).toFixed(0)} s`);

const counts: Record<string, number> = Object.fromEntries(Object.keys(faults).map((name) => [name, 0]));
let [commands, total] = [0, 0];
let lastShown = 0;
said = "";
while (total < wanted) {
  const child = start(disturbed);
  commands++;
  const isOver = ended(child);
  const pid = child.pid as number;
  // Faults begin when the command computes: once it has said that a run is done, or after 20 s, as on a full disk.
  const before = said.length;
  for (let k = 0; k < 200 && child.exitCode === null && !/seed \d+: /.test(said.slice(before)); k++)
    await setTimeout(100);
  while (total < wanted && child.exitCode === null && child.signalCode === null) {
    await Promise.race([isOver, setTimeout(300 + random.int(1700))]);
    const name = pick(Object.keys(faults));
    const isAtRest = name === "bytes flipped" || name === "disk full" || name === "read-only";
    if (child.exitCode !== null && !isAtRest) break;
    if (!(await faults[name](pid))) continue;
    counts[name]++;
    total++;
  }
  if (total >= wanted) signal(pid, "SIGKILL");
  await isOver;
  // A grid that is finished is begun again: the results go, and half of the trainings.
  if (child.exitCode === 0 && total < wanted) {
    for (const file of files(disturbed, ".json")) rmSync(file, { force: true });
    for (const file of files(disturbed, ".safetensors")) if (random.int(2) === 0) rmSync(file, { force: true });
  }
  if (total - lastShown >= 20) console.log(`${total} faults, ${commands} commands: ${JSON.stringify(counts)}`);
  if (total - lastShown >= 20) lastShown = total;
}
console.log(`${total} faults, ${commands} commands: ${JSON.stringify(counts)}`);
await setTimeout(2000); // until workers whose command was killed have ended

const problems: string[] = [];
const check = (what: string) => {
  const found = numbers(disturbed);
  for (const [file, value] of Object.entries(expected))
    if (found[file] !== value) problems.push(`${what}: ${file} is ${found[file]}, not ${value}`);
};
if ((await ended(start(disturbed))) !== 0) problems.push(`the grid does not end well:\n${said.slice(-2000)}`);
check("after the faults");
for (const file of files(disturbed, ".json")) rmSync(file);
if ((await ended(start(disturbed))) !== 0) problems.push(`the second grid does not end well:\n${said.slice(-2000)}`);
check("from the stored trainings");
for (const [file, damaged] of flipped)
  if (existsSync(file) && hash(file) === damaged) problems.push(`a damaged file is still in its place: ${file}`);
const aside = files(disturbed, ".damaged").length;
const left = files(disturbed, ".lock").length;
if (left > 0) problems.push(`${left} locks are left`);
const stacks = said.split("\n").filter((line) => /^\s+at .*:\d+:\d+\)?$|ENOENT|ENOSPC:|EROFS:/.test(line));
if (stacks.length > 0) problems.push(`errors that are not explained:\n${[...new Set(stacks)].slice(0, 8).join("\n")}`);
const megabytes = files(disturbed, "").reduce(
  (sum, file) => sum + (statSync(file).isFile() ? statSync(file).size : 0),
  0,
);
console.log(
  `${Object.keys(expected).length} runs are compared twice; ${flipped.size} files were damaged, ${aside} set aside; ` +
    `${(megabytes / 1e6).toFixed(1)} MB; ${((Date.now() - startTime) / 1000).toFixed(0)} s`,
);
if (inNamespace) execFileSync("umount", ["-l", join(folder, "disk")]);
rmSync(folder, { recursive: true, force: true });
console.log(problems.length === 0 ? "all numbers are those of the undisturbed grid" : problems.slice(0, 20).join("\n"));
process.exit(problems.length === 0 ? 0 : 1);
