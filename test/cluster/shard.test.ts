/** The parts of a grid, each computed by a command of its own, give the files of the whole grid. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it, vi } from "vitest";
import { runCommand } from "../../src/cli/run";
import { nextPlan, storePlan } from "../../src/cluster/submitted";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";

const folder = temporaryFolder("shard");
beforeAll(() => drawShapes(join(folder, "data", "shapes")));

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

it("TF32 is another identity: without a GPU it is refused, and a plan for others has other runs", async () => {
  const said = vi.spyOn(console, "log").mockImplementation(() => {});
  try {
    const plan = async (...args: string[]) => {
      said.mockClear();
      expect(await command("whole", "--on", "slurm", "--dry-run", "--tasks", "2", ...args)).toBe(0);
      return said.mock.calls.flat().join("\n");
    };
    expect(await plan()).toContain("6 runs, 6 of them stored");
    await expect(command("whole", "--tf32")).rejects.toThrow("TF32 (--tf32, PROMPTSRC_TF32) needs a GPU");
    const rounded = await plan("--tf32");
    expect(rounded).toContain("6 runs, 0 of them stored");
    expect(rounded).toContain("#SBATCH --array=1-2%2\n");
    expect(rounded).toMatch(/'--tf32'.* --shard "\$SLURM_ARRAY_TASK_ID\/2"/);
  } finally {
    said.mockRestore();
    delete process.env.PROMPTSRC_TF32;
  }
});

it("options of other places are refused before anything starts", async () => {
  await expect(command("x", "--tasks", "3")).rejects.toThrow("--tasks belongs to --on slurm");
  await expect(command("x", "--on", "slrm")).rejects.toThrow('Did you mean "slurm"?');
  await expect(command("x", "--plan", "p.json")).rejects.toThrow("--plan needs --shard");
  await expect(command("x", "--shard", "1/2", "--plan", "p.json", "--fresh")).rejects.toThrow("leave out --fresh");
  await expect(command("x", "--on", "slurm", "--retry", "--fresh")).rejects.toThrow("leave out --fresh");
});
