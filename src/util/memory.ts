/**
 * Free memory and the kernel's out-of-memory kills, as Linux tells them for this process: those of the machine and of
 * the control groups that hold it (cgroup version 1 or 2), by which containers and batch systems limit memory.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** What is free, in bytes, and of how much; `limited` where a control group's limit leaves less than the machine has. */
export type Memory = { free: number; total: number; limited: boolean };

function read(...path: string[]): string | undefined {
  try {
    return readFileSync(join(...path), "utf8");
  } catch {
    return undefined;
  }
}

/** The number after a name, as in "MemAvailable:  23441 kB" or "oom_kill 3". */
const numberOf = (text: string | undefined, name: string): number | undefined => {
  const found = new RegExp(`^${name}:?\\s+(\\d+)`, "m").exec(text ?? "");
  return found ? Number(found[1]) : undefined;
};

/** The folder of a group and those of the groups around it. A container may see its own group as the outermost. */
const andAbove = (path: string): string[] =>
  path === "/" || path === "." ? ["/"] : [path, ...andAbove(dirname(path))];

/** Folders of the control groups that may limit the memory of this process, with the names of their files. */
function groups(root: string): { folder: string; version: 1 | 2 }[] {
  const lines = (read(root, "proc", "self", "cgroup") ?? "").split("\n").map((line) => line.split(":"));
  return lines.flatMap(([hierarchy, controllers, path]) => {
    const version = hierarchy === "0" ? 2 : 1;
    if (path === undefined || (version === 1 && !controllers.split(",").includes("memory"))) return [];
    const mounts = version === 1 ? ["memory"] : ["", "unified"];
    return mounts.flatMap((mount) =>
      andAbove(path).map((group) => ({ folder: join(root, "sys", "fs", "cgroup", mount, group), version }) as const),
    );
  });
}

/**
 * The memory that this process can still take without swapping; undefined where there is no /proc, as on macOS.
 * @param root where /proc and /sys lie
 */
export function availableMemory(root = "/"): Memory | undefined {
  const machine = read(root, "proc", "meminfo");
  const [free, total] = ["MemAvailable", "MemTotal"].map((name) => 1024 * (numberOf(machine, name) ?? Number.NaN));
  if (Number.isNaN(free)) return undefined;
  let memory: Memory = { free, total, limited: false };
  for (const { folder, version } of groups(root)) {
    const limit = Number(read(folder, version === 1 ? "memory.limit_in_bytes" : "memory.max") || Number.NaN);
    const used = Number(read(folder, version === 1 ? "memory.usage_in_bytes" : "memory.current") || Number.NaN);
    // The kernel takes file pages that were not used lately away before it ends a process.
    const cached = numberOf(read(folder, "memory.stat"), version === 1 ? "total_inactive_file" : "inactive_file") ?? 0;
    const left = Math.max(0, limit - used + cached);
    if (limit < total && left < memory.free) memory = { free: left, total: limit, limited: true };
  }
  return memory;
}

/**
 * How many processes the kernel has ended so far because memory ran out: in this control group, and on the machine.
 * @param root where /proc and /sys lie
 */
export function outOfMemoryKills(root = "/"): { group: number; machine: number } {
  const inGroups = groups(root).map(({ folder, version }) =>
    numberOf(read(folder, version === 1 ? "memory.oom_control" : "memory.events"), "oom_kill"),
  );
  return {
    group: Math.max(0, ...inGroups.map((count) => count ?? 0)),
    machine: numberOf(read(root, "proc", "vmstat"), "oom_kill") ?? 0,
  };
}
