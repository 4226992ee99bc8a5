/**
 * Slurm, as far as the kit needs it: the settings that a user writes once (slurm.json), the script of a job array, and
 * what squeue, sacct and the logs say of its tasks. Nothing else of a plan is kept about the queue: a job is found
 * again by its name.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readJson } from "../io/readJson";
import { UsageError } from "../util/errors";

/** In the root of the clone. */
export const settingsFile = "slurm.json";

/** What the kit decides itself. */
const own = ["array", "chdir", "job-name", "open-mode", "output", "requeue", "signal", "wrap"];

const options = z.record(
  z
    .string()
    .regex(/^[a-z][a-z-]*$/, "is not an option of sbatch: write its long name without dashes")
    .refine((name) => !own.includes(name), "is what the kit sets itself"),
  z.union([z.string(), z.number(), z.literal(true)]),
);
const schema = z.strictObject({
  /** Options of sbatch by their long names; `true` for one that has no value. */
  options: options.default({}),
  /** Parts of the plan, each a task of the array. */
  tasks: z.int().min(1).default(64),
  /** How many tasks run at the same time; by default as many as there are. */
  atOnce: z.int().min(1).optional(),
  /** Lines of the shell that every task begins with, such as `module load cuda/12.4`. */
  begin: z.array(z.string()).default([]),
});
export type SlurmSettings = z.infer<typeof schema>;

/**
 * The settings of `slurm.json`, if there is such a file.
 * @param text further options, as in "partition=gpu,gres=gpu:1,time=4:00:00"; a part without = belongs to the value before
 * @throws UsageError that names the file or option, and what is wrong
 */
export function slurmSettings(file: string, text = "", tasks?: number): SlurmSettings {
  const parsed = schema.safeParse(existsSync(file) ? readJson(file) : {});
  if (!parsed.success) throw new UsageError(`${file}: ${problems(parsed.error)}`);
  const pairs = text === "" ? [] : text.split(/,(?=[a-zA-Z-]+=)/).map((part) => part.split(/=(.*)/s));
  const unclear = pairs.find(([, value]) => value === undefined);
  if (unclear) throw new UsageError(`--slurm ${unclear[0]}: expected name=value, such as partition=gpu,time=4:00:00`);
  const asked = options.safeParse(Object.fromEntries(pairs.map(([name, value]) => [name, value || true])));
  if (!asked.success) throw new UsageError(`--slurm: ${problems(asked.error)}`);
  const settings = { ...parsed.data, options: { ...parsed.data.options, ...asked.data } };
  return { ...settings, tasks: tasks ?? settings.tasks };
}

const problems = ({ issues }: z.ZodError): string =>
  issues
    .map((issue) => {
      const inner = issue.code === "invalid_key" ? issue.issues[0].message : issue.message;
      return issue.path.length > 0 ? `${issue.path.join(".")}: ${inner}` : inner;
    })
    .join("; ");

/** Seconds of a time limit as sbatch takes it: 30, 30:00, 4:00:00, 1-12, 1-12:30; undefined of another text. */
export function timeLimit(text: string): number | undefined {
  const [, days, clock] = /^(?:(\d+)-)?(\d+(?::\d+){0,2})$/.exec(text) ?? [];
  if (clock === undefined) return undefined;
  const numbers = clock.split(":").map(Number);
  const [h, m, s] = days !== undefined ? numbers : numbers.length === 3 ? numbers : [0, ...numbers];
  return Number(days ?? 0) * 86_400 + h * 3600 + (m ?? 0) * 60 + (s ?? 0);
}

/** Text that the shell takes as one word, whatever it holds. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * The script of a job array. The shell of a task becomes the program (exec), so that Slurm's signals reach it: USR1
 * ahead of the time limit, TERM where the task is preempted or cancelled. A node on which the engine of the submission
 * does not start fails, instead of computing many times slower with another.
 * @param command the program and its arguments; --shard with the number of the task is added
 * @param log where a task writes; Slurm puts the task's number for %a
 */
export function arrayScript(
  { options, atOnce, begin }: SlurmSettings,
  {
    name,
    tasks,
    log,
    folder,
    callerFolder,
    engine,
  }: Record<"name" | "log" | "folder" | "callerFolder" | "engine", string> & { tasks: number },
  command: string[],
): string {
  const limit = timeLimit(String(options.time ?? ""));
  // Slurm looks at limits every 30 seconds and sends the signal up to that much earlier.
  const notice = limit === undefined ? 60 : Math.min(60, Math.floor(limit / 4));
  const lines = {
    "job-name": name,
    array: `1-${tasks}%${Math.min(atOnce ?? tasks, tasks)}`,
    signal: `B:USR1@${notice}`,
    requeue: true,
    "open-mode": "append",
    output: log,
    ...options,
  };
  return [
    "#!/bin/bash",
    ...Object.entries(lines).map(([key, value]) => `#SBATCH --${key}${value === true ? "" : `=${value}`}`),
    "",
    `echo "job \${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID on $(hostname), $(date -Is)"`,
    ...begin,
    "need() {",
    `  [ -e "$1" ] && return`,
    `  echo "$(hostname) does not see $1: every node needs the clone on a shared disk, with npm run setup done"`,
    "  exit 1",
    "}",
    ...[command[0], join(folder, "node_modules", "tsx")].map((path) => `need ${quoted(path)}`),
    `cd ${quoted(folder)} || exit 1`,
    `export INIT_CWD=${quoted(callerFolder)}`,
    `export PROMPTSRC_ENGINE=${quoted(engine)}`,
    ...(options["cpus-per-task"] ? [`export PROMPTSRC_THREADS="\${PROMPTSRC_THREADS:-$SLURM_CPUS_PER_TASK}"`] : []),
    `exec ${command.map(quoted).join(" ")} --shard "$SLURM_ARRAY_TASK_ID/${tasks}"`,
    "",
  ].join("\n");
}

