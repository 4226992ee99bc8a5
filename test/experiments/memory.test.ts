/** Memory: what is free in containers, refusal with the setting to change, and runs that the kernel ended. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { claim } from "../../src/experiments/lock";
import { checkMemory } from "../../src/experiments/room";
import { availableMemory, outOfMemoryKills } from "../../src/util/memory";
import { temporaryFolder } from "../temporary";

const folder = temporaryFolder("memory");

/** A folder with files as in /proc and /sys. */
function machine(name: string, files: Record<string, string>): string {
  const meminfo = "MemTotal:  8000000 kB\nMemFree: 1000000 kB\nMemAvailable:  6000000 kB\n";
  for (const [path, text] of Object.entries({ "proc/meminfo": meminfo, "proc/vmstat": "oom_kill 7\n", ...files })) {
    mkdirSync(dirname(join(folder, name, path)), { recursive: true });
    writeFileSync(join(folder, name, path), text);
  }
  return join(folder, name);
}

it("is limited by the groups of version 1 and 2 that hold the process, and by those around them", () => {
  const free = machine("plain", { "proc/self/cgroup": "0::/\n" });
  expect(availableMemory(free)).toEqual({ free: 6.144e9, total: 8.192e9, limited: false });
  const two = machine("two", {
    "proc/self/cgroup": "0::/job/step\n",
    "sys/fs/cgroup/job/memory.max": "2000000000\n",
    "sys/fs/cgroup/job/memory.current": "1500000000\n",
    "sys/fs/cgroup/job/memory.stat": "anon 900000000\ninactive_file 400000000\n",
    "sys/fs/cgroup/job/memory.events": "low 0\noom 3\noom_kill 2\n",
    "sys/fs/cgroup/job/step/memory.max": "max\n",
    "sys/fs/cgroup/job/step/memory.current": "1500000000\n",
  });
  expect(availableMemory(two)).toEqual({ free: 0.9e9, total: 2e9, limited: true });
  expect(outOfMemoryKills(two)).toEqual({ group: 2, machine: 7 });
  // A container sees its own group as the outermost, but may be told the name that it has on the machine.
  const one = machine("one", {
    "proc/self/cgroup": "5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n0::/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000000\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "700000000\n",
    "sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 100000000\n",
    "sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
  });
  expect(availableMemory(one)).toEqual({ free: 0.4e9, total: 1e9, limited: true });
  expect(outOfMemoryKills(one)).toEqual({ group: 1, machine: 7 });
});

it("a run that needs more than is free is refused with numbers and the setting to change", () => {
  const needs = { memory: 3e9, stored: 0, reduce: ["batch (32)"] };
  const memory = { free: 2e9, total: 4e9, limited: true };
  expect(() => checkMemory(needs, 1, memory)).toThrow(
    "about 3.0 GB of memory are needed besides the model, 2.0 GB of the 4.0 GB that this container or job may use are free. Reduce batch (32)",
  );
  expect(() => checkMemory({ ...needs, memory: 1e9 }, 1, memory)).not.toThrow();
  expect(() => checkMemory({ ...needs, memory: 1.9e9 }, 2, memory)).toThrow(/Reduce --processes \(2\) or batch \(32\)/);
});

it("the lock of a process that ended says whether the kernel has ended processes since", () => {
  const file = join(folder, "run.lock");
  const { pid } = spawnSync(process.execPath, ["--version"]);
  const kills = outOfMemoryKills();
  const leave = (before: typeof kills) =>
    writeFileSync(file, JSON.stringify({ pid, host: hostname(), started: "b 1", place: "food", kills: before }));
  leave(kills);
  const lock = claim(file, "food");
  expect(lock?.abandoned).toEqual({ pid, place: "food", outOfMemory: false });
  expect(claim(file, "food")).toBeUndefined();
  lock?.release();
  leave({ ...kills, machine: kills.machine - 1 });
  expect(claim(file, "food")?.abandoned?.outOfMemory).toBe(true);
  // A process that has the number of the one before, as in a container that was started again, is another.
  writeFileSync(file, JSON.stringify({ pid: process.pid, host: hostname(), started: "b 1", place: "food", kills }));
  expect(claim(file, "food")?.abandoned?.pid).toBe(process.pid);
});

it("a lock of another machine holds, unless no other machine computes this: then it is left from an earlier attempt", () => {
  const file = join(folder, "elsewhere.lock");
  const kills = { group: 0, machine: -1 };
  writeFileSync(file, JSON.stringify({ pid: 1, host: "another", started: "b 1", place: "food", kills }));
  expect(claim(file, "food")).toBeUndefined();
  const lock = claim(file, "food", true);
  expect(lock?.abandoned).toEqual({ pid: 1, place: "food", outOfMemory: false });
  expect(claim(file, "food", true)).toBeUndefined(); // this process lives
  lock?.release();
});

/** A control group of version 1 with a limit, where this user may make one. */
const group = "/sys/fs/cgroup/memory/promptsrc-test";
function canLimit(): boolean {
  try {
    mkdirSync(group, { recursive: true });
    writeFileSync(join(group, "memory.limit_in_bytes"), `${300 * 2 ** 20}`);
    return existsSync(join(group, "memory.oom_control"));
  } catch {
    return false;
  }
}

it.skipIf(!existsSync("/sys/fs/cgroup/memory/memory.limit_in_bytes") || !canLimit())(
  "a process that the kernel really ended for its memory is recognised by the next",
  () => {
    const lock = JSON.stringify(join(folder, "killed.lock"));
    const inGroup = (code: string) => {
      const program = `const module = await import("./src/experiments/lock.ts"); const lock = (module.claim ?? module.default.claim)(${lock}, "food"); ${code}`;
      const node = `"${process.execPath}" --import tsx --input-type=module -e '${program}'`;
      return spawnSync("sh", ["-c", `echo $$ > ${group}/cgroup.procs && exec ${node}`], { encoding: "utf8" });
    };
    const { signal } = inGroup("const all = []; for (;;) all.push(Buffer.alloc(2 ** 24, 1));");
    expect(signal).toBe("SIGKILL");
    const { stdout } = inGroup("console.log(JSON.stringify(lock.abandoned)); lock.release();");
    expect(JSON.parse(stdout)).toMatchObject({ place: "food", outOfMemory: true });
    rmdirSync(group);
  },
  60_000,
);
