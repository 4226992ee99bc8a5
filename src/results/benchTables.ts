/** The bench's tables, from its records. */

import { existsSync, readFileSync } from "node:fs";
import { type BenchFile, type BenchRecord, type ProfiledOperation, sweep, type Where } from "./benchFile";
import type { Table } from "./table";

type Wanted = Partial<BenchRecord>;
const matching = (records: BenchRecord[], wanted: Wanted): BenchRecord[] =>
  records.filter((record) =>
    Object.entries(wanted).every(([key, value]) => record[key as keyof BenchRecord] === value),
  );
const shapeOf = ({ model, classes, batch, depth, nameTokens }: BenchRecord): Wanted => ({
  model,
  classes,
  batch,
  depth,
  nameTokens,
});
const gigabytes = (record?: BenchRecord) => record && record.peakBytes / 1e9;
const ratio = (a?: number, b?: number) => (a !== undefined && b !== undefined ? a / b : undefined);

/** Operations a second of the large product: what a side could reach at most. */
const rate = (records: BenchRecord[], where: Where) => matching(records, { where, what: "matmul" })[0]?.flopsPerSecond;

/** Steps at the paper's settings: time, memory, and how far the step is from its matrix products at the machine's full rate. */
export function stepsTable({ records }: BenchFile): Table {
  const all = matching(records, { where: "ours", what: "step", phase: "step" });
  const shown = all.filter(
    ({ model, batch, depth, nameTokens }) =>
      model === "mini-clip" || (batch === 4 && depth === 9 && nameTokens === 2.5),
  );
  shown.sort((a, b) => `${a.model}`.localeCompare(`${b.model}`) || Number(a.classes) - Number(b.classes));
  const perSecond = rate(records, "ours");
  const rows = shown.map((our) => {
    const [peer] = matching(records, { ...shapeOf(our), where: "pytorch", what: "step", phase: "step" });
    const limit = perSecond && our.flopsNeeded ? our.flopsNeeded / perSecond : undefined;
    return {
      model: `${our.model}`,
      classes: our.classes,
      seconds: our.seconds,
      peer: peer?.seconds,
      faster: ratio(peer?.seconds, our.seconds),
      memory: gigabytes(our),
      peerMemory: gigabytes(peer),
      smaller: ratio(our.peakBytes, peer?.peakBytes),
      gigaflops: our.flopsNeeded && our.flopsNeeded / 1e9,
      official: our.flopsOfficial && our.flopsOfficial / 1e9,
      limit,
      distance: ratio(our.seconds, limit),
    };
  });
  return {
    title: "One training step of PromptSRC (batch 4, mini-clip 32)",
    columns: [
      { key: "model", title: "model" },
      { key: "classes", title: "classes", digits: 0 },
      { key: "seconds", title: "ours s", digits: 3 },
      { key: "peer", title: "PyTorch s", digits: 3 },
      { key: "faster", title: "times faster", digits: 2 },
      { key: "memory", title: "ours GB", digits: 2 },
      { key: "peerMemory", title: "PyTorch GB", digits: 2 },
      { key: "smaller", title: "share", digits: 2 },
      { key: "gigaflops", title: "GFLOP needed", digits: 0 },
      { key: "official", title: "official way", digits: 0 },
      { key: "limit", title: "limit s", digits: 3 },
      { key: "distance", title: "ours / limit", digits: 2 },
    ],
    rows,
    note: `Median; peak resident memory of the whole process. Limit: the matrix products that must be done, at the rate of one large product${perSecond ? ` (${(perSecond / 1e9).toFixed(0)} GFLOP/s)` : ""}.`,
  };
}

/** Where a step's time and memory go: parts of the step, and each tower alone. */
export function phasesTable({ records }: BenchFile): Table {
  const ours = records.filter(
    ({ where, what, phase }) =>
      where === "ours" && phase !== "step" && ["step", "text", "image", "frozen"].includes(what),
  );
  const split = ours.filter((our) =>
    matching(records, { ...shapeOf(our), where: "ours" }).some(({ what }) => what === "text"),
  );
  const names: Record<string, string> = {
    step: "whole step",
    text: "text tower alone",
    image: "image tower alone",
    frozen: "frozen image pass alone",
  };
  const rows = split.map((our) => {
    const [peer] = matching(records, { ...shapeOf(our), where: "pytorch", what: our.what, phase: our.phase });
    return {
      setting: `${our.model}, ${our.classes} classes`,
      part: names[our.what],
      phase: our.phase,
      seconds: our.seconds,
      peer: peer?.seconds,
      memory: gigabytes(our),
      peerMemory: gigabytes(peer),
    };
  });
  return {
    title: "By tower and phase",
    groupBy: "setting",
    columns: [
      { key: "setting", title: "" },
      { key: "part", title: "part" },
      { key: "phase", title: "phase" },
      { key: "seconds", title: "ours s", digits: 3 },
      { key: "peer", title: "PyTorch s", digits: 3 },
      { key: "memory", title: "ours GB", digits: 2 },
      { key: "peerMemory", title: "PyTorch GB", digits: 2 },
    ],
    rows,
    note: "Each part ran in a process of its own; its peak memory includes the model's weights.",
  };
}