/** Runs one of Slurm's programs. @returns what it printed; `error` is its complaint, or that it is missing */
function slurm(program: string, ...args: string[]): { out: string; error?: string } {
  const env = { ...process.env, SLURM_BITSTR_LEN: "0" }; // else a long list of tasks is cut
  const { stdout, stderr, status, error } = spawnSync(program, args, { encoding: "utf8", timeout: 60_000, env });
  const missing = (error as NodeJS.ErrnoException | undefined)?.code === "ENOENT";
  if (missing) return { out: "", error: `there is no ${program} on this machine` };
  if (status === 0) return { out: stdout };
  return { out: "", error: stderr.trim().replaceAll(`${program}: error: `, "") || `${program} does not answer` };
}

/** @throws UsageError where jobs cannot be submitted from this machine */
export function checkSlurm(): void {
  const { error } = slurm("sbatch", "--version");
  if (error !== undefined)
    throw new UsageError(
      `--on slurm: ${error}. Give the command on a login node of the cluster; --processes N shares runs on this machine, and --shard i/n under any other scheduler`,
    );
}

/** @returns the number of the job @throws UsageError with sbatch's reason, and the partitions that there are */
export function submit(script: string): string {
  const { out, error } = slurm("sbatch", "--parsable", script);
  if (error === undefined) return out.trim().split(";")[0];
  const partitions = slurm("sinfo", "-h", "-o", "%R").out.trim().split("\n").join(", ");
  const hint = /partition/i.test(error) && partitions ? `. There are the partitions ${partitions}` : "";
  const size = /array/i.test(error) ? ". Clusters limit the tasks of an array (MaxArraySize): use fewer, --tasks" : "";
  throw new UsageError(`sbatch refuses ${script}: ${error.replaceAll("\n", "; ")}${hint}${size}`);
}

/** A task in the queue: the name of its job, and its number. */
export type Queued = { name: string; task: number; running: boolean; reason: string };

/** The user's tasks that wait or run. @returns the complaint instead where squeue does not answer */
export function queue(): Queued[] | string {
  const { out, error } = slurm("squeue", "-h", "--me", "-o", "%j|%K|%T|%r");
  return error ?? parseQueue(out);
}

/** Waiting tasks of an array are one line, as in 5-64%16 or 3,7-9: this is what keeps squeue short. */
export const parseQueue = (text: string): Queued[] =>
  text.split("\n").flatMap((line) => {
    const [name, tasks, state, reason] = line.trim().split("|");
    if (!/^\d/.test(tasks ?? "")) return [];
    return tasks
      .replace(/%.*/, "")
      .split(",")
      .flatMap((range) => {
        const [from, to = from] = range.split("-").map(Number);
        return Array.from({ length: to - from + 1 }, (_, k) => ({
          name,
          task: from + k,
          running: state !== "PENDING",
          reason,
        }));
      });
  });

/** Why a task ended, as far as Slurm still knows it, and the last lines of its log. */
export function lastWords(log: string, lines = 5): { reason: string; tail: string[] } {
  if (!existsSync(log))
    return { reason: "no log: its node could not start it, or does not write to this folder", tail: [] };
  const text = readFileSync(log, "utf8");
  const tail = text.trimEnd().split("\n").slice(-lines);
  const id = [...text.matchAll(/^job (\d+_\d+) on /gm)].pop()?.[1];
  if (id === undefined) return { reason: "it ended before it began", tail };
  const account = slurm("sacct", "-n", "-X", "-P", "-j", id, "-o", "State,ExitCode").out.trim().split("\n").pop();
  if (account) return { reason: account.replace("|", ", exit code "), tail };
  const [, state, why] = /JobState=(\S+) Reason=(\S+)/.exec(slurm("scontrol", "show", "job", id).out) ?? [];
  return { reason: state === undefined ? "it ended early" : why === "None" ? state : `${state}, ${why}`, tail };
}

/** The task of an array that this process is. */
const thisTask = (): string | undefined => {
  const { SLURM_ARRAY_JOB_ID: job, SLURM_ARRAY_TASK_ID: task } = process.env;
  return job && task ? `${job}_${task}` : undefined;
};

/** A task that got nowhere is not repeated for ever. */
const mostRestarts = 5;

/**
 * Puts this task into the queue again, after SIGUSR1 said that its time is over.
 * @param progressed whether anything was stored in this time
 * @returns what is to be said; undefined outside of Slurm
 */
export function requeue(progressed: boolean): string | undefined {
  const task = thisTask();
  if (task === undefined) return undefined;
  if (!progressed && Number(process.env.SLURM_RESTART_COUNT ?? 0) >= mostRestarts)
    return `nothing was stored within the time limit, in ${mostRestarts + 1} attempts: one epoch takes longer; give more with --slurm time=`;
  const { error } = slurm("scontrol", "requeue", task);
  return error === undefined ? `task ${task} is in the queue again` : `task ${task} cannot be requeued: ${error}`;
}
