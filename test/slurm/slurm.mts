/**
 * `npm run slurm`: a grid of 24 embedded runs on a real Slurm with two nodes, undisturbed, and with a task told to end
 * (scancel --signal), one preempted, a node set down, a task killed (kill -9) and a time limit of one minute on the way;
 * then a part of it in a clone whose tasks cannot write, and have no set-up. All must give the numbers of one process to
 * the last digit. Where Slurm is not installed, nothing is tested.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { type Cluster, missingForSlurm, startCluster } from "./cluster";

const missing = missingForSlurm();
if (missing) {
  console.log(`skipped: ${missing}`);
  process.exit(0);
}

const folder = mkdtempSync(join(tmpdir(), "slurm-"));
chmodSync(folder, 0o711); // munge asks that its socket, inside, can be reached
const startTime = Date.now();
const say = (text: string) => console.log(`${((Date.now() - startTime) / 1000).toFixed(0).padStart(4)} s  ${text}`);
const problems: string[] = [];
function expect(isTrue: boolean, what: string): void {
  say(`${isTrue ? "ok" : "NOT"}: ${what}`);
  if (!isTrue) problems.push(what);
}

const grid = ["base-to-novel", "--datasets", "food", "--shots", "2", "--set", "epochs=3", "--seeds", "1,2,3,4,5,6"];
const command = ["--import", "tsx", "src/cli/main.ts", "run", ...grid, "--methods", "coop,kgcoop,ivlp,maple"];

/** A command, with what it has said so far. */
type Running = { child: ChildProcess; said(): string; ended: Promise<number | null> };