/** Pictures a second in testing. */
export function evaluationTable({ records }: BenchFile): Table {
  const rows = matching(records, { where: "ours", what: "evaluation", phase: "batch" }).map((our) => {
    const find = (where: Where, phase: string) =>
      matching(records, { ...shapeOf(our), where, what: "evaluation", phase })[0];
    const perSecond = (record?: BenchRecord) => record && (record.batch as number) / record.seconds;
    const [kept, official] = [find("pytorch", "batch"), find("pytorch", "batch with class features")];
    return {
      model: `${our.model}`,
      classes: our.classes,
      ours: perSecond(our),
      official: perSecond(official),
      faster: ratio(perSecond(our), perSecond(official)),
      kept: perSecond(kept),
      fasterKept: ratio(perSecond(our), perSecond(kept)),
      classFeatures: find("ours", "class features")?.seconds,
      peerFeatures: find("pytorch", "class features")?.seconds,
      memory: gigabytes(our),
      peerMemory: gigabytes(kept),
    };
  });
  return {
    title: "Testing, pictures a second (batches of 100)",
    columns: [
      { key: "model", title: "model" },
      { key: "classes", title: "classes", digits: 0 },
      { key: "ours", title: "ours", digits: 2 },
      { key: "official", title: "PyTorch", digits: 2 },
      { key: "faster", title: "times faster", digits: 2 },
      { key: "kept", title: "PyTorch, text kept", digits: 2 },
      { key: "fasterKept", title: "times faster", digits: 2 },
      { key: "classFeatures", title: "class features: ours s", digits: 2 },
      { key: "peerFeatures", title: "PyTorch s", digits: 2 },
      { key: "memory", title: "ours GB", digits: 2 },
      { key: "peerMemory", title: "PyTorch GB", digits: 2 },
    ],
    rows,
    note: "The official code encodes the classes anew for every batch: column PyTorch. Ours does it once; so does the column with the text kept.",
  };
}

/** Time and memory as one thing changes. */
export function sweepTable({ records }: BenchFile): Table {
  const fixed = { model: "ViT-B/16", classes: 50, batch: 4, depth: 9, nameTokens: 2.5 };
  const steps = matching(records, { what: "step", phase: "step" });
  const rows = Object.entries(sweep).flatMap(([key, { ours: values }]) => {
    const lines = values.flatMap((value) => {
      const of = (where: Where) => matching(steps, { ...fixed, [key]: value, where })[0];
      const [our, peer] = [of("ours"), of("pytorch")];
      if (!our) return [];
      const changed = key === "nameTokens" ? "tokens of a name" : key;
      const range = {
        fastest: our.fastest,
        slowest: our.slowest,
        peerFastest: peer?.fastest,
        peerSlowest: peer?.slowest,
      };
      return [
        {
          changed,
          value,
          seconds: our.seconds,
          peerSeconds: peer?.seconds,
          memory: gigabytes(our),
          peerMemory: gigabytes(peer),
          ...range,
        },
      ];
    });
    return lines.length > 1 ? lines : []; // a single point shows no change
  });
  return {
    title: "Cost of a step as one thing changes (else 50 classes, batch 4, depth 9, names of 2.5 tokens)",
    groupBy: "changed",
    columns: [
      { key: "changed", title: "" },
      { key: "value", title: "", digits: 0 },
      { key: "seconds", title: "ours s", digits: 2 },
      { key: "peerSeconds", title: "PyTorch s", digits: 2 },
      { key: "memory", title: "ours GB", digits: 2 },
      { key: "peerMemory", title: "PyTorch GB", digits: 2 },
    ],
    rows,
  };
}

/** The operations that take the time of a step. */
export function profileTable(model: string, classes: number, operations: ProfiledOperation[]): Table {
  const all = operations.reduce((sum, { seconds }) => sum + seconds, 0);
  return {
    title: `Operations of a step, ${model}, ${classes} classes`,
    columns: [
      { key: "name", title: "operation" },
      { key: "calls", title: "calls", digits: 0 },
      { key: "seconds", title: "s", digits: 3 },
      { key: "share", title: "%", digits: 0 },
      { key: "rate", title: "GFLOP/s", digits: 0 },
    ],
    rows: operations.slice(0, 8).map(({ name, calls, seconds, flops }) => ({
      name,
      calls,
      seconds,
      share: (100 * seconds) / all,
      rate: flops > 0 ? flops / seconds / 1e9 : undefined,
    })),
  };
}

/** What `npm run bench` wrote to this file; undefined where there is none yet. */
export const readBench = (file: string): BenchFile | undefined =>
  existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as BenchFile) : undefined;
