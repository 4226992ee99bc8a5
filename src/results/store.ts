/**
 * Results as files. What a user runs is written to `results/`, one JSON for each run, in `<benchmark>/<dataset>/<method>-seed<seed>-<key>.json`;
 * what the kit brings along lies in `runs/`, one line for each run, and nothing but `ship` writes there. The key is a hash of all that was asked
 * for, so a run that was done once is found again, whoever asks for it.
 *
 * One rule says what is stale: a run of `results/` counts only if the code that can change a number is the same now as then
 * (`numericsVersion`). The shipped runs are shown whatever made them; each says what that was, and data/README.md how far they move.
 */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { writeAtomic } from "../io/atomicWrite";
import { canonical, type Json, pretty } from "../io/json";
import { numericsVersion } from "../util/numerics";

/** Where runs are stored, from the repository root, and where the shipped ones lie. */
export const resultsFolder = "results";
export const shippedFolder = "runs";

/** What a run was made with. */
export type Provenance = {
  /** Version of the kit, the commit, and whether the sources were changed since it; no commit without git. */
  kit: string;
  commit?: string;
  changed?: boolean;
  /** Library, device and threads, as the first line of a run says them. */
  engine: string;
  threads?: number;
  /** Whether the kit's own fused kernels did the arithmetic of the blocks, or TensorFlow's operations. */
  fusedKernels?: boolean;
  /** Hash of the sources that can change a number. */
  numerics: string;
  versions: Record<string, string>;
};

/** All that determines a run's numbers. `data` and `model` are fingerprints of the files' content. */
export type Identity = {
  benchmark: string;
  method: string;
  dataset: string;
  split: string;
  subset: "test" | "val";
  shots: number;
  seed: number;
  config: Json;
  data: string;
  /** What was trained on, where it is another dataset than the tested one, and its fingerprint. */
  source?: { dataset: string; data: string };
  model: string;
  /** Of a method that is not the kit's own, see `Method.version`. */
  version?: string;
};

/** One epoch: mean losses by name, and the accuracies after it where they were asked for. */
export type EpochResult = {
  epoch: number;
  lr: number;
  losses: Record<string, number>;
  metrics?: Record<string, number>;
};

/** A finished run: what was asked for, its accuracies in percent, its losses by epoch, and what made it. */
export type Run = Identity & {
  key: string;
  /** percentages */
  metrics: Record<string, number>;
  epochs: EpochResult[];
  seconds: number;
  finished: string;
  provenance: Provenance;
};

const identityOf = (run: Identity): Identity => {
  const { benchmark, method, dataset, split, subset, shots, seed, config, data, source, model, version } = run;
  return { benchmark, method, dataset, split, subset, shots, seed, config, data, source, model, version };
};

/** All that a run was made with besides dataset and seed: runs that share it are the same experiment. */
export function settingOf(run: Identity): string {
  const { benchmark, method, split, subset, shots, config, source, model, version } = run;
  return canonical({ benchmark, method, split, subset, shots, config, source, model, version });
}

/** 12 hexadecimal digits of the SHA-256 of the identity's canonical JSON. */
export const runKey = (identity: Identity): string =>
  createHash("sha256")
    .update(canonical(identityOf(identity)))
    .digest("hex")
    .slice(0, 12);

export const runFile = (identity: Identity, root = resultsFolder): string =>
  join(root, identity.benchmark, identity.dataset, `${identity.method}-seed${identity.seed}-${runKey(identity)}.json`);

export function saveRun(run: Run, root = resultsFolder): string {
  const file = runFile(run, root);
  writeAtomic(file, `${pretty(run)}\n`);
  return file;
}

