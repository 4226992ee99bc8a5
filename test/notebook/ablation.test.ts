/** An ablation in a cell: what is stored is said and not run again, and a loss of one's own is trained and shown. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { ablations } from "../../src/benchmarks/ablations";
import { disposeClip, loadClip } from "../../src/clip/load";
import type { Clip } from "../../src/clip/model";
import type { Config } from "../../src/configs/config";
import { type Dataset, loadDataset } from "../../src/datasets/split";
import { tf } from "../../src/engine/tf";
import { independent } from "../../src/methods/ivlp";
import { crossEntropy } from "../../src/methods/losses";
import { objective, promptLearner } from "../../src/methods/promptLearner";
import { methods } from "../../src/methods/registry";
import { ablation } from "../../src/notebook/ablation";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";

const folder = temporaryFolder("ablation");
const results = join(folder, "results");
let clip: Clip;
let datasets: Dataset[];
beforeAll(async () => {
  await drawShapes(join(folder, "shapes"));
  clip = await loadClip("test/golden");
  datasets = [loadDataset(join(folder, "shapes"))];
  vi.spyOn(console, "log").mockImplementation(() => undefined);
});
afterAll(() => {
  disposeClip(clip);
});

const short = (config: Config): Config => ({ ...config, epochs: 2, ensemble: null });
const common = () => ({ title: "Prompts", clip, datasets, shots: 1, results });

it("runs what is missing, and says so before", async () => {
  const variants = { short, steep: (config: Config) => ({ ...short(config), lr: 0.01 }) };
  const one = ablation({ ...common(), seeds: [1], variants });
  expect(one.status()).toBe(
    "Prompts: 0 of 2 runs are stored, 2 are missing: how long they take is known after the first",
  );
  expect(() => one.table()).toThrow("no run is stored yet; call run() first");
  const before = tf.memory().numTensors;
  await one.run();
  expect(tf.memory().numTensors).toBe(before);
  expect(one.differences().rows.map(({ pair }) => pair)).toEqual(["steep \u2212 short"]);
  expect(one.statistics("base").rows.map(({ method }) => method)).toEqual(["steep"]);
  expect(one.uncertainty().rows.map(({ method }) => method)).toEqual(["short", "steep"]);
  expect(one.differencesFigure().alt).toMatch(/against short: steep [+\u2212]/);
  expect(one.average().rows.map(({ method }) => method)).toEqual(["short", "steep"]);

  const two = ablation({ ...common(), seeds: [1, 2], variants, reference: "steep" });
  expect(two.status()).toMatch(/^Prompts: 2 of 4 runs are stored, 2 are missing: about 0:\d\d$/);
  expect(two.table().rows).toHaveLength(2); // what is stored is shown before anything runs
  expect(two.differences().rows.map(({ pair }) => pair)).toEqual(["short \u2212 steep"]);
});

it("shows the runs of a long grid in one output that fills up, and leaves the finished figure", async () => {
  type Sent = { data: { [mime: string]: { layout: { title: { text: string } } } }; transient: { display_id?: string } };
  const jupyter = createRequire(import.meta.url)("tslab/dist/jupyter.js");
  const sent: (Sent & { isUpdate: boolean })[] = [];
  jupyter.lastWriteDisplayData = (content: Sent, isUpdate: boolean) => sent.push({ ...content, isUpdate });
  try {
    const study = ablation({ ...common(), seeds: [3, 4], variants: { short, long: short }, title: "Live" });
    await study.run({ figureAfter: 0 });
    const figures = sent.filter(({ data }) => "application/vnd.plotly.v1+json" in data);
    expect(figures.map(({ isUpdate }) => isUpdate)).toEqual(figures.map((_, k) => k > 0));
    expect(new Set(figures.map(({ transient }) => transient.display_id)).size).toBe(1);
    const drawn = figures.map(({ data }) => data["application/vnd.plotly.v1+json"]);
    const [first, last] = [drawn[0], drawn[drawn.length - 1]];
    expect([first, last].map(({ layout }) => layout.title.text)).toEqual(["1 of 4 runs", "4 of 4 runs"]);
    const plain = JSON.parse(JSON.stringify(study.figure().data));
    expect(JSON.parse(JSON.stringify(last))).toMatchObject({ data: plain });
    const stored = sent.length;
    await study.run({ figureAfter: 0 });
    expect(sent.slice(stored).filter(({ data }) => "application/vnd.plotly.v1+json" in data)).toEqual([]);
  } finally {
    jupyter.lastWriteDisplayData = undefined;
  }
});

it("trains a term of the loss from a cell, and draws it", async () => {
  const closer = promptLearner(
    { name: "closer", title: "closer", source: "test", version: "1" },
    independent,
    objective({
      settings: {},
      create: () => ({
        terms:
          () =>
          ({ g, logits, truth }) => {
            const ce = crossEntropy(logits, truth);
            const closeness = tf.mean(tf.square(tf.matMul(g, g, false, true)));
            return { ce, closeness, total: tf.add(ce, closeness) };
          },
      }),
    }),
  );
  const study = ablation({
    ...common(),
    seeds: [1],
    variants: [
      {
        name: "ivlp",
        title: "IVLP",
        method: methods.ivlp,
        change: ({ ensemble: _, ...config }) => ({ ...config, epochs: 2 }),
      },
      {
        name: "closer",
        title: "closer",
        method: closer,
        change: ({ ensemble: _, ...config }) => ({ ...config, epochs: 2 }),
      },
    ],
  });
  await study.run();
  const figure = study.losses();
  expect(figure.data.map(({ name }) => name).sort()).toEqual(["IVLP", "IVLP", "closer", "closer", "closer"]);
  const lines = figure.data as { yaxis?: string; y: number[] }[];
  const panelOf = (line: { yaxis?: string }) => lines.filter(({ yaxis }) => yaxis === line.yaxis);
  const closeness = lines.find((line) => panelOf(line).length === 1)?.y ?? []; // the term that IVLP lacks
  expect(closeness[1]).toBeLessThan(closeness[0]);
});

it("a term that is not a number is an error that says so", async () => {
  const wide = promptLearner(
    { name: "wide", title: "wide", source: "test" },
    independent,
    objective({
      settings: {},
      create: () => ({
        terms:
          () =>
          ({ logits }) => ({ total: logits }),
      }),
    }),
  );
  await expect(ablation({ ...common(), seeds: [1], variants: { wide } }).run()).rejects.toThrow(
    /the loss term "total" has the shape \[\d+,\d+\]; it must be one number/,
  );
});

it("takes a shipped ablation, and refuses a reference that is no variant and a setting that does not exist", () => {
  const shipped = ablation({ ...ablations.components, clip, datasets, seeds: [1], results });
  expect(shipped.status()).toContain("Components: 0 of 4 runs are stored");
  expect(() => ablation({ ...common(), seeds: [1], variants: { short }, reference: "long" })).toThrow(
    'the reference "long" is none of the variants short',
  );
  const wrong = { short: (config: Config) => ({ ...config, epoch: 2 }) };
  expect(() => ablation({ ...common(), seeds: [1], variants: wrong })).toThrow('has no setting "epoch"');
});
