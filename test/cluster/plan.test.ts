/** Plans: nothing is lost or divided, the parts are even, and the state of 10,000 tasks follows from results and queue. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { costOf, jobsOf, ownFirst, type Part, parseShard, planParts, unitKey } from "../../src/cluster/plan";
import { parseQueue } from "../../src/cluster/slurm";
import { appeared, nextPlan, plansIn, storePlan, tasksOf } from "../../src/cluster/submitted";
import type { Job } from "../../src/experiments/job";
import { type Run, runFile } from "../../src/results/store";
import { seeded } from "../../src/util/random";
import { temporaryFolder } from "../temporary";

const root = temporaryFolder("plan");

/** Trainings of random length, each tested on some datasets. */
function gridOf(trainings: number, tests: number): Job[] {
  const random = seeded("plan", trainings, tests);
  return Array.from({ length: trainings }, () => 1 + random.int(1000)).flatMap((work, seed) =>
    Array.from({ length: tests }, (_, k) => ({
      identity: {
        benchmark: "cross-dataset",
        method: "m",
        dataset: `d${k}`,
        split: "s",
        subset: "test" as const,
        shots: 16,
        seed,
        config: {},
        data: "",
        model: "",
      },
      row: "m",
      place: `seed ${seed}`,
      training: { key: `t${seed}`, work: 100 * work },
      testing: 50,
      suffices: () => true,
      run: async () => ({ metrics: {}, epochs: [], seconds: 0 }),
    })),
  );
}

describe("a plan", () => {
  const jobs = gridOf(200, 3);
  const parts = planParts(jobs, 7);

  it("has every job once, with all that share its training", () => {
    const planned = parts.flatMap((part) => jobsOf(jobs, part));
    expect(new Set(planned)).toEqual(new Set(jobs));
    expect(planned).toHaveLength(jobs.length);
    expect(new Set(parts.flat().map(({ key }) => key)).size).toBe(200);
    expect(parts.flat().reduce((sum, part) => sum + part.jobs, 0)).toBe(jobs.length);
    expect(parts.flat().reduce((sum, { cost }) => sum + cost, 0)).toBe(
      jobs.reduce((sum, job, k) => sum + job.testing + (k % 3 === 0 ? (job.training?.work ?? 0) : 0), 0),
    );
  });

  it("is even: no part costs more than the mean and its largest unit, and the same grid gives the same parts", () => {
    const mean = parts.flat().reduce((sum, { cost }) => sum + cost, 0) / 7;
    for (const part of parts) expect(costOf(part)).toBeLessThan(1.02 * mean);
    expect(planParts(jobs, 7)).toEqual(parts);
    expect(planParts(jobs.slice(0, 6), 64)).toHaveLength(2);
  });

  it("gives each of several processes its own part first, then those of the others", () => {
    const orders = [1, 2, 3].map((k) => ownFirst(jobs, k, 3));
    for (const order of orders) expect(new Set(order)).toEqual(new Set(jobs));
    const own = planParts(jobs, 3).map((part) => jobsOf(jobs, part));
    expect(orders.map((order, k) => order.slice(0, own[k].length))).toEqual(own);
    expect(ownFirst(jobs, 1, 1)).toBe(jobs);
  });

  it("numbers parts from 1", () => {
    expect(parseShard("3/64")).toEqual({ k: 3, count: 64 });
    for (const text of ["0/4", "5/4", "1", "1/", "a/b", "1/4/2"]) expect(() => parseShard(text)).toThrow(/--shard/);
  });
});

it("the state of 10,000 tasks follows from results and queue; a later plan takes over what failed", () => {
  const jobs = gridOf(10_000, 3);
  const parts = planParts(jobs, 10_000);
  expect(parts).toHaveLength(10_000);
  const first = { ...nextPlan(parts, root), name: "p-1" };
  // Tasks 1 to 4,000 have all their results, 4,001 to 4,100 run, 4,101 to 9,900 wait, and the last hundred are gone.
  const keys = (from: number, to: number) =>
    parts
      .slice(from, to)
      .flat()
      .map(({ key }) => key);
  const open = new Set(keys(4000, 10_000));
  const running = Array.from({ length: 100 }, (_, k) => `p-1|${4001 + k}|RUNNING|None`).join("\n");
  const queued = parseQueue(
    `${running}\np-1|4101-9900%100|PENDING|JobArrayTaskLimit\nother|1|RUNNING|None\nbash|N/A|RUNNING|None\n`,
  );
  const counts = (tasks: { state: string }[]) =>
    Object.fromEntries(
      ["done", "running", "waiting", "failed"].map((s) => [s, tasks.filter((t) => t.state === s).length]),
    );
  expect(counts(tasksOf([first], open, queued))).toEqual({ done: 4000, running: 100, waiting: 5800, failed: 100 });

  const lost = new Set(keys(9900, 10_000));
  const again = planParts(
    jobs.filter((job) => lost.has(unitKey(job))),
    10,
  );
  const second = { ...nextPlan(again, root), number: 2, name: "p-2" };
  const tasks = tasksOf([first, second], open, [...queued, ...parseQueue("p-2|1-10%10|PENDING|Resources")]);
  expect(counts(tasks)).toEqual({ done: 4100, running: 100, waiting: 5810, failed: 0 });
});

it("plans are found again in their order, unless they are damaged or of other code", () => {
  const folder = join(root, "plans");
  const parts: Part[] = [[{ key: "a", jobs: 1, cost: 1 }]];
  storePlan(nextPlan(parts, folder));
  storePlan({ ...nextPlan(parts, folder), numerics: "of other code" });
  const third = nextPlan(parts, folder);
  storePlan(third);
  expect(third.number).toBe(3);
  expect(plansIn(folder).map(({ number }) => number)).toEqual([1, 3]);
  expect(plansIn(folder)[1]).toEqual(third);
  writeFileSync(third.file, "{");
  expect(plansIn(folder).map(({ number }) => number)).toEqual([1]);
});

it("sees results that have appeared, and reads no others", () => {
  const jobs = gridOf(30, 2);
  const file = runFile(jobs[5].identity, root);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, "{}");
  const read: Job[] = [];
  const found = appeared(jobs, root, (job) => {
    read.push(job);
    return { key: "k" } as Run;
  });
  expect(read).toEqual([jobs[5]]);
  expect(found.map(([job]) => job)).toEqual([jobs[5]]);
});