const commands: Running[] = [];
function run(results: string, args: string[], env: Record<string, string> = {}, cwd = process.cwd()): Running {
  const child = spawn(process.execPath, [...command, "--results", results, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    cwd,
    env: { ...process.env, PROMPTSRC_THREADS: "1", INIT_CWD: cwd, ...env },
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (part) => (text += part));
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const running = { child, said: () => text, ended };
  commands.push(running);
  return running;
}

/** The accuracies and losses of all runs, by file. */
function numbers(root: string): Record<string, string> {
  const names = existsSync(root) ? readdirSync(root, { recursive: true, encoding: "utf8" }) : [];
  return Object.fromEntries(
    names
      .filter((name) => /^[^.].*\.json$/.test(name))
      .map((name) => {
        const { metrics, epochs } = JSON.parse(readFileSync(join(root, name), "utf8"));
        return [name, JSON.stringify({ metrics, epochs })];
      }),
  );
}

/** Waits until something holds, at most for three minutes. */
async function until(holds: () => boolean): Promise<boolean> {
  for (let k = 0; k < 600; k++) {
    if (holds()) return true;
    await setTimeout(300);
  }
  return false;
}

let cluster: Cluster | undefined;
try {
  const alone = run(join(folder, "alone"), []);
  expect((await alone.ended) === 0, "one process computes the grid");
  const expected = numbers(join(folder, "alone"));
  expect(Object.keys(expected).length === 24, "24 runs");
  const equal = (root: string) => JSON.stringify(numbers(root)) === JSON.stringify(expected);

  cluster = await startCluster(join(folder, "cluster"));
  const { slurm, env } = cluster;
  say(slurm("sinfo", "-h", "-p", "cpu", "-o", "%D nodes %T").trim());

  const quiet = join(folder, "quiet");
  const onSlurm = ["--on", "slurm", "--slurm", "cpus-per-task=1", "--tasks", "6"];
  const refused = run(quiet, [...onSlurm.slice(0, 3), "partition=gpu"], env);
  expect(
    (await refused.ended) === 2 && refused.said().includes("There are the partitions cpu, urgent"),
    "a wrong partition",
  );
  const first = run(quiet, onSlurm, env);
  await until(() => Object.keys(numbers(quiet)).length > 0);
  first.child.kill("SIGINT");
  expect((await first.ended) === 130 && first.said().includes("the tasks go on"), "the command can be left");
  const second = run(quiet, onSlurm, env);
  expect((await second.ended) === 0, "called again, it waits for the tasks");
  expect(second.said().includes("submitted before") && !/job \d+ is submitted/.test(second.said()), "and submits none");
  expect(equal(quiet), "two nodes give the numbers of one process");
  say(
    second
      .said()
      .match(/.*tasks: .*/g)
      ?.pop() ?? "no progress line",
  );

  const disturbed = join(folder, "disturbed");
  const limited = ["--on", "slurm", "--slurm", "cpus-per-task=1,time=1", "--tasks", "4"];
  const watched = run(disturbed, limited, env);
  await until(() => Object.keys(numbers(disturbed)).length > 0);
  const job = /job (\d+) is submitted/.exec(watched.said())?.[1];
  const running = () =>
    slurm("squeue", "-h", "-t", "R", "-o", "%K %N")
      .trim()
      .split("\n")
      .filter((line) => line !== "");
  const [ended] = running()[0].split(" ");
  slurm("scancel", "--batch", "--signal=USR1", `${job}_${ended}`);
  say(`told task ${ended} to end`);
  const log = (task: string) => {
    const plan = readdirSync(join(disturbed, ".slurm"))[0];
    const file = join(disturbed, ".slurm", plan, `1-${task}.log`);
    return existsSync(file) ? readFileSync(file, "utf8") : "";
  };
  expect(await until(() => log(ended).includes("is in the queue again")), "the task saves its state and is requeued");

  /** Tasks that are past their start: the log of their latest attempt has a line of progress. */
  const computing = () =>
    running()
      .map((line) => line.split(" ")[0])
      .filter((task) => log(task).split(/^job /m).pop()?.includes(" \u00b7 "));
  await until(() => running().length > 0 && computing().length === running().length);
  slurm("sbatch", "--partition=urgent", "--output=/dev/null", "--wrap=sleep 3");
  const preempted = () => [1, 2, 3, 4].find((task) => /DUE TO PREEMPTION[\s\S]*interrupted: /.test(log(`${task}`)));
  expect(await until(() => preempted() !== undefined), "a preempted task ends after its step, with its state saved");
  await until(() => slurm("squeue", "-h", "-p", "urgent").trim() === "");

  let lost: string | undefined;
  await until(() => {
    lost = running().find((line) => line.endsWith(" node2"));
    return lost !== undefined;
  });
  slurm("scontrol", "update", "nodename=node2", "state=down", "reason=test");
  say(`set node2 down, with task ${lost?.split(" ")[0]}`);
  await setTimeout(2000);
  if (slurm("sinfo", "-h", "-n", "node2", "-o", "%T").startsWith("down"))
    slurm("scontrol", "update", "nodename=node2", "state=resume"); // else it has come back by itself

  await until(() => computing().length > 0);
  const [killed] = computing();
  const processes = spawnSync("ps", ["-A", "-o", "pid=,args="], { encoding: "utf8" }).stdout.split("\n");
  const victim = processes.find((line) => line.includes(disturbed) && line.includes(`--shard ${killed}/4`));
  process.kill(Number(victim?.trim().split(" ")[0]), "SIGKILL");
  say(`killed task ${killed}`);

  expect((await watched.ended) === 1, "the command ends with status 1, since a task was killed");
  expect(watched.said().includes(`task ${killed} ended before it (`), "it says which task, and why");
  say(watched.said().match(/ended before it \(.*\)/)?.[0] ?? "");
  const restarts = [1, 2, 3, 4].map((task) => (log(`${task}`).match(/^job /gm)?.length ?? 0) - 1);
  say(`restarts of the tasks: ${restarts.join(", ")}`);
  const notices = [1, 2, 3, 4].map((task) => log(`${task}`).match(/is in the queue again/g)?.length ?? 0);
  expect(notices.reduce((sum, n) => sum + n, 0) >= 2, "the time limit came on the way, too");
  const retried = run(disturbed, [...limited, "--slurm", "cpus-per-task=1,time=10", "--retry"], env);
  expect((await retried.ended) === 0, "--retry completes the grid");
  expect(equal(disturbed), "the disturbed grid gives the numbers of one process");
  const preemptedLog = log(`${preempted()}`).split("DUE TO PREEMPTION")[1];
  expect(/^job /m.test(preemptedLog), "the preempted task was requeued");

  // A clone whose settings and set-up change: all else in it are links.
  const clone = join(folder, "clone");
  mkdirSync(clone);
  for (const name of readdirSync(".").filter((name) => name !== "slurm.json"))
    symlinkSync(resolve(name), join(clone, name));
  const broken = join(folder, "broken");
  const inClone = (...args: string[]) =>
    run(
      broken,
      ["--on", "slurm", "--slurm", "cpus-per-task=1", "--tasks", "2", "--seeds", "1", ...args],
      cluster?.env,
      clone,
    );
  writeFileSync(join(clone, "slurm.json"), JSON.stringify({ begin: ["ulimit -f 4"] })); // kB in a file
  const full = inClone();
  expect(
    (await full.ended) === 1 && /cannot be written, .* are free/.test(full.said()),
    "a node without room says what cannot be written",
  );
  writeFileSync(join(clone, "slurm.json"), "{}");
  slurm("scontrol", "update", "nodename=node1,node2", "state=drain", "reason=test");
  const without = inClone("--retry");
  await until(() => /job \d+ is submitted/.test(without.said()));
  rmSync(join(clone, "node_modules"));
  slurm("scontrol", "update", "nodename=node1,node2", "state=resume");
  expect(
    (await without.ended) === 1 && /does not see .*node_modules\/tsx: every node needs/.test(without.said()),
    "a node without the set-up says so",
  );
  symlinkSync(resolve("node_modules"), join(clone, "node_modules"));
  const mended = inClone("--retry");
  expect((await mended.ended) === 0, "--retry completes it");
  expect(
    Object.keys(numbers(broken)).length === 4 &&
      Object.entries(numbers(broken)).every(([name, run]) => expected[name] === run),
    "with the numbers of one process",
  );
  if (problems.length > 0)
    for (const { said } of [watched, retried, full, without, mended]) say(`${said()}\n----------`);
} catch (error) {
  expect(false, `${(error as Error).stack}`);
} finally {
  for (const { child } of commands) child.kill();
  cluster?.slurm("scancel", "--me", "--full");
  for (let k = 0; k < 20 && cluster?.slurm("squeue", "-h").trim(); k++) await setTimeout(1000); // KillWait, then none is left
  cluster?.stop();
  if (problems.length > 0) {
    cpSync(folder, "/tmp/slurm-failed", { recursive: true, force: true, filter: (path) => !/socket/.test(path) });
  }
  rmSync(folder, { recursive: true, force: true });
}
say(problems.length === 0 ? "all as promised" : `${problems.length} promises broken: ${problems.join("; ")}`);
process.exit(problems.length === 0 ? 0 : 1);
