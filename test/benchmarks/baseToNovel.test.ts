import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { baseToNovelJobs } from "../../src/benchmarks/baseToNovel";
import { disposeClip, loadClip } from "../../src/clip/load";
import type { Clip } from "../../src/clip/model";
import { type Dataset, loadDataset } from "../../src/datasets/split";
import { tf } from "../../src/engine/tf";
import { clock, meter, type Screen, type Status } from "../../src/experiments/progress";
import { runGrid } from "../../src/experiments/runner";
import type { Settings } from "../../src/methods/method";
import { methods } from "../../src/methods/registry";
import { harmonicMean } from "../../src/results/statistics";
import type { Run } from "../../src/results/store";
import { numericsVersion } from "../../src/util/numerics";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";

let folder: string;
let clip: Clip;
let dataset: Dataset;
beforeAll(async () => {
  folder = temporaryFolder("grid");
  await drawShapes(join(folder, "shapes"));
  dataset = loadDataset(join(folder, "shapes"));
  clip = await loadClip("test/golden");
});
afterAll(() => {
  disposeClip(clip);
});

const ensemble = { mean: 2, std: 1 };
const change = (config: Settings): Settings => ({
  ...config,
  epochs: 3,
  batch: 8,
  ...(config.ensemble && { ensemble }),
  ...(config.textTargetTemplates && { textTargetTemplates: config.textTargetTemplates.slice(0, 2) }),
});
const allMethods = [methods.clip, methods.ivlp, methods.promptsrc];
const provenance = { kit: "0", engine: "a test's", numerics: numericsVersion(), versions: {} };

function recorder(): { screen: Screen; printed: string[]; lines: string[] } {
  const [printed, lines]: string[][] = [[], []];
  return {
    printed,
    lines,
    screen: { print: (line) => printed.push(line), update: (line) => lines.push(line), clear() {} },
  };
}

const jobsOf = (perEpoch: boolean, subset: "test" | "val" = "test", selectedMethods = allMethods) =>
  baseToNovelJobs({
    clip,
    datasets: [dataset],
    methods: selectedMethods,
    seeds: [1],
    change,
    shots: [4],
    subset,
    perEpoch,
  });

/** The part of a run that must be equal when the run is repeated. */
const reproducible = ({ metrics, epochs }: Run) => ({ metrics, epochs });

