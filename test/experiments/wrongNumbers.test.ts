/** Regression tests: each kind of wrong number that the kit once stored or reported. */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { baseToNovel, baseToNovelJobs, scoresOfRows } from "../../src/benchmarks/baseToNovel";
import { fewShot } from "../../src/benchmarks/fewShot";
import { tokenise } from "../../src/clip/fast/suffixes";
import { disposeClip, loadClip } from "../../src/clip/load";
import type { Clip } from "../../src/clip/model";
import { put, settingsOf } from "../../src/configs/change";
import { testBatches } from "../../src/datasets/pictures";
import { type Dataset, loadDataset } from "../../src/datasets/split";
import { scale } from "../../src/engine/autograd";
import { tf } from "../../src/engine/tf";
import { rowsOf } from "../../src/experiments/job";
import { type GridResult, runGrid } from "../../src/experiments/runner";
import { trainTestJob } from "../../src/experiments/trainAndEvaluate";
import { sentenceIds } from "../../src/methods/coop";
import { independent } from "../../src/methods/ivlp";
import { crossEntropy } from "../../src/methods/losses";
import { configFor, type Method, type Settings, schemaOf } from "../../src/methods/method";
import { objective, promptLearner } from "../../src/methods/promptLearner";
import { fillTemplate, promptSentence } from "../../src/methods/prompts";
import { methodNamed, methods } from "../../src/methods/registry";
import { loadPaper } from "../../src/results/paper";
import { summarise, summariseAverage } from "../../src/results/statistics";
import { tableHtml, tableText } from "../../src/results/table";
import { escapeHtml } from "../../src/util/escape";
import { numericsVersion } from "../../src/util/numerics";
import { seeded } from "../../src/util/random";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";

let folder: string;
let clip: Clip;
let dataset: Dataset;
beforeAll(async () => {
  folder = temporaryFolder("wrong");
  await drawShapes(join(folder, "shapes"));
  dataset = loadDataset(join(folder, "shapes"));
  clip = await loadClip("test/golden");
});
afterAll(() => {
  disposeClip(clip);
});

const short = (config: Settings): Settings => ({
  ...config,
  epochs: 1,
  batch: 8,
  ...(config.textTargetTemplates && { textTargetTemplates: config.textTargetTemplates.slice(0, 2) }),
});
const jobs = (method: Method, change: (config: Settings) => Settings = short, shots = [1]) =>
  baseToNovelJobs({ clip, datasets: [dataset], methods: [method], seeds: [1], shots, change });

/** Runs jobs. @returns the result with the reported stages and messages */
async function runAll(
  selectedJobs: ReturnType<typeof jobs>,
  root: string,
): Promise<GridResult & { stages: string[]; messages: string }> {
  const [stages, messages]: string[][] = [[], []];
  const meter = {
    report: ({ stage }: { stage: string }) => stages.push(stage),
    say: (line: string) => messages.push(line),
    done() {},
  };
  return {
    ...(await runGrid(selectedJobs, {
      meter,
      provenance: { kit: "0", engine: "a test's", numerics: numericsVersion(), versions: {} },
      root,
    })),
    stages,
    messages: messages.join("\n"),
  };
}
const hasTrained = ({ stages }: { stages: string[] }) => stages.some((stage) => stage.startsWith("epoch"));

describe("a stored training run is reused only for the settings it was trained with", () => {
  it.each(["kgcoop", "prograd", "vision"])("%s trains again with another zero-shot sentence", async (name) => {
    const root = join(folder, `sentence-${name}`);
    const sentence = (text: string) => (config: Settings) => ({ ...short(config), zeroShotTemplates: [text] });
    await runAll(jobs(methodNamed(name), sentence("a photo of a {}.")), root);
    const secondSentence = await runAll(jobs(methodNamed(name), sentence("the blurry {}.")), root);
    expect(hasTrained(secondSentence)).toBe(true);
    const fresh = await runAll(jobs(methodNamed(name), sentence("the blurry {}.")), join(root, "apart"));
    expect(secondSentence.runs[0].epochs).toEqual(fresh.runs[0].epochs);
  });
});

/** A different valid value of a setting. */
function changedValue(value: unknown): unknown {
  if (typeof value === "number") return Number.isInteger(value) ? value + 1 : value / 2;
  if (typeof value === "boolean") return !value;
  if (typeof value === "string") return { end: "front", l1: "mse" }[value] ?? `${value} big`;
  if (Array.isArray(value))
    return typeof value[0] === "string" ? [...value, "one {}."] : [(value[0] as number) / 2, value[1]];
  return null;
}

const trainedKey = (method: Method, change: (config: Settings) => Settings) =>
  fewShot.jobs({ clip, datasets: [dataset], methods: [method], seeds: [1], shots: [1], change })[0].training?.key;

