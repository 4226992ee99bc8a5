/** Numbers that were stored wrongly once, each by its kind. */

import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { baseToNovel, baseToNovelJobs, scoresOfRows } from "../../src/benchmarks/baseToNovel";
import { fewShot } from "../../src/benchmarks/fewShot";
import { tokenise } from "../../src/clip/fast/text";
import { disposeClip, loadClip } from "../../src/clip/load";
import type { Clip } from "../../src/clip/model";
import { put, settingsOf } from "../../src/configs/change";
import { testBatches } from "../../src/datasets/pictures";
import { type Dataset, loadDataset } from "../../src/datasets/split";
import { scale } from "../../src/engine/autograd";
import { tf } from "../../src/engine/tf";
import { type GridResult, rowsOf, runGrid } from "../../src/experiments/runner";
import { trainTestJob } from "../../src/experiments/trainAndEvaluate";
import { sentenceIds } from "../../src/methods/coop";
import { independent } from "../../src/methods/ivlp";
import { crossEntropy } from "../../src/methods/losses";
import { configFor, type Method, type Settings, schemaOf } from "../../src/methods/method";
import { objective, promptLearner } from "../../src/methods/promptLearner";
import { fillTemplate, promptSentence } from "../../src/methods/prompts";
import { methods } from "../../src/methods/registry";
import { loadPaper } from "../../src/results/paper";
import { summarise, summariseAverage } from "../../src/results/statistics";
import { tableHtml, tableText } from "../../src/results/table";
import { escapeHtml } from "../../src/util/escape";
import { numericsVersion } from "../../src/util/numerics";
import { seeded } from "../../src/util/random";
import { drawShapes } from "../shapes";

let folder: string;
let clip: Clip;
let dataset: Dataset;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "wrong-"));
  await drawShapes(join(folder, "shapes"));
  dataset = loadDataset(join(folder, "shapes"));
  clip = await loadClip("test/golden");
});
afterAll(() => {
  disposeClip(clip);
  rmSync(folder, { recursive: true, force: true });
});

const short = (config: Settings): Settings => ({
  ...config,
  epochs: 1,
  batch: 8,
  ...(config.textTargetTemplates && { textTargetTemplates: config.textTargetTemplates.slice(0, 2) }),
});
const jobs = (method: Method, change: (config: Settings) => Settings = short, shots = [1]) =>
  baseToNovelJobs({ clip, datasets: [dataset], methods: [method], seeds: [1], shots, change });

/** Runs them, and says how many training steps it took. */
async function runAll(
  which: ReturnType<typeof jobs>,
  root: string,
): Promise<GridResult & { stages: string[]; said: string }> {
  const [stages, said]: string[][] = [[], []];
  const meter = {
    report: ({ stage }: { stage: string }) => stages.push(stage),
    say: (line: string) => said.push(line),
    done() {},
  };
  return {
    ...(await runGrid(which, {
      meter,
      provenance: { kit: "0", engine: "a test's", numerics: numericsVersion(), versions: {} },
      root,
    })),
    stages,
    said: said.join("\n"),
  };
}
const trained = ({ stages }: { stages: string[] }) => stages.some((stage) => stage.startsWith("epoch"));

describe("a stored training serves only what it was trained for", () => {
  it.each(["kgcoop", "prograd", "vision"])("%s trains anew with another zero-shot sentence", async (name) => {
    const root = join(folder, `sentence-${name}`);
    const sentence = (text: string) => (config: Settings) => ({ ...short(config), zeroShotTemplates: [text] });
    await runAll(jobs(methods[name], sentence("a photo of a {}.")), root);
    const other = await runAll(jobs(methods[name], sentence("the blurry {}.")), root);
    expect(trained(other)).toBe(true);
    const apart = await runAll(jobs(methods[name], sentence("the blurry {}.")), join(root, "apart"));
    expect(other.runs[0].epochs).toEqual(apart.runs[0].epochs);
  });
});

/** Another value of a setting, within its range. */
function another(value: unknown): unknown {
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
  it("makes another training, or is one that no training can read", async () => {
    const config = configFor(method, "paper", "baseToNovel");
    const shared: string[] = [];
    for (const { key } of settingsOf(schemaOf(method))) {
      const path = key.split(".");
      const value = path.reduce<Settings | undefined>((part, name) => part?.[name], config);
      if (value === undefined || (value?.constructor === Object && key !== "ensemble")) continue; // a record is changed in its parts
      const change = (before: Settings): Settings =>
        put(before, key, JSON.stringify(another(value)).replace(/^"|"$/g, ""));
      if (trainedKey(method, change) === trainedKey(method, (before) => before)) shared.push(key);
    }
    expect(
      shared.filter((key) => key in method.settings.shape || method.settings.shape[key.split(".")[0]] !== undefined),
    ).toEqual([]);
    expect(shared.every((key) => key.startsWith("ensemble"))).toBe(true);
  });
});

