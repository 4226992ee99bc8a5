/** The parts of a grid, each computed by a command of its own, give the files of the whole grid. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { runCommand } from "../../src/cli/run";
import { nextPlan, storePlan } from "../../src/cluster/submitted";
import { drawShapes } from "../shapes";

const folder = mkdtempSync(join(tmpdir(), "shard-"));
beforeAll(() => drawShapes(join(folder, "data", "shapes")));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const command = (results: string, ...args: string[]) => {
  const grid = [
    "base-to-novel",
    "--model",
    "test/golden",
    "--data",
    join(folder, "data"),
    "--methods",
    "clip,coop,ivlp",
  ];
  const options = ["--config", "paper", "--set", "epochs=2", "--shots", "1", "--seeds", "1,2"];
  return runCommand([...grid, ...options, "--results", join(folder, results), ...args]);
};

function numbers(results: string): Record<string, unknown> {
  const names = readdirSync(join(folder, results), { recursive: true, encoding: "utf8" });
  return Object.fromEntries(
    names
      .filter((name) => /^[^.].*\.json$/.test(name))
      .map((name) => {
        const { metrics, epochs } = JSON.parse(readFileSync(join(folder, results, name), "utf8"));
        return [name, { metrics, epochs }];
      }),
  );
}

it("--shard 1/3, 2/3 and 3/3 together are the grid; a part that is there is not computed again", async () => {
  const said = vi.spyOn(console, "log").mockImplementation(() => {});
  try {
    expect(await command("whole")).toBe(0);
    for (const part of ["2/3", "1/3", "3/3", "3/3"]) expect(await command("parts", "--shard", part)).toBe(0);
    expect(Object.keys(numbers("whole"))).toHaveLength(6);
    expect(numbers("parts")).toEqual(numbers("whole"));
    expect(said.mock.lastCall?.[0]).toMatch(/^part 3 of 3: (\d) of \1 runs are stored/);
    const foreign = nextPlan([[{ key: "of another grid", jobs: 1, cost: 1 }]], folder);
    storePlan(foreign);
    await expect(command("parts", "--shard", "1/1", "--plan", foreign.file)).rejects.toThrow(/this command has 0/);
    await expect(command("parts", "--shard", "1/2", "--plan", foreign.file)).rejects.toThrow(/has 1 parts/);
  } finally {
    said.mockRestore();
  }
});

it("options of other places are refused before anything starts", async () => {
  await expect(command("x", "--tasks", "3")).rejects.toThrow("--tasks belongs to --on slurm");
  await expect(command("x", "--on", "slrm")).rejects.toThrow('Did you mean "slurm"?');
  await expect(command("x", "--plan", "p.json")).rejects.toThrow("--plan needs --shard");
  await expect(command("x", "--shard", "1/2", "--fresh")).rejects.toThrow("--fresh");
});
