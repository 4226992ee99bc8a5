/**
 * Stores results as files. A user's runs are written to `results/`, one JSON file per run, in
 * `<benchmark>/<dataset>/<method>-seed<seed>-<key>.json`. The runs that come with the kit (shipped runs) are in
 * `runs/`, one line per run, and only `ship` writes there. The key is a hash of everything that was asked for, so that
 * a run is found again by any request for the same.
 *
 * A run in `results/` is valid only if the code that can change a number is the same now as when the run was computed
 * (`numericsVersion`). Shipped runs are shown regardless of the code that computed them; each records its provenance,
 * and data/README.md says how much they differ.
 */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { setAside, writeAtomic } from "../io/atomicWrite";
import { canonical, type Json, pretty } from "../io/json";
import { numericsVersion } from "../util/numerics";

/** The folders of stored runs and of shipped runs, relative to the repository root. */
export const resultsFolder = "results";
export const shippedFolder = "runs";

/** What a run was computed with. */
export type Provenance = {
  /**
   * Version of the kit, commit, and whether the sources were changed since that commit. Without git there is no commit.
   */
  kit: string;
  commit?: string;
  changed?: boolean;
  /** Library, device and threads, as printed in the first line of a run. */
  engine: string;
  threads?: number;
  /** Whether the blocks were computed by the kit's own fused kernels (true) or by TensorFlow's operations (false). */
  fusedKernels?: boolean;
  /** Hash of the sources that can change a number. */
  numerics: string;
  versions: Record<string, string>;
};

/** Everything that determines a run's numbers. `data` and `model` are fingerprints of the files' content. */
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
  /** The training dataset and its fingerprint, if it is not the tested dataset. */
  source?: { dataset: string; data: string };
  model: string;
  /** Version of a method that is not part of the kit, see `Method.version`. */
  version?: string;
  /** "tf32" where a GPU may round the inputs of products to TF32; absent: float32. */
  precision?: "tf32";
};

/**
 * One epoch: mean losses by name; the mean length of the gradient and the distance of the parameters from their start,
 * which older runs lack (`EpochRecord` in training/train.ts); and, if they were asked for, the accuracies after the
 * epoch.
 */
export type EpochResult = {
  epoch: number;
  lr: number;
  losses: Record<string, number>;
  gradientNorm?: number;
  distance?: number;
  metrics?: Record<string, number>;
};

/** A finished run: its identity, its accuracies in percent, its losses by epoch, and its provenance. */
export type Run = Identity & {
  key: string;
  /** Accuracies in percent; for the cost benchmark, measurements. */
  metrics: Record<string, number>;
  epochs: EpochResult[];
  seconds: number;
  finished: string;
  provenance: Provenance;
};

const identityOf = (run: Identity): Identity => {
  const { benchmark, method, dataset, split, subset, shots, seed, config, data, source, model, version, precision } =
    run;
  return { benchmark, method, dataset, split, subset, shots, seed, config, data, source, model, version, precision };
};

/** Everything that determines a run besides dataset and seed. Runs that share it are the same experiment. */
export function settingOf(run: Identity): string {
  const { benchmark, method, split, subset, shots, config, source, model, version, precision } = run;
  return canonical({ benchmark, method, split, subset, shots, config, source, model, version, precision });
}

/** 12 hexadecimal digits of the SHA-256 of the identity's canonical JSON. */
export const runKey = (identity: Identity): string =>
  createHash("sha256")
    .update(canonical(identityOf(identity)))
    .digest("hex")
    .slice(0, 12);

export const runFile = (identity: Identity, root = resultsFolder): string =>
  join(root, identity.benchmark, identity.dataset, `${identity.method}-seed${identity.seed}-${runKey(identity)}.json`);

/** SHA-256 of everything that a run's file says, against damage and changes by hand. */
const checksumOf = (run: unknown): string => createHash("sha256").update(canonical(run)).digest("hex");

export function saveRun(run: Run, root = resultsFolder): string {
  const file = runFile(run, root);
  writeAtomic(file, `${pretty({ ...run, sha256: checksumOf(run) })}\n`);
  return file;
}

