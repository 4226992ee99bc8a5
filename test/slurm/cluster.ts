/**
 * A real Slurm on this machine: a controller and two nodes of one processor each, all on loopback, with files and keys in
 * a folder of their own. It needs Debian's packages slurm-wlm and munge, and no root.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

const programs = ["munged", "slurmctld", "slurmd"];

/** What is missing for a cluster; undefined if there is all. */
export function missingForSlurm(): string | undefined {
  const missing = programs.filter((name) => spawnSync(name, ["--version"]).error || spawnSync(name, ["-V"]).error);
  return missing.length > 0
    ? `there is no ${missing.join(", ")} (apt-get install --no-install-recommends slurm-wlm munge)`
    : undefined;
}

export type Cluster = {
  /** Runs a program of Slurm. @returns what it printed */
  slurm(program: string, ...args: string[]): string;
  /** The variables by which Slurm's programs find this cluster. */
  env: Record<string, string>;
  stop(): void;
};

/** Starts the cluster. Its ports are `port` and the two after it. */
export async function startCluster(folder: string, port = 17_817): Promise<Cluster> {
  const user = userInfo().username;
  const munge = join(folder, "munge");
  for (const name of ["munge", "state", "node1", "node2"]) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(munge, "key"), randomBytes(128), { mode: 0o600 });
  const path = (name: string) => join(munge, name);
  const files = ["key-file", "socket", "pid-file", "log-file", "seed-file"].map(
    (name) => `--${name}=${path(name.replace("-file", ""))}`,
  );
  execFileSync("munged", files);
  const config = join(folder, "slurm.conf");
  const nodes = ["node1", "node2"].map(
    (name, k) =>
      `NodeName=${name} NodeHostname=localhost NodeAddr=127.0.0.1 Port=${port + 1 + k} CPUs=1 RealMemory=4000`,
  );
  const settings = {
    ClusterName: "test",
    SlurmctldHost: "localhost(127.0.0.1)",
    SlurmUser: user,
    SlurmdUser: user,
    AuthType: "auth/munge",
    AuthInfo: `socket=${path("socket")},cred_expire=5`, // a requeued task waits as long; the default is two minutes
    SlurmctldPort: port,
    StateSaveLocation: join(folder, "state"),
    SlurmdSpoolDir: join(folder, "%n"),
    SlurmctldPidFile: join(folder, "slurmctld.pid"),
    SlurmdPidFile: join(folder, "%n.pid"),
    SlurmctldLogFile: join(folder, "slurmctld.log"),
    SlurmdLogFile: join(folder, "%n.log"),
    ProctrackType: "proctrack/linuxproc",
    TaskPlugin: "task/none",
    MpiDefault: "none",
    SelectType: "select/cons_tres",
    SelectTypeParameters: "CR_CPU",
    PreemptType: "preempt/partition_prio",
    PreemptMode: "REQUEUE",
    SchedulerParameters: "sched_interval=5,bf_interval=5", // seconds until a requeued task starts; a minute by default
    ReturnToService: 2,
    KillWait: 5,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  writeFileSync(
    config,
    [
      ...lines,
      ...nodes,
      "PartitionName=cpu Nodes=node1,node2 Default=YES State=UP",
      "PartitionName=urgent Nodes=node1,node2 State=UP PriorityTier=10", // preempts tasks of the other
      "",
    ].join("\n"),
  );
  execFileSync("slurmctld", ["-f", config]);
  for (const node of ["node1", "node2"]) execFileSync("slurmd", ["-f", config, "-N", node]);
  const env = { SLURM_CONF: config };
  const slurm: Cluster["slurm"] = (program, ...args) =>
    execFileSync(program, args, { encoding: "utf8", env: { ...process.env, ...env } });
  for (let k = 0; k < 60 && slurm("sinfo", "-h", "-p", "cpu", "-t", "idle", "-o", "%D").trim() !== "2"; k++)
    await setTimeout(500);
  const stop = () => {
    for (const name of ["node1", "node2", "slurmctld", "munge/pid"]) {
      const file = join(folder, name.includes("/") ? name : `${name}.pid`);
      if (existsSync(file)) spawnSync("kill", [readFileSync(file, "utf8").trim()]);
    }
  };
  return { slurm, env, stop };
}
