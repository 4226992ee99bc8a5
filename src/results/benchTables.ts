/** Tables of the bench, made from its records. */

import { existsSync, readFileSync } from "node:fs";
import { type BenchFile, type BenchRecord, type ProfiledOperation, peers, sweep, type Where } from "./benchFile";
import type { Table } from "./table";

type RecordFilter = Partial<BenchRecord>;
const matching = (records: BenchRecord[], filter: RecordFilter): BenchRecord[] =>
  records.filter((record) =>
    Object.entries(filter).every(([key, value]) => record[key as keyof BenchRecord] === value),
  );
const shapeOf = ({ model, classes, batch, depth, nameTokens }: BenchRecord): RecordFilter => ({
  model,
  classes,
  batch,
  depth,
  nameTokens,
});
const gigabytes = (record?: BenchRecord) => record && record.peakBytes / 1e9;
const ratio = (a?: number, b?: number) => (a !== undefined && b !== undefined ? a / b : undefined);

/** Operations per second of one large matrix product: the highest rate that an implementation could reach. */
const matmulRate = (records: BenchRecord[], where: Where) =>
  matching(records, { where, what: "matmul" })[0]?.flopsPerSecond;

/**
 * Training steps at the paper's settings: time, memory, and the step's time relative to its matrix products at the
 * machine's full rate.
 */