/** A run as it was read. @throws saying what is wrong with it */
export function checkRun(value: unknown): Run {
  const run = value as Run;
  const wrong = (what: string): never => {
    throw new Error(what);
  };
  if (typeof run !== "object" || run === null) wrong("it is no record");
  if (run.key !== runKey(run)) wrong(`its key is ${run.key}, that of its settings is ${runKey(run)}`);
  if (typeof run.metrics !== "object" || run.metrics === null || !Array.isArray(run.epochs))
    wrong("it has no metrics or no epochs");
  for (const [name, metric] of Object.entries(run.metrics)) {
    const most = run.benchmark === "cost" ? Number.POSITIVE_INFINITY : 100; // accuracies are percentages
    if (!Number.isFinite(metric) || metric < 0 || metric > most) wrong(`its ${name} is ${JSON.stringify(metric)}`);
  }
  if (typeof run.provenance?.numerics !== "string") wrong("it does not say what made it");
  return run;
}

/** The run of a file; undefined, and said once, where the file is damaged: the run is then done anew. */
function readRun(file: string): Run | undefined {
  try {
    return checkRun(JSON.parse(fs.readFileSync(file, "utf8")));
  } catch (error) {
    console.warn(`${file} is not believed: ${(error as Error).message}`);
    return undefined;
  }
}

let shipped: Map<string, Run> | undefined;

/** The runs that come with the kit, by key. @throws naming file and line of one that is damaged */
export function shippedRuns(folder = shippedFolder): Map<string, Run> {
  if (shipped && folder === shippedFolder) return shipped;
  const files = fs.existsSync(folder) ? fs.readdirSync(folder).filter((name) => name.endsWith(".jsonl")) : [];
  const runs = files.flatMap((name) =>
    fs
      .readFileSync(join(folder, name), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line, k) => {
        try {
          return checkRun(JSON.parse(line));
        } catch (error) {
          throw new Error(`${join(folder, name)}, line ${k + 1}: ${(error as Error).message}`);
        }
      }),
  );
  const byKey = new Map(runs.map((run) => [run.key, run]));
  if (folder === shippedFolder) shipped = byKey;
  return byKey;
}

/**
 * The stored run of this identity: that of `root`, if it was made by the present code, else the shipped one; undefined if there is none.
 * @param suffices whether a run holds all that is asked for
 * @param shipped false: only what this code made itself
 */
export function findRun(
  identity: Identity,
  root = resultsFolder,
  { suffices = () => true, shipped = true }: { suffices?: (run: Run) => boolean; shipped?: boolean } = {},
): Run | undefined {
  const file = runFile(identity, root);
  const local = fs.existsSync(file) ? readRun(file) : undefined;
  if (local && local.provenance.numerics === numericsVersion() && suffices(local)) return local;
  const known = shipped ? shippedRuns().get(runKey(identity)) : undefined;
  return known && suffices(known) ? known : undefined;
}

/** Whether this is one of the kit's own runs, and not one of `results/`. */
export const isShipped = (run: Run): boolean => shippedRuns().get(run.key) === run;

/** Adds the runs of a results folder to the shipped ones; a run that was there is replaced. For maintainers. @returns how many */
export function ship(root: string, folder = shippedFolder): number {
  const all = new Map(shippedRuns(folder));
  const files = fs
    .readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((name) => /^[^.].*\.json$/.test(name));
  const added = files.flatMap((name) => readRun(join(root, name)) ?? []);
  for (const run of added) all.set(run.key, run);
  const order = ({ dataset, method, seed, key }: Run) => `${dataset} ${method} ${String(seed).padStart(6)} ${key}`;
  const sorted = [...all.values()].sort((a, b) => (order(a) < order(b) ? -1 : 1));
  for (const benchmark of new Set(sorted.map((run) => run.benchmark))) {
    const lines = sorted.filter((run) => run.benchmark === benchmark).map((run) => `${JSON.stringify(run)}\n`);
    writeAtomic(join(folder, `${benchmark}.jsonl`), lines.join(""));
  }
  if (folder === shippedFolder) shipped = undefined;
  return added.length;
}
