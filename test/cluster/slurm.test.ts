/** Slurm's settings, script and queue, without Slurm; `npm run slurm` tests the whole on a real one. */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { arrayScript, lastWords, parseQueue, slurmSettings, timeLimit } from "../../src/cluster/slurm";
import { temporaryFolder } from "../temporary";

const folder = temporaryFolder("slurm settings'");
beforeAll(() => mkdirSync(join(folder, "node_modules", "tsx"), { recursive: true }));

const file = join(folder, "slurm.json");
const write = (content: unknown) => writeFileSync(file, JSON.stringify(content));

it("settings: those of the file, and those of the command before them; mistakes are named", () => {
  expect(slurmSettings(join(folder, "none.json"))).toEqual({ options: {}, tasks: 64, begin: [] });
  write({
    options: { partition: "cpu", mem: "8G", exclusive: true },
    tasks: 8,
    atOnce: 4,
    begin: ["module load cuda"],
  });
  const { options, tasks, atOnce } = slurmSettings(file, "partition=gpu,gres=gpu:1,nodelist=a,b,time=4:00:00", 16);
  expect(options).toEqual({
    partition: "gpu",
    mem: "8G",
    exclusive: true,
    gres: "gpu:1",
    nodelist: "a,b",
    time: "4:00:00",
  });
  expect([tasks, atOnce]).toEqual([16, 4]);
  expect(() => slurmSettings(file, "gpu")).toThrow("--slurm gpu: expected name=value");
  expect(() => slurmSettings(file, "output=x")).toThrow("--slurm: output: is what the kit sets itself");
  expect(() => slurmSettings(file, "--time=1")).toThrow(/--slurm.*without dashes/);
  write({ option: {} });
  expect(() => slurmSettings(file)).toThrow(/slurm\.json: .*option/);
  write({ tasks: 0 });
  expect(() => slurmSettings(file)).toThrow(/slurm\.json: tasks: /);
});

it("time limits are read as sbatch reads them", () => {
  const seconds = { "1": 60, "30:15": 1815, "4:00:00": 14_400, "1-12": 129_600, "2-1:30": 178_200, "1-0:0:5": 86_405 };
  for (const [text, value] of Object.entries(seconds)) expect([text, timeLimit(text)]).toEqual([text, value]);
  for (const text of ["", "infinite", "1h"]) expect(timeLimit(text)).toBeUndefined();
});

it("squeue's lines are read with their ranges", () => {
  const tasks = parseQueue("p|3,7-9%2|PENDING|Priority\np|1|COMPLETING|None\n");
  expect(tasks.map(({ task, running }) => [task, running])).toEqual([
    [3, false],
    [7, false],
    [8, false],
    [9, false],
    [1, true],
  ]);
});

it("a task's script becomes the program, with its words unchanged, and says what a node does not see", () => {
  const script = (where: string) =>
    arrayScript(
      { options: { time: "2", "cpus-per-task": 3 }, tasks: 4, atOnce: 2, begin: ["echo loaded"] },
      { name: "p-1", tasks: 4, log: join(folder, "%a.log"), folder: where, callerFolder: folder, engine: "native" },
      [
        process.execPath,
        "-p",
        "[process.pid, process.env.PROMPTSRC_THREADS, process.env.PROMPTSRC_ENGINE, ...process.argv.slice(1)].join('|')",
        "it's $HOME `x`",
      ],
    );
  expect(script(folder)).toContain("#SBATCH --array=1-4%2\n#SBATCH --signal=B:USR1@30\n");
  const run = (text: string) => {
    const environment = { SLURM_ARRAY_JOB_ID: "12", SLURM_ARRAY_TASK_ID: "3", SLURM_CPUS_PER_TASK: "3" };
    const env = { ...process.env, ...environment, PROMPTSRC_THREADS: "" };
    return spawnSync("bash", ["-c", text], { encoding: "utf8", env });
  };
  const { pid, stdout } = run(script(folder));
  expect(stdout).toMatch(/^job 12_3 on \S+, \d{4}-.*\nloaded\n/);
  expect(stdout).toContain(`\n${pid}|3|native|it's $HOME \`x\`|--shard|3/4\n`);
  const elsewhere = run(script(join(folder, "elsewhere")));
  expect([elsewhere.status, elsewhere.stdout]).toEqual([
    1,
    expect.stringContaining("elsewhere/node_modules/tsx: every node"),
  ]);
});

it("the last words of a task are the end of its log", () => {
  expect(lastWords(join(folder, "1.log")).reason).toContain("no log");
  writeFileSync(join(folder, "2.log"), "a\nb\nc\n");
  expect(lastWords(join(folder, "2.log"), 2)).toEqual({ reason: "it ended before it began", tail: ["b", "c"] });
});
