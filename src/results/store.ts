/**
 * Results as files: one JSON per run under `data/results/<benchmark>/<dataset>/`, named by method, seed and key. The key
 * is a hash of all that determines the numbers, so a run that was done once is found again, whoever asks for it.
 */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { dirname, join } from "node:path";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Raise by one when a change of the code changes the numbers of a run; all stored runs are then computed anew. */
export const numericsVersion = 1;

/** Where runs are stored, from the repository root. */
export const resultsFolder = join("data", "results");

/** All that determines a run's numbers. `data` and `model` are fingerprints of the files' content. */
export type Identity = {
  benchmark: string;
  method: string;
  dataset: string;
  rule: string;
  split: "test" | "val";
  shots: number;
  seed: number;
  config: Json;
  data: string;
  /** What was trained on, where it is another dataset than the tested one, and its fingerprint. */
  source?: { dataset: string; data: string };
  model: string;
  /** Of a method that is not the kit's own, see `Method.version`. */
  version?: string;
  numerics: number;
};

/** One epoch: mean losses by name, and the accuracies after it where they were asked for. */
export type EpochResult = { epoch: number; lr: number; losses: Record<string, number>; metrics?: Record<string, number> };

export type Run = Identity & {
  key: string;
  /** percentages */
  metrics: Record<string, number>;
  epochs: EpochResult[];
  seconds: number;
  finished: string;
  engine: string;
  versions: Record<string, string>;
};

/** JSON with sorted keys: equal values give equal text. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value).filter(([, v]) => v !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${canonical(v)}`).join(",")}}`;
}

/** JSON for people: what fits on a line of 110 characters stays on one. */
export function pretty(value: unknown, indent = ""): string {
  const flat = JSON.stringify(value, null, 1).replace(/\n */g, " ");
  if (value === null || typeof value !== "object" || flat.length + indent.length <= 100) return flat;
  const inner = `${indent}  `;
  const lines = Array.isArray(value)
    ? value.map((v) => inner + pretty(v, inner))
    : Object.entries(value)
        .filter(([, v]) => v !== undefined)
        .map(([k, v]) => `${inner}${JSON.stringify(k)}: ${pretty(v, inner)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return `${open}\n${lines.join(",\n")}\n${indent}${close}`;
}

const identityOf = (run: Identity): Identity => {
  const { benchmark, method, dataset, rule, split, shots, seed, config, data, source, model, version, numerics } = run;
  return { benchmark, method, dataset, rule, split, shots, seed, config, data, source, model, version, numerics };
};

/** All that a run was made with besides dataset and seed: runs that share it are the same experiment. */
export function settingOf(run: Identity): string {
  const { benchmark, method, rule, split, shots, config, source, model, version } = run;
  return canonical({ benchmark, method, rule, split, shots, config, source, model, version });
}

/** 12 hexadecimal digits of the SHA-256 of the identity's canonical JSON. */
export const runKey = (identity: Identity): string =>
  createHash("sha256")
    .update(canonical(identityOf(identity)))
    .digest("hex")
    .slice(0, 12);

export const runFile = (identity: Identity, root = resultsFolder): string =>
  join(root, identity.benchmark, identity.dataset, `${identity.method}-seed${identity.seed}-${runKey(identity)}.json`);

/** Writes a file whole or not at all: a kill or a full disk leaves what was there before. Makes the folder. */
export function writeAtomic(file: string, content: string | Uint8Array): void {
  fs.mkdirSync(dirname(file), { recursive: true });
  const part = `${file}.${process.pid}.part`;
  try {
    const handle = fs.openSync(part, "w");
    try {
      const bytes = Buffer.from(content as Uint8Array);
      for (let at = 0; at < bytes.length; ) at += fs.writeSync(handle, bytes, at);
      fs.fsyncSync(handle);
    } finally {
      fs.closeSync(handle);
    }
    fs.renameSync(part, file);
  } catch (error) {
    fs.rmSync(part, { force: true });
    throw error;
  }
}

export function saveRun(run: Run, root = resultsFolder): string {
  const file = runFile(run, root);
  writeAtomic(file, `${pretty(run)}\n`);
  return file;
}

function readRun(file: string): Run | undefined {
  try {
    const run = JSON.parse(fs.readFileSync(file, "utf8")) as Run;
    return run.key === runKey(run) && run.metrics && Array.isArray(run.epochs) ? run : undefined;
  } catch {
    return undefined;
  }
}

/** The stored run of this identity; undefined if there is none, or if its file is damaged (then it is done anew). */
export function findRun(identity: Identity, root = resultsFolder): Run | undefined {
  const file = runFile(identity, root);
  return fs.existsSync(file) ? readRun(file) : undefined;
}

/** All readable runs of a benchmark, in the order of their files. */
export function listRuns(benchmark: string, root = resultsFolder): Run[] {
  const folder = join(root, benchmark);
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".json"))
    .sort()
    .flatMap((name) => readRun(join(folder, name)) ?? []);
}
