/** Two calls of one grid, as of `--processes 2`: a failure is tried once, and a fresh training is not repeated. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect, it } from "vitest";
import type { Job } from "../../src/experiments/job";
import { runGrid } from "../../src/experiments/runner";
import type { Identity } from "../../src/results/store";
import { numericsVersion } from "../../src/util/numerics";
import { temporaryFolder } from "../temporary";

const root = temporaryFolder("shared-grid");

const provenance = { kit: "0", engine: "a test's", numerics: numericsVersion(), versions: {} };
const meter = { report() {}, say() {}, done() {} };
const identity = (seed: number): Identity => ({
  benchmark: "base-to-novel",
  method: "m",
  dataset: "d",
  split: "s",
  subset: "test",
  shots: 1,
  seed,
  config: {},
  data: "",
  model: "",
});

function twice(jobs: Job[], fresh?: number) {
  const options = { meter, provenance, root, shipped: false, fresh, since: Date.now() - 1 };
  return Promise.all([runGrid(jobs, options), runGrid(jobs, options)]);
}

it("a run that fails is tried once, and both report it; the next command tries it again", async () => {
  let tries = 0;
  const run = async () => {
    tries++;
    await setTimeout(50);
    throw new Error("the loss is NaN");
  };
  const job: Job = { identity: identity(1), row: "m", place: "run 1", testing: 1, suffices: () => true, run };
  const failure = { place: "run 1", reason: "the loss is NaN" };
  expect((await twice([job])).map(({ failed }) => failed)).toEqual([[failure], [failure]]);
  expect(tries).toBe(1);
  await setTimeout(20);
  await twice([job]);
  expect(tries).toBe(2);
});

it("with `fresh`, a training that another process has just stored is used, not deleted", async () => {
  let trainings = 0;
  const jobOf = (seed: number): Job => ({
    identity: identity(seed),
    row: "m",
    place: `run ${seed}`,
    training: { key: "trained-once", work: 1 },
    testing: 1,
    suffices: () => true,
    async run({ trained }) {
      if (!existsSync(trained)) {
        trainings++;
        mkdirSync(dirname(trained), { recursive: true });
        writeFileSync(trained, "parameters");
      }
      await setTimeout(30);
      return { metrics: { base: 50 }, epochs: [], seconds: 0 };
    },
  });
  const jobs = [2, 3, 4].map(jobOf);
  await twice(jobs);
  await setTimeout(20);
  const results = await twice(jobs, Date.now() - 10);
  expect(trainings).toBe(2);
  expect(results.map(({ runs }) => runs.length)).toEqual([3, 3]);
});
