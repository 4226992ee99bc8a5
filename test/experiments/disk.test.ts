/** Disks that are full, too small or read-only: the message says which folder, and the same command goes on later. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { DiskError, diskError, makeFolder } from "../../src/io/disk";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";

const folder = temporaryFolder("disk");
const results = join(folder, "results");
beforeAll(async () => {
  mkdirSync(results);
  await drawShapes(join(folder, "data", "shapes"));
});

const command =
  "run base-to-novel --model test/golden --data data --methods ivlp --shots 2 --set epochs=3 --results results";

/** Runs the command after a preparation in the shell, in a mount namespace of its own if `mounts`. */
function run(preparation: string, mounts = false) {
  const main = `exec "${process.execPath}" --import tsx src/cli/main.ts ${command.replace("test/golden", join(process.cwd(), "test/golden"))}`;
  const shell = ["sh", "-c", `${preparation}${main}`];
  const [program, ...args] = mounts ? ["unshare", "-rm", ...shell] : shell;
  const { status, stdout, stderr } = spawnSync(program, args, {
    encoding: "utf8",
    env: { ...process.env, INIT_CWD: folder, PROMPTSRC_THREADS: "1" },
  });
  return { status, output: stdout + stderr };
}

const canMount = spawnSync("unshare", ["-rm", "sh", "-c", `mount -t tmpfs tmpfs ${tmpdir()}`]).status === 0;

it.skipIf(!canMount)("a grid is refused before it starts where the disk is too small or read-only", () => {
  const tmpfs = (options: string) => `mount -t tmpfs -o ${options} tmpfs ${results} && `;
  const small = run(tmpfs("size=40k"), true);
  expect(small.output).toMatch(/results: 1 runs and their trainings need up to [\d.]+ kB, [\d.]+ kB are free on its/);
  expect(small.output).toContain("--results");
  const readOnly = run(tmpfs("ro"), true);
  expect(readOnly.output).toMatch(/results: .* cannot be written, the disk is read-only \([\d.]+ \wB are free\)/);
  expect([small.status, readOnly.status]).toEqual([1, 1]);
});

it("a quota that is used up is told as a full disk is", () => {
  const error = diskError(Object.assign(new Error("EDQUOT"), { code: "EDQUOT" }), join(results, "a.json"), 2e6);
  expect(error).toBeInstanceOf(DiskError);
  expect((error as Error).message).toMatch(
    /results: a\.json cannot be written, the disk quota is used up \(2\.0 MB are needed, .* are free\)/,
  );
});

it("where no folder can be made, that is said", () => {
  const file = join(folder, "a-file");
  writeFileSync(file, "");
  expect(() => makeFolder(file)).toThrow(/a-file cannot be written, a file of this name is in its place/);
  expect(() => makeFolder(join(file, "results"))).toThrow(DiskError);
  if (existsSync("/proc")) expect(() => makeFolder("/proc/results")).toThrow(/its folder cannot be made/);
});

it("a write that fails during the grid ends it with a reason; the same command goes on, without what was left", () => {
  const abandoned = join(results, ".trained", "0123456789ab.safetensors.77.part"); // of a process that was killed
  mkdirSync(join(results, ".trained"), { recursive: true });
  writeFileSync(abandoned, "half");
  utimesSync(abandoned, new Date(0), new Date(0));
  const failed = run("ulimit -f 1; "); // no file over 512 bytes
  expect(failed.output).toMatch(/\.safetensors cannot be written, a file may not be that large .* needed, .* free/);
  expect(failed.output).toContain("0 of 1 runs done and stored; the same command goes on from here. Free some space");
  expect(failed.status).toBe(1);
  expect(readdirSync(join(results, ".trained"))).toEqual([]);
  expect(existsSync(abandoned)).toBe(false);
  const again = run("");
  expect(again.status, again.output).toBe(0);
  expect(readdirSync(join(results, ".partial"))).toEqual([]);
});