describe.each(
  Object.values(methods)
    .filter(({ trainable }) => trainable)
    .map((method) => [method.name, method] as const),
)("each setting of %s", (_, method) => {
  it("leads to a different training run, except the ensemble, which training does not read", async () => {
    const config = configFor(method, "paper", "baseToNovel");
    const shared: string[] = [];
    for (const { key } of settingsOf(schemaOf(method))) {
      const path = key.split(".");
      const value = path.reduce<Settings | undefined>((part, name) => part?.[name], config);
      // the fields of a record are changed one by one
      if (value === undefined || (value?.constructor === Object && key !== "ensemble")) continue;
      const change = (before: Settings): Settings =>
        put(before, key, JSON.stringify(changedValue(value)).replace(/^"|"$/g, ""));
      if (trainedKey(method, change) === trainedKey(method, (before) => before)) shared.push(key);
    }
    expect(
      shared.filter((key) => key in method.settings.shape || method.settings.shape[key.split(".")[0]] !== undefined),
    ).toEqual([]);
    expect(shared.every((key) => key.startsWith("ensemble"))).toBe(true);
  });
});

it("runs that differ only in the ensemble have the same losses in every epoch", async () => {
  const epochsOf = async (ensemble: Settings["ensemble"]) => {
    const change = (config: Settings) => ({ ...short(config), epochs: 2, ensemble });
    const { runs } = await runAll(
      jobs(methods.promptsrc, change),
      join(folder, `ensemble-${JSON.stringify(ensemble).length}`),
    );
    return runs[0].epochs;
  };
  expect(await epochsOf(null)).toEqual(await epochsOf({ mean: 1, std: 1 }));
});

describe("a method that is not in the kit's registry", () => {
  const unregistered = (factor: number, version?: string): Method => ({
    ...promptLearner(
      { name: "mine", title: "Mine", source: "a test" },
      independent,
      objective({
        settings: {},
        create: () => ({
          terms:
            () =>
            ({ logits, truth }) => {
              const ce = scale(crossEntropy(logits, truth), factor);
              return { ce, total: ce };
            },
        }),
      }),
    ),
    version,
  });

  it("is computed every time, with a message", async () => {
    const root = join(folder, "cell");
    const first = await runAll(jobs(unregistered(1)), root);
    const changed = await runAll(jobs(unregistered(-1)), root);
    expect([hasTrained(first), hasTrained(changed), changed.reused]).toEqual([true, true, []]);
    expect(changed.messages).toContain("mine: neither in the registry");
    expect(Math.sign(changed.runs[0].epochs[0].losses.ce)).toBe(-1);
  });

  it("is stored if it has a version, and computed again for another version", async () => {
    const root = join(folder, "versions");
    await runAll(jobs(unregistered(1, "1")), root);
    expect((await runAll(jobs(unregistered(1, "1")), root)).reused).toHaveLength(1);
    const next = await runAll(jobs(unregistered(-1, "2")), root);
    expect([next.reused.length, hasTrained(next)]).toEqual([0, true]);
  });

  it("does not get the stored runs of a registered method with the same name", async () => {
    const root = join(folder, "namesake");
    await runAll(jobs(methods.ivlp), root);
    expect((await runAll(jobs({ ...unregistered(1), name: "ivlp" }), root)).reused).toEqual([]);
  });
});

describe("averages are over seeds only", () => {
  it("the base-to-novel table has one row per number of shots", async () => {
    const shotsJobs = jobs(methods.ivlp, short, [1, 4]);
    const { runs } = await runAll(shotsJobs, join(folder, "shots"));
    const rows = rowsOf(shotsJobs, runs);
    const [table] = baseToNovel.tables(rows, [methods.ivlp], loadPaper());
    expect(table.rows.map((row) => row.method)).toEqual(["IVLP, 1 shot", "IVLP, 4 shots"]);
    expect(() => summarise(scoresOfRows(rows))).toThrow("differ in shots");
  });

  it("two runs with the same seed, or of different splits, are an error", () => {
    const score = (seed: number, setting?: string) => ({ dataset: "a", seed, base: 50, novel: 50, setting });
    expect(() => summarise([score(1), score(1)])).toThrow("seed 1 stands twice");
    expect(() => summariseAverage([score(1, '{"split":"renders"}'), score(2, '{"split":"disjoint"}')])).toThrow(
      "differ in split",
    );
  });
});