/** Checks a run that was read from a file. @throws an Error that says what is wrong with it */
function checkRun(value: unknown): Run {
  const run = value as Run;
  const fail = (problem: string): never => {
    throw new Error(problem);
  };
  if (typeof run !== "object" || run === null) fail("it is not an object");
  if (run.key !== runKey(run)) fail(`its key is ${run.key}, but the key of its identity is ${runKey(run)}`);
  if (typeof run.metrics !== "object" || run.metrics === null || !Array.isArray(run.epochs))
    fail("it has no metrics or no epochs");
  for (const [name, metric] of Object.entries(run.metrics)) {
    const maximum = run.benchmark === "cost" ? Number.POSITIVE_INFINITY : 100; // accuracies are percentages
    if (!Number.isFinite(metric) || metric < 0 || metric > maximum) fail(`its ${name} is ${JSON.stringify(metric)}`);
  }
  if (typeof run.provenance?.numerics !== "string") fail("it has no provenance");
  return run;
}

/**
 * A run from its JSON, with its checksum.
 * @param sealed whether it must have one; shipped runs of before November 2026 have none
 * @throws an Error that says what is wrong with it
 */
function checkedRun(text: string, sealed = false): Run {
  const { sha256, ...stored } = JSON.parse(text);
  const run = checkRun(stored);
  if ((sealed || sha256 !== undefined) && sha256 !== checksumOf(run))
    throw new Error("its checksum does not fit: it is damaged or was changed");
  return run;
}

/**
 * Reads a run from its file. A file that is damaged, or was changed by hand, is set aside with a warning, and the run
 * is computed again.
 */
function readRun(file: string): Run | undefined {
  try {
    return checkedRun(fs.readFileSync(file, "utf8"), true);
  } catch (error) {
    setAside(file, error, "the run is computed again");
    return undefined;
  }
}

let shipped: Map<string, Run> | undefined;

/** The runs that come with the kit, by key. @throws an Error that names the file and line of a damaged run */
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
          return checkedRun(line);
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
 * The stored run with this identity: the one in `root` if the current code computed it, otherwise the shipped one;
 * undefined if there is none.
 * @param suffices whether a run contains everything that is asked for
 * @param shipped false: use only runs that the current code computed
 */
export function findRun(
  identity: Identity,
  root = resultsFolder,
  { suffices = () => true, shipped = true }: { suffices?(run: Run, root: string): boolean; shipped?: boolean } = {},
): Run | undefined {
  const file = runFile(identity, root);
  const local = fs.existsSync(file) ? readRun(file) : undefined;
  if (local && local.provenance.numerics === numericsVersion() && suffices(local, root)) return local;
  const shippedRun = shipped ? shippedRuns().get(runKey(identity)) : undefined;
  return shippedRun && suffices(shippedRun, root) ? shippedRun : undefined;
}

/** Whether this run came with the kit and is not from `results/`. */
export const isShipped = (run: Run): boolean => shippedRuns().get(run.key) === run;

/**
 * Adds the runs of a results folder to the shipped runs, replacing those with the same key. For maintainers.
 * @returns how many
 */
export function ship(root: string, folder = shippedFolder): number {
  const runs = new Map(shippedRuns(folder));
  const files = fs
    .readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((name) => /^[^.].*\.json$/.test(name));
  const added = files.flatMap((name) => readRun(join(root, name)) ?? []);
  for (const run of added) runs.set(run.key, run);
  const order = ({ dataset, method, seed, key }: Run) => `${dataset} ${method} ${String(seed).padStart(6)} ${key}`;
  const sorted = [...runs.values()].sort((a, b) => (order(a) < order(b) ? -1 : 1));
  for (const benchmark of new Set(sorted.map((run) => run.benchmark))) {
    const lines = sorted
      .filter((run) => run.benchmark === benchmark)
      .map((run) => `${JSON.stringify({ ...run, sha256: checksumOf(run) })}\n`);
    writeAtomic(join(folder, `${benchmark}.jsonl`), lines.join(""));
  }
  if (folder === shippedFolder) shipped = undefined;
  return added.length;
}
