/** Datasets as people have them: an odd number of classes, one picture of each, no validation pictures, one sentence for two classes. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { baseToNovelJobs } from "../../src/benchmarks/baseToNovel";
import { fewShot } from "../../src/benchmarks/fewShot";
import { disposeClip, loadClip } from "../../src/clip/load";
import type { Clip } from "../../src/clip/model";
import { loadDataset } from "../../src/datasets/split";
import { startEngine } from "../../src/engine/tf";
import { meter } from "../../src/experiments/progress";
import { provenance } from "../../src/experiments/provenance";
import { runGrid } from "../../src/experiments/runner";
import type { Settings } from "../../src/methods/method";
import { methods } from "../../src/methods/registry";
import { temporaryFolder } from "../temporary";

const root = temporaryFolder("small");
let clip: Clip;
beforeAll(async () => {
  clip = await loadClip("weights/mini-clip");
});
afterAll(() => {
  disposeClip(clip);
});

/** A dataset with one training and two test pictures of each class, and no "val". */
async function write(name: string, classNames: string[]): Promise<string> {
  const folder = join(root, name);
  mkdirSync(join(folder, "images"), { recursive: true });
  const lists: Record<string, [string, number, string][]> = { train: [], test: [] };
  for (const [label, className] of classNames.entries()) {
    for (const [k, part] of ["train", "test", "test"].entries()) {
      const file = `${label}-${k}.png`;
      const background = { r: label * 60, g: k * 80, b: 90 };
      await sharp({ create: { width: 20, height: 20, channels: 3, background } })
        .png()
        .toFile(join(folder, "images", file));
      lists[part].push([file, label, className]);
    }
  }
  writeFileSync(join(folder, "split_mine.json"), JSON.stringify(lists));
  return folder;
}

describe("a small dataset of one's own", () => {
  const change = (config: Settings): Settings =>
    "epochs" in config ? { ...config, epochs: 2, batch: 2, ...(config.ensemble && { ensemble: null }) } : config;
  const chosen = [methods.clip, methods.coop, methods.promptsrc];

  it("has an odd number of classes, one picture of each, and no validation pictures: both benchmarks run", async () => {
    const dataset = loadDataset(await write("odd", ["hot_dog", "tea", "apple pie", "sushi", "AT&amp;T\u2019s cake"]));
    expect([dataset.split, dataset.val]).toEqual(["mine", []]);
    const made = provenance(await startEngine());
    const lines: string[] = [];
    const screen = { update() {}, print: (line: string) => lines.push(line), clear() {} };
    const grid = { clip, datasets: [dataset], methods: chosen, seeds: [1], shots: [4], change };
    const jobs = [...baseToNovelJobs(grid), ...fewShot.jobs(grid)];
    const { runs } = await runGrid(jobs, { meter: meter(screen), provenance: made, root: join(root, "results") });
    expect(runs).toHaveLength(6);
    for (const { metrics } of runs)
      for (const value of Object.values(metrics)) expect(Number.isFinite(value)).toBe(true);
    expect(lines.join("\n")).toContain("5 classes have fewer than 4 training");
  });

  it("has a name that the model's context does not hold: every run says so before anything is computed", async () => {
    const grid = { clip, methods: chosen, seeds: [1], shots: [1] };
    const long = loadDataset(await write("long", ["tea", "cake", "very ".repeat(90)]));
    for (const { refused } of fewShot.jobs({ ...grid, datasets: [long] }))
      expect(refused).toMatch(/a sentence has 9\d tokens, the model takes at most \d+: shorten the class name/);
    const short = fewShot.jobs({ ...grid, datasets: [loadDataset(await write("short", ["tea", "cake", "sushi"]))] });
    expect(short.map(({ refused }) => refused)).toEqual([undefined, undefined, undefined]);
    expect(short[1].note).toContain("fewer images than a batch (32), each step takes all of them");
    expect(short[0].note).toBeUndefined(); // CLIP is not trained
  });

  it("has no validation pictures, which the linear probe needs: that run fails by name, and the others are run", async () => {
    const dataset = loadDataset(await write("without", ["tea", "cake", "sushi"]));
    const jobs = fewShot.jobs({
      clip,
      datasets: [dataset],
      methods: [methods.probe, ...chosen],
      seeds: [1],
      shots: [1],
      change,
    });
    const lines: string[] = [];
    const screen = { update() {}, print: (line: string) => lines.push(line), clear() {} };
    const options = { meter: meter(screen), provenance: provenance(await startEngine()), root: join(root, "failing") };
    const { runs, failed, interrupted } = await runGrid(jobs, options);
    expect([runs.map(({ method }) => method), interrupted]).toEqual([chosen.map(({ name }) => name), false]);
    expect(failed).toEqual([{ place: jobs[0].place, reason: expect.stringMatching(/validation/) }]);
    expect(lines.join("\n")).toContain(`${jobs[0].place}: FAILED, `);
    // The next call tries it again, and nothing else.
    const again = await runGrid(jobs, options);
    expect([again.reused.length, again.failed.length]).toEqual([3, 1]);
  });

  it("says that two of its classes make the same sentence, and counts both ways", async () => {
    const dataset = loadDataset(await write("same", ["hot_dog", "tea", "hot dog"]));
    const jobs = fewShot.jobs({ clip, datasets: [dataset], methods: [methods.clip], seeds: [1] });
    expect(jobs[0].note).toMatch(/1 class names make the same sentence as another \("hot dog"\)/);
    const screen = { update() {}, print() {}, clear() {} };
    const made = provenance(await startEngine());
    const { runs } = await runGrid(jobs, { meter: meter(screen), provenance: made, root: join(root, "same-results") });
    const { accuracy, "merged accuracy": merged = accuracy } = runs[0].metrics;
    // The first and the third class have one feature, so the third is never predicted, and as one class they count more.
    expect(merged).toBeGreaterThan(accuracy);
  });
});