describe("CoOp's context follows its settings", () => {
  const words = "a centered satellite photo of";
  const idsOf = (text: string) => tokenise(clip, text).slice(1, -1);
  const settings = (text: number, contextInit: string) => ({
    tokens: { text },
    contextInit,
    coop: { position: "end", classSpecific: false },
  });

  it.each(["coop", "cocoop", "kgcoop", "prograd"])(
    "%s is initialised with all words of contextInit, also more than 4",
    (name) => {
      const count = idsOf(words).length;
      expect(count).toBeGreaterThan(4);
      const contexts = [1, 2].map((seed) => {
        const params = methodNamed(name).init({
          clip,
          classNames: ["cat", "dog"],
          config: settings(count, words),
          seed,
        });
        const values = [...params.ctx.dataSync()];
        tf.dispose(params);
        return values;
      });
      expect(contexts[0]).toEqual(contexts[1]); // random noise would depend on the seed
      const last = tf.tidy(() => [...tf.slice(clip.text.tokens, [idsOf(words)[count - 1], 0], [1, -1]).dataSync()]);
      expect(contexts[0].slice(-last.length)).toEqual(last);
    },
  );

  it.each([4, 3, 2])("with %i context tokens, the class name moves and surplus words stay after the context", (P) => {
    const config = settings(P, "a photo of a");
    const [name, stop] = [idsOf("hot dog"), tokenise(clip, "hot dog.").slice(-2)];
    const context = Array.from({ length: P }, (_, slot) => ({ slot }));
    const surplusWords = idsOf("a photo of a").slice(P);
    const start = tokenise(clip, "hot dog")[0];
    const half = Math.floor(P / 2);
    const ids = (position: "end" | "middle" | "front") => sentenceIds({ clip, config }, "hot dog", position);
    expect(ids("end")).toEqual([start, ...context, ...surplusWords, ...name, ...stop]);
    expect(ids("front")).toEqual([start, ...name, ...context, ...surplusWords, ...stop]);
    expect(ids("middle")).toEqual([
      start,
      ...context.slice(0, half),
      ...name,
      ...context.slice(half),
      ...surplusWords,
      ...stop,
    ]);
  });
});

describe("cached pictures and changed files", () => {
  const files = (): string[] => [
    join(folder, "shapes/images/red_circle/8.png"),
    join(folder, "shapes/images/blue_square/8.png"),
  ];

  it("replacing a picture file changes the dataset's fingerprint, also if the size is the same", async () => {
    const [file, otherFile] = files();
    const first = async (items: Dataset["test"]) => (await testBatches(items, clip.preprocess, 1).next()).value?.pixels;
    const item = (from: Dataset) => from.test.filter(({ path }) => path === file);
    const before = await first(item(dataset));
    const backup = join(folder, "kept.png");
    copyFileSync(file, backup);
    copyFileSync(otherFile, file);
    const changed = loadDataset(join(folder, "shapes"));
    expect(changed.fingerprint).not.toBe(dataset.fingerprint);
    expect(await first(item(changed))).toEqual(await first(changed.test.filter(({ path }) => path === otherFile)));
    expect(await first(item(dataset))).toEqual(before); // `dataset`, loaded before the change, has its cached picture
    const unread = { ...item(dataset)[0], hash: "another" };
    await expect(first([unread])).rejects.toThrow("changed since its dataset was loaded");
    copyFileSync(backup, file);
    expect(loadDataset(join(folder, "shapes")).fingerprint).toBe(dataset.fingerprint);
  });
});

describe("class names with special characters", () => {
  it.each(["$&", "$1 $$", "{}", "100% \\d+", "a|b,c\"d'<e>&f"])("%s is inserted into a template unchanged", (name) => {
    expect(fillTemplate("a photo of a {}.", name)).toBe(`a photo of a ${name}.`);
  });

  it("random names are unchanged in templates, prompts, tables and (decoded) HTML", () => {
    const random = seeded("odd names");
    const alphabet = [..."abc XYZ09$&{}<>\"'`\\|,;%^~\u00e9\u4e2d\ufb01\u2019"];
    const decoded = (html: string) => html.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)));
    for (let k = 0; k < 300; k++) {
      const name = Array.from({ length: 1 + random.int(12) }, () => random.pick(alphabet)).join("");
      expect(fillTemplate("a photo of a {}, one {}.", name)).toBe(`a photo of a ${name}, one ${name}.`);
      expect(promptSentence({ tokens: { text: 4 }, contextInit: "a photo of a" }, name)).toBe(`a photo of a ${name}.`);
      const html = escapeHtml(name);
      expect([decoded(html), /[<>"']/.test(html)]).toEqual([name, false]);
      const table = { title: name, columns: [{ key: "class", title: name }], rows: [{ class: name }] };
      expect(decoded(tableHtml(table)).split(name).length).toBeGreaterThanOrEqual(4);
      expect(tableText(table).split("\n").at(-1)?.trimEnd()).toBe(name.trimEnd());
    }
  });

  it("two lists of class names that are equal when joined by commas are different classes", () => {
    const [datasetA, datasetB] = [
      ["a,b", "c"],
      ["a", "b,c"],
    ].map((classNames) => ({ ...dataset, classNames }));
    const job = (target: Dataset) =>
      trainTestJob(
        { clip, datasets: [dataset], methods: [methods.probe], seeds: [1] },
        {
          benchmark: "few-shot",
          method: methods.probe,
          seed: 1,
          config: {},
          source: { dataset: datasetA as Dataset, classes: "all", shots: 1 },
          target,
          tests: { accuracy: target },
          metrics: (accuracies) => accuracies,
        },
      );
    expect(() => job(datasetB as Dataset)).toThrow("answers with the classes that it was trained on");
  });
});