it("runs that differ in the ensemble alone have one trajectory", async () => {
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

describe("a method that is not the kit's own", () => {
  const own = (factor: number, version?: string): Method => ({
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

  it("is computed each time, and says so", async () => {
    const root = join(folder, "cell");
    const first = await runAll(jobs(own(1)), root);
    const changed = await runAll(jobs(own(-1)), root);
    expect([trained(first), trained(changed), changed.reused]).toEqual([true, true, []]);
    expect(changed.said).toContain("mine: not in the registry");
    expect(Math.sign(changed.runs[0].epochs[0].losses.ce)).toBe(-1);
  });

  it("is stored under the version that it gives", async () => {
    const root = join(folder, "versions");
    await runAll(jobs(own(1, "1")), root);
    expect((await runAll(jobs(own(1, "1")), root)).reused).toHaveLength(1);
    const next = await runAll(jobs(own(-1, "2")), root);
    expect([next.reused.length, trained(next)]).toEqual([0, true]);
  });

  it("does not take the place of a method of the kit with the same name", async () => {
    const root = join(folder, "namesake");
    await runAll(jobs(methods.ivlp), root);
    expect((await runAll(jobs({ ...own(1), name: "ivlp" }), root)).reused).toEqual([]);
  });
});

describe("only seeds are averaged", () => {
  it("base-to-novel with several numbers of shots has a row for each", async () => {
    const all = jobs(methods.ivlp, short, [1, 4]);
    const { runs } = await runAll(all, join(folder, "shots"));
    const rows = rowsOf(all, runs);
    const [table] = baseToNovel.tables(rows, [methods.ivlp], loadPaper());
    expect(table.rows.map((row) => row.method)).toEqual(["IVLP, 1 shot", "IVLP, 4 shots"]);
    expect(() => summarise(scoresOfRows(rows))).toThrow("differ in shots");
  });

  it("neither are two runs of one seed", () => {
    const score = (seed: number, setting?: string) => ({ dataset: "a", seed, base: 50, novel: 50, setting });
    expect(() => summarise([score(1), score(1)])).toThrow("seed 1 stands twice");
    expect(() => summariseAverage([score(1, '{"split":"renders"}'), score(2, '{"split":"disjoint"}')])).toThrow(
      "differ in split",
    );
  });
});

describe("CoOp's context is what its settings say", () => {
  const words = "a centered satellite photo of";
  const idsOf = (text: string) => tokenise(clip, text).slice(1, -1);
  const settings = (text: number, contextInit: string) => ({
    tokens: { text },
    contextInit,
    coop: { position: "end", classSpecific: false },
  });

  it.each(["coop", "cocoop", "kgcoop", "prograd"])("%s starts from all of its words, however many they are", (name) => {
    const count = idsOf(words).length;
    expect(count).toBeGreaterThan(4);
    const contexts = [1, 2].map((seed) => {
      const params = methods[name].init({ clip, classNames: ["cat", "dog"], config: settings(count, words), seed });
      const values = [...params.ctx.dataSync()];
      tf.dispose(params);
      return values;
    });
    expect(contexts[0]).toEqual(contexts[1]); // noise would differ by the seed
    const last = tf.tidy(() => [...tf.slice(clip.text.tokens, [idsOf(words)[count - 1], 0], [1, -1]).dataSync()]);
    expect(contexts[0].slice(-last.length)).toEqual(last);
  });

  it.each([4, 3, 2])("a context of %i tokens: the name moves, and left-over words stay behind the context", (P) => {
    const config = settings(P, "a photo of a");
    const [name, stop] = [idsOf("hot dog"), tokenise(clip, "hot dog.").slice(-2)];
    const context = Array.from({ length: P }, (_, slot) => ({ slot }));
    const rest = idsOf("a photo of a").slice(P);
    const start = tokenise(clip, "hot dog")[0];
    const half = Math.floor(P / 2);
    const ids = (position: "end" | "middle" | "front") => sentenceIds({ clip, config }, "hot dog", position);
    expect(ids("end")).toEqual([start, ...context, ...rest, ...name, ...stop]);
    expect(ids("front")).toEqual([start, ...name, ...context, ...rest, ...stop]);
    expect(ids("middle")).toEqual([
      start,
      ...context.slice(0, half),
      ...name,
      ...context.slice(half),
      ...rest,
      ...stop,
    ]);
  });
});

describe("pictures are what is in their files", () => {
  const files = (): string[] => [
    join(folder, "shapes/images/red_circle/8.png"),
    join(folder, "shapes/images/blue_square/8.png"),
  ];

  it("a picture that another takes the place of changes the fingerprint, whatever its size", async () => {
    const [one, other] = files();
    const first = async (items: Dataset["test"]) => (await testBatches(items, clip.preprocess, 1).next()).value?.pixels;
    const item = (from: Dataset) => from.test.filter(({ path }) => path === one);
    const before = await first(item(dataset));
    const kept = join(folder, "kept.png");
    copyFileSync(one, kept);
    copyFileSync(other, one);
    const changed = loadDataset(join(folder, "shapes"));
    expect(changed.fingerprint).not.toBe(dataset.fingerprint);
    expect(await first(item(changed))).toEqual(await first(changed.test.filter(({ path }) => path === other)));
    expect(await first(item(dataset))).toEqual(before); // read before: what the fingerprint of `dataset` means
    const unread = { ...item(dataset)[0], hash: "another" };
    await expect(first([unread])).rejects.toThrow("changed since its dataset was loaded");
    copyFileSync(kept, one);
    expect(loadDataset(join(folder, "shapes")).fingerprint).toBe(dataset.fingerprint);
  });
});

describe("a class name is data", () => {
  it.each(["$&", "$1 $$", "{}", "100% \\d+", "a|b,c\"d'<e>&f"])("%s survives a template", (name) => {
    expect(fillTemplate("a photo of a {}.", name)).toBe(`a photo of a ${name}.`);
  });

  it("whatever it holds, templates, prompts and HTML give it back", () => {
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

  it("two lists of names that read the same when joined are not the same classes", () => {
    const [one, two] = [
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
          source: { dataset: one as Dataset, classes: "all", shots: 1 },
          target,
          tests: { accuracy: target },
          metrics: (accuracies) => accuracies,
        },
      );
    expect(() => job(two as Dataset)).toThrow("answers with the classes that it was trained on");
  });
});
