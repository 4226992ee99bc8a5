import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
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

let folder: string;
let clip: Clip;
let dataset: Dataset;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "grid-"));
  await drawShapes(join(folder, "shapes"));
  dataset = loadDataset(join(folder, "shapes"));
  clip = await loadClip("test/golden");
});
afterAll(() => {
  disposeClip(clip);
  rmSync(folder, { recursive: true, force: true });
});

const gpa = { mean: 2, std: 1 };
const change = (config: Settings): Settings => ({
  ...config,
  epochs: 3,
  batch: 8,
  ...(config.ensemble && { ensemble: gpa }),
  ...(config.textTargetTemplates && { textTargetTemplates: config.textTargetTemplates.slice(0, 2) }),
});
const three = [methods.clip, methods.ivlp, methods.promptsrc];
const made = { kit: "0", engine: "a test's", numerics: numericsVersion(), versions: {} };

function recorder(): { screen: Screen; said: string[]; lines: string[] } {
  const [said, lines]: string[][] = [[], []];
  return { said, lines, screen: { print: (line) => said.push(line), update: (line) => lines.push(line), clear() {} } };
}

const jobsOf = (perEpoch: boolean, subset: "test" | "val" = "test", chosen = three) =>
  baseToNovelJobs({ clip, datasets: [dataset], methods: chosen, seeds: [1], change, shots: [4], subset, perEpoch });

/** What must be equal between two runs of the same thing. */
const numbers = ({ metrics, epochs }: Run) => ({ metrics, epochs });

describe("base-to-novel grid", () => {
  let whole: Run[];

  it("runs every method, stores it, leaks nothing, and reuses it aloud", async () => {
    const root = join(folder, "whole");
    const tensors = tf.memory().numTensors;
    const first = await runGrid(jobsOf(true), { meter: meter(recorder().screen), provenance: made, root });
    expect(tf.memory().numTensors).toBe(tensors);
    expect([first.runs.map((r) => r.method), first.reused, first.interrupted]).toEqual([
      ["clip", "ivlp", "promptsrc"],
      [],
      false,
    ]);
    for (const { metrics, epochs, method, config: own } of first.runs) {
      expect(metrics.hm).toBeCloseTo(harmonicMean(metrics.base, metrics.novel), 10);
      expect(Number.isInteger((metrics.base / 100) * 16)).toBe(true); // 4 base classes x 4 test pictures
      expect(epochs.map((e) => e.epoch)).toEqual(method === "clip" ? [] : [1, 2, 3]);
      expect((own as Settings).ensemble).toEqual(method === "promptsrc" ? gpa : undefined);
    }
    for (const { metrics } of first.runs[1].epochs)
      expect(Number.isInteger(((metrics?.base ?? Number.NaN) / 100) * 6)).toBe(true); // every third of 16 pictures
    expect(Object.keys(first.runs[2].epochs[0].losses)).toEqual(["ce", "scl_text", "scl_image", "scl_logits", "total"]);

    const { screen, said } = recorder();
    const second = await runGrid(jobsOf(false), { meter: meter(screen), provenance: made, root });
    expect(second.runs).toEqual(first.runs);
    expect(second.reused).toHaveLength(3);
    expect(said.join()).toContain("3 of 3 runs are stored");
    whole = first.runs;
  });

  it("computes anew what lacks the accuracies per epoch, and keeps validation apart from test", async () => {
    const root = join(folder, "lacking");
    const run = (perEpoch: boolean, subset: "test" | "val") =>
      runGrid(jobsOf(perEpoch, subset, [methods.ivlp]), { meter: meter(recorder().screen), provenance: made, root });
    const plain = await run(false, "test");
    const full = await run(true, "test");
    expect([plain.runs[0].epochs[0].metrics, full.reused.length]).toEqual([undefined, 0]);
    expect(full.runs[0].metrics).toEqual(plain.runs[0].metrics);
    const val = await run(false, "val");
    expect([val.reused.length, val.runs[0].subset]).toEqual([0, "val"]);
    expect(Number.isInteger((val.runs[0].metrics.base / 100) * 8)).toBe(true); // 4 classes x 2 validation pictures
  });

  it("goes on after an interrupt from the last finished epoch, to the same numbers", async () => {
    const root = join(folder, "interrupted");
    const stop = new AbortController();
    const { screen, said } = recorder();
    const tensors = tf.memory().numTensors;
    const watched = meter(screen);
    const stopInLastEpoch = (status: Status) => {
      if (status.stage === "epoch 3/3") stop.abort(new Error("interrupted"));
      watched.report(status);
    };
    const options = { provenance: made, root, signal: stop.signal };
    const first = await runGrid(jobsOf(true), { ...options, meter: { ...watched, report: stopInLastEpoch } });
    expect(tf.memory().numTensors).toBe(tensors);
    expect([first.interrupted, first.runs.map((r) => r.method)]).toEqual([true, ["clip"]]);
    expect(said.join()).toContain("interrupted: 1 of 3 runs done");
    expect(readdirSync(join(root, ".trained"))).toHaveLength(1);

    const stages: string[] = [];
    const again = { ...watched, report: (status: Status) => stages.push(status.stage) };
    const second = await runGrid(jobsOf(true), { provenance: made, root, meter: again as never });
    expect(stages.find((stage) => stage.startsWith("epoch"))).toBe("epoch 3/3");
    expect(second.runs.map(numbers)).toEqual(whole.map(numbers));
    expect(existsSync(join(root, ".partial")) ? readdirSync(join(root, ".partial")) : []).toEqual([]);
  });

  it("trains once for runs that differ in the ensemble of epochs only", async () => {
    const root = join(folder, "ensembles");
    const stages: string[] = [];
    const silent = { report: (status: Status) => stages.push(status.stage), say() {}, done() {} };
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
    const { runs } = await runGrid(jobs, { meter: silent, provenance: made, root });
    expect(new Set(runs.map((run) => run.key)).size).toBe(3);
    expect(stages.filter((stage) => stage === "epoch 1/3")).toHaveLength(2); // 2 steps, once
    expect(numbers(runs[0]).metrics).toEqual(whole[2].metrics);
  });

  it("is shared by processes: each run is computed once, all are reported by both, a dead process holds nothing", async () => {
    const root = join(folder, "shared");
    const [first, second] = [recorder(), recorder()];
    const dead = spawnSync(process.execPath, ["--version"]).pid;
    const jobs = jobsOf(true);
    const abandoned = join(root, ".partial", `${jobs[1].training?.key}.lock`);
    mkdirSync(dirname(abandoned), { recursive: true });
    writeFileSync(abandoned, JSON.stringify({ pid: dead, host: hostname() }));
    const empty = join(root, ".partial", `${jobs[2].training?.key}.lock`); // what a full disk leaves
    writeFileSync(empty, "");
    utimesSync(empty, new Date(0), new Date(Date.now() - 60_000));
    const results = await Promise.all(
      [first, second].map(({ screen }) => runGrid(jobsOf(true), { meter: meter(screen), provenance: made, root })),
    );
    for (const { runs, reused } of results) expect([runs.map(numbers), reused]).toEqual([whole.map(numbers), []]);
    expect([...first.said, ...second.said].filter((line) => line.includes("seed 1:"))).toHaveLength(3);
    expect(readdirSync(join(root, ".partial"))).toEqual([]);
  });
});

describe("progress", () => {
  it("gives place, stage, loss, rate and time left, at most five times a second", () => {
    const { screen, lines } = recorder();
    let time = 0;
    const m = meter(screen, () => time);
    for (let step = 0; step <= 40; step++) {
      time = step * 50; // 20 steps a second
      m.report({
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