export function stepsTable({ records }: BenchFile): Table {
  const steps = matching(records, { where: "ours", what: "step", phase: "step" });
  const selected = steps.filter(
    ({ model, batch, depth, nameTokens }) =>
      model === "mini-clip" || (batch === 4 && depth === 9 && nameTokens === 2.5),
  );
  selected.sort((a, b) => `${a.model}`.localeCompare(`${b.model}`) || Number(a.classes) - Number(b.classes));
  const perSecond = matmulRate(records, "ours");
  const rows = selected.map((step) => {
    const [pytorch] = matching(records, { ...shapeOf(step), where: "pytorch", what: "step", phase: "step" });
    const limit = perSecond && step.flopsNeeded ? step.flopsNeeded / perSecond : undefined;
    return {
      model: `${step.model}`,
      classes: step.classes,
      seconds: step.seconds,
      peer: pytorch?.seconds,
      faster: ratio(pytorch?.seconds, step.seconds),
      memory: gigabytes(step),
      peerMemory: gigabytes(pytorch),
      smaller: ratio(step.peakBytes, pytorch?.peakBytes),
      gigaflops: step.flopsNeeded && step.flopsNeeded / 1e9,
      official: step.flopsOfficial && step.flopsOfficial / 1e9,
      limit,
      distance: ratio(step.seconds, limit),
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

/** Time and memory of a step by phase, and those of each encoder alone. */
export function phasesTable({ records }: BenchFile): Table {
  const phases = records.filter(
    ({ where, what, phase }) =>
      where === "ours" && phase !== "step" && ["step", "text", "image", "frozen"].includes(what),
  );
  // Only shapes for which the encoders were also measured alone.
  const selected = phases.filter((phase) =>
    matching(records, { ...shapeOf(phase), where: "ours" }).some(({ what }) => what === "text"),
  );
  const partTitles: Record<string, string> = {
    step: "whole step",
    text: "text tower alone",
    image: "image tower alone",
    frozen: "frozen image pass alone",
  };
  const rows = selected.map((record) => {
    const [pytorch] = matching(records, {
      ...shapeOf(record),
      where: "pytorch",
      what: record.what,
      phase: record.phase,
    });
    return {
      setting: `${record.model}, ${record.classes} classes`,
      part: partTitles[record.what],
      phase: record.phase,
      seconds: record.seconds,
      peer: pytorch?.seconds,
      memory: gigabytes(record),
      peerMemory: gigabytes(pytorch),
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
    note: "Each part ran in its own process; its peak memory includes the model's weights.",
  };
}

/** Images per second in testing. */
export function evaluationTable({ records }: BenchFile): Table {
  const rows = matching(records, { where: "ours", what: "evaluation", phase: "batch" }).map((record) => {
    const find = (where: Where, phase: string) =>
      matching(records, { ...shapeOf(record), where, what: "evaluation", phase })[0];
    const perSecond = (test?: BenchRecord) => test && (test.batch as number) / test.seconds;
    const [cachedText, official] = [find("pytorch", "batch"), find("pytorch", "batch with class features")];
    return {
      model: `${record.model}`,
      classes: record.classes,
      ours: perSecond(record),
      official: perSecond(official),
      faster: ratio(perSecond(record), perSecond(official)),
      kept: perSecond(cachedText),
      fasterKept: ratio(perSecond(record), perSecond(cachedText)),
      classFeatures: find("ours", "class features")?.seconds,
      peerFeatures: find("pytorch", "class features")?.seconds,
      memory: gigabytes(record),
      peerMemory: gigabytes(cachedText),
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
    note: 'The official code encodes the class names again for every batch (column PyTorch). Ours encodes them once, as does the column "PyTorch, text kept".',
  };
}

export const sideTitles: Record<Where, string> = {
  ours: "PromptSRC kit",
  pytorch: "PyTorch, plain",
  "pytorch-tuned": "PyTorch, tuned",
  "pytorch-tuned-bf16": "PyTorch, tuned, bfloat16",
};

/** Ours beside every peer that did the same: training steps, and test batches with the class features kept. */
export function peersTable({ records }: BenchFile): Table {
  const ours = matching(records, { where: "ours" }).filter(({ phase }) => phase === "step" || phase === "batch");
  const compared = ours.filter(
    (record) => matching(records, { ...shapeOf(record), where: "pytorch-tuned" }).length > 0,
  );
  const rows = compared.flatMap((record) => {
    const { what, phase, model, classes, batch } = record;
    const work = what === "step" ? "a training step" : `testing ${batch} pictures`;
    const sides = (["ours", ...peers] as const).flatMap((where) =>
      matching(records, { ...shapeOf(record), where, what, phase }),
    );
    return sides.map((side) => ({
      setting: `${model}, ${classes} classes, ${work}`,
      side: sideTitles[side.where],
      seconds: side.seconds,
      faster: ratio(side.seconds, record.seconds),
      memory: gigabytes(side),
      share: ratio(record.peakBytes, side.peakBytes),
    }));
  });
  return {
    title: "Beside PyTorch, plain and tuned",
    groupBy: "setting",
    columns: [
      { key: "setting", title: "" },
      { key: "side", title: "" },
      { key: "seconds", title: "s", digits: 3 },
      { key: "faster", title: "times ours", digits: 2 },
      { key: "memory", title: "GB", digits: 2 },
      { key: "share", title: "ours / its memory", digits: 2 },
    ],
    rows,
    note: "Median; peak resident memory of the whole process. Plain: all 77 tokens of every class, as the official code. Tuned: texts cut at the longest, blocks compiled (torch.compile), one copy of the frozen weights; bfloat16 is emulated on a processor without such instructions.",
  };
}

/** Time and memory of a step as one of classes, batch, depth and name length varies. */
export function sweepTable({ records }: BenchFile): Table {
  const fixed = { model: "ViT-B/16", classes: 50, batch: 4, depth: 9, nameTokens: 2.5 };
  const steps = matching(records, { what: "step", phase: "step" });
  const rows = Object.entries(sweep).flatMap(([key, { ours: values }]) => {
    const points = values.flatMap((value) => {
      const stepOf = (where: Where) => matching(steps, { ...fixed, [key]: value, where })[0];
      const [ours, pytorch] = [stepOf("ours"), stepOf("pytorch")];
      if (!ours) return [];
      const changed = key === "nameTokens" ? "tokens of a name" : key;
      const range = {
        fastest: ours.fastest,
        slowest: ours.slowest,
        peerFastest: pytorch?.fastest,
        peerSlowest: pytorch?.slowest,
      };
      return [
        {
          changed,
          value,
          seconds: ours.seconds,
          peerSeconds: pytorch?.seconds,
          memory: gigabytes(ours),
          peerMemory: gigabytes(pytorch),
          ...range,
        },
      ];
    });
    return points.length > 1 ? points : []; // a single point shows no change
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

/** The operations that take most of the time of a step. */
export function profileTable(model: string, classes: number, operations: ProfiledOperation[]): Table {
  const totalSeconds = operations.reduce((sum, { seconds }) => sum + seconds, 0);
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
      share: (100 * seconds) / totalSeconds,
      rate: flops > 0 ? flops / seconds / 1e9 : undefined,
    })),
  };
}

/** Reads the file that `npm run bench` wrote; undefined if it does not exist. */
export const readBench = (file: string): BenchFile | undefined =>
  existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as BenchFile) : undefined;