describe("base-to-novel grid", () => {
  let uninterrupted: Run[];

  it("runs and stores every method without tensor leaks; a second call reuses the runs and says so", async () => {
    const root = join(folder, "whole");
    const tensors = tf.memory().numTensors;
    const first = await runGrid(jobsOf(true), { meter: meter(recorder().screen), provenance, root });
    expect(tf.memory().numTensors).toBe(tensors);
    expect([first.runs.map((r) => r.method), first.reused, first.interrupted]).toEqual([
      ["clip", "ivlp", "promptsrc"],
      [],
      false,
    ]);
    for (const { metrics, epochs, method, config } of first.runs) {
      expect(metrics.hm).toBeCloseTo(harmonicMean(metrics.base, metrics.novel), 10);
      expect(Number.isInteger((metrics.base / 100) * 16)).toBe(true); // 4 base classes x 4 test pictures
      expect(epochs.map((e) => e.epoch)).toEqual(method === "clip" ? [] : [1, 2, 3]);
      expect((config as Settings).ensemble).toEqual(method === "promptsrc" ? ensemble : undefined);
    }
    for (const { metrics } of first.runs[1].epochs)
      expect(Number.isInteger(((metrics?.base ?? Number.NaN) / 100) * 6)).toBe(true); // every third of 16 pictures
    expect(Object.keys(first.runs[2].epochs[0].losses)).toEqual(["ce", "scl_text", "scl_image", "scl_logits", "total"]);

    const { screen, printed } = recorder();
    const second = await runGrid(jobsOf(false), { meter: meter(screen), provenance, root });
    expect(second.runs).toEqual(first.runs);
    expect(second.reused).toHaveLength(3);
    expect(printed.join()).toContain("3 of 3 runs are stored");
    uninterrupted = first.runs;
  });

  it("repeats a run that lacks requested accuracies per epoch, and separates validation from test runs", async () => {
    const root = join(folder, "lacking");
    const run = (perEpoch: boolean, subset: "test" | "val") =>
      runGrid(jobsOf(perEpoch, subset, [methods.ivlp]), { meter: meter(recorder().screen), provenance, root });
    const withoutEpochs = await run(false, "test");
    const withEpochs = await run(true, "test");
    expect([withoutEpochs.runs[0].epochs[0].metrics, withEpochs.reused.length]).toEqual([undefined, 0]);
    expect(withEpochs.runs[0].metrics).toEqual(withoutEpochs.runs[0].metrics);
    const val = await run(false, "val");
    expect([val.reused.length, val.runs[0].subset]).toEqual([0, "val"]);
    expect(Number.isInteger((val.runs[0].metrics.base / 100) * 8)).toBe(true); // 4 classes x 2 validation pictures
  });

  it("resumes an interrupted run after its last finished epoch and gives the same numbers", async () => {
    const root = join(folder, "interrupted");
    const stop = new AbortController();
    const { screen, printed } = recorder();
    const tensors = tf.memory().numTensors;
    const progress = meter(screen);
    const stopInLastEpoch = (status: Status) => {
      if (status.stage === "epoch 3/3") stop.abort(new Error("interrupted"));
      progress.report(status);
    };
    const options = { provenance, root, signal: stop.signal };
    const first = await runGrid(jobsOf(true), { ...options, meter: { ...progress, report: stopInLastEpoch } });
    expect(tf.memory().numTensors).toBe(tensors);
    expect([first.interrupted, first.runs.map((r) => r.method)]).toEqual([true, ["clip"]]);
    expect(printed.join()).toContain("interrupted: 1 of 3 runs done");
    expect(readdirSync(join(root, ".trained"))).toHaveLength(1);

    const stages: string[] = [];
    const recordingMeter = { ...progress, report: (status: Status) => stages.push(status.stage) };
    const second = await runGrid(jobsOf(true), { provenance, root, meter: recordingMeter as never });
    expect(stages.find((stage) => stage.startsWith("epoch"))).toBe("epoch 3/3");
    expect(second.runs.map(reproducible)).toEqual(uninterrupted.map(reproducible));
    expect(existsSync(join(root, ".partial")) ? readdirSync(join(root, ".partial")) : []).toEqual([]);
  });

  it("trains only once for runs that differ only in the ensemble of epochs", async () => {
    const root = join(folder, "ensembles");
    const stages: string[] = [];
    const recordingMeter = { report: (status: Status) => stages.push(status.stage), say() {}, done() {} };
    const jobs = [{ mean: 2, std: 1 }, { decay: 1 }, null].flatMap((gpa) =>
      baseToNovelJobs({
        clip,
        datasets: [dataset],
        methods: [methods.promptsrc],
        seeds: [1],
        change: (config) => ({ ...change(config), ensemble: gpa }),
        shots: [4],
      }),
    );
    const { runs } = await runGrid(jobs, { meter: recordingMeter, provenance, root });
    expect(new Set(runs.map((run) => run.key)).size).toBe(3);
    // reported for each of 2 steps, by one training run
    expect(stages.filter((stage) => stage === "epoch 1/3")).toHaveLength(2);
    expect(reproducible(runs[0]).metrics).toEqual(uninterrupted[2].metrics);
  });

  it("two concurrent calls compute each run once and both report it; stale locks are ignored", async () => {
    const root = join(folder, "shared");
    const [first, second] = [recorder(), recorder()];
    const endedPid = spawnSync(process.execPath, ["--version"]).pid;
    const jobs = jobsOf(true);
    const staleLock = join(root, ".partial", `${jobs[1].training?.key}.lock`);
    mkdirSync(dirname(staleLock), { recursive: true });
    writeFileSync(staleLock, JSON.stringify({ pid: endedPid, host: hostname() }));
    const emptyLock = join(root, ".partial", `${jobs[2].training?.key}.lock`); // a full disk leaves such a file
    writeFileSync(emptyLock, "");
    utimesSync(emptyLock, new Date(0), new Date(Date.now() - 60_000));
    const results = await Promise.all(
      [first, second].map(({ screen }) => runGrid(jobsOf(true), { meter: meter(screen), provenance, root })),
    );
    for (const { runs, reused } of results)
      expect([runs.map(reproducible), reused]).toEqual([uninterrupted.map(reproducible), []]);
    expect([...first.printed, ...second.printed].filter((line) => line.includes("seed 1:"))).toHaveLength(3);
    expect(readdirSync(join(root, ".partial"))).toEqual([]);
  });
});

describe("progress", () => {
  it("shows dataset, stage, loss, rate and remaining time, at most five times per second", () => {
    const { screen, lines } = recorder();
    let time = 0;
    const progress = meter(screen, () => time);
    for (let step = 0; step <= 40; step++) {
      time = step * 50; // 20 steps a second
      progress.report({
        place: "food",
        stage: "epoch 1/2",
        work: step * 10,
        total: 1000,
        count: step,
        unit: "steps",
        loss: 0.5,
      });
    }
    expect(lines).toHaveLength(11); // 0, 0.2, ... 2 s
    expect(lines[10]).toBe("food \u00b7 epoch 1/2 \u00b7 loss 0.500 \u00b7 20.0 steps/s \u00b7 0:03 left");
    expect([clock(5), clock(65), clock(3725)]).toEqual(["0:05", "1:05", "1:02:05"]);
  });
});
