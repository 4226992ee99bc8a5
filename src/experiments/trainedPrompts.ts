/**
 * Trained prompts as files, and their use with a model and class names. The kit's own format is one safetensors file
 * with all that is known of the training in its metadata; the official trainers' checkpoints are read as well
 * (officialCheckpoint.ts).
 */
import { z } from "zod";
import type { Clip } from "../clip/model";
import { problems } from "../configs/change";
import { tf } from "../engine/tf";
import { openTensors } from "../io/openTensors";
import { checksum, type SafetensorsFile, writeSealed } from "../io/safetensors";
import { readFinite, type Stored, type TensorFile } from "../io/tensors";
import type { TorchFile } from "../io/torchFile";
import { type Method, type Settings, type Task, trainingSettings } from "../methods/method";
import { methodNamed } from "../methods/registry";
import type { Provenance } from "../results/store";
import { type HostParams, toHost } from "../training/ensemble";
import { UsageError } from "../util/errors";
import { type frozenNames, readOfficial } from "./officialCheckpoint";

/** Trained prompts, and what is known of their training. An official checkpoint tells less than the kit's own file. */
export type TrainedPrompts = {
  /** The method's name in the registry. */
  method: string;
  /** The method's training settings, complete. */
  config: Settings;
  /** The class names of the training. */
  classNames?: string[];
  /** The model of the training. */
  model?: { name: string; fingerprint: string };
  /** The training data: dataset, fingerprint of its files, split, shots, and the seed. */
  training?: { dataset: string; data: string; split: string; shots: number; seed: number };
  /** What the training was computed with. */
  provenance?: Provenance;
  params: HostParams;
  /** Frozen tensors of the model of the training, from an official checkpoint (`frozenNames`). */
  frozen?: HostParams;
  /** The file that they were read from. */
  source: string;
};

const format = "promptsrc prompts";
const version = "1";
/** Prefix of frozen tensors in the kit's own file. */
const frozenPrefix = "frozen.";

/** What the metadata holds, each value as JSON. */
const recordSchema = z.object({
  method: z.string(),
  config: z.record(z.string(), z.unknown()),
  classNames: z.array(z.string()).optional(),
  model: z.object({ name: z.string(), fingerprint: z.string() }).optional(),
  training: z
    .object({
      dataset: z.string(),
      data: z.string(),
      split: z.string(),
      shots: z.int().min(1),
      seed: z.int(),
    })
    .optional(),
  provenance: z
    .object({
      kit: z.string(),
      commit: z.string().optional(),
      changed: z.boolean().optional(),
      engine: z.string(),
      threads: z.number().optional(),
      fusedKernels: z.boolean().optional(),
      numerics: z.string(),
      versions: z.record(z.string(), z.string()),
    })
    .optional(),
});

/** Writes prompts in the kit's own format, completely or not at all. `source` is not stored. */
export function writePrompts(path: string, prompts: TrainedPrompts): void {
  const method = methodNamed(prompts.method);
  if (Object.keys(prompts.params).length === 0) throw new UsageError(`${method.title} has no parameters to be stored`);
  const metadata: Record<string, string> = { format, version };
  const record = recordSchema.parse({ ...prompts, config: trainingSettings(method, prompts.config) });
  for (const [key, value] of Object.entries(record)) {
    if (value !== undefined) metadata[key] = JSON.stringify(value);
  }
  const tensors = { ...prompts.params };
  for (const [name, stored] of Object.entries(prompts.frozen ?? {})) tensors[frozenPrefix + name] = stored;
  writeSealed(path, tensors, metadata);
}

/**
 * Reads prompts from the kit's own file or from an official checkpoint.
 * @param method for an official checkpoint, the method where the file leaves a choice (`readOfficial`)
 * @param change for an official checkpoint, replaces settings that the file does not tell
 * @throws UsageError or Error saying what the file is and what is wrong with it
 */
export function readPrompts(path: string, method?: string, change?: (config: Settings) => Settings): TrainedPrompts {
  const file = openTensors(path);
  try {
    if (!isPrompts(file)) {
      const { value } = file as Partial<TorchFile>;
      const epoch = value instanceof Map ? value.get("epoch") : undefined;
      return { ...readOfficial(file, epoch, method, change), source: path };
    }
    const prompts = readOwn(file);
    if (method !== undefined && method !== prompts.method)
      throw new UsageError(`${path} was trained by ${prompts.method}, not by ${method}: leave out --method`);
    if (change) throw new UsageError(`${path} holds all settings of its training; they cannot be changed`);
    return prompts;
  } finally {
    file.close();
  }
}

/** Whether a file says that it is one of `writePrompts`. */
export const isPrompts = (file: TensorFile): file is SafetensorsFile =>
  (file as Partial<SafetensorsFile>).metadata?.format === format;

function readOwn(file: SafetensorsFile): TrainedPrompts {
  const { path, metadata } = file;
  if (metadata.version !== version) {
    throw new UsageError(
      `${path} has version ${metadata.version} of the format "${format}", this kit reads ${version}: update the kit`,
    );
  }
  const tensors = Object.fromEntries(file.names.map((name) => [name, readFinite(file, name)]));
  const sum = checksum(metadata, tensors);
  if (metadata.sha256 !== sum)
    throw new Error(`${path} is damaged: its checksum is ${sum}, not ${metadata.sha256}. Copy or export it again`);
  const known = Object.keys(recordSchema.shape).filter((key) => key in metadata);
  const values = Object.fromEntries(known.map((key) => [key, parseJson(path, metadata[key])]));
  const record = recordSchema.safeParse(values);
  if (!record.success) throw new Error(`${path} is damaged:\n${problems(record.error, values)}`);
  const method = methodNamed(record.data.method);
  const config = method.settings.strict().safeParse(record.data.config);
  if (!config.success)
    throw new UsageError(`${path}: settings of ${method.title}:\n${problems(config.error, record.data.config)}`);
  const params: HostParams = {};
  const frozen: HostParams = {};
  for (const [name, stored] of Object.entries(tensors)) {
    if (name.startsWith(frozenPrefix)) frozen[name.slice(frozenPrefix.length)] = stored;
    else params[name] = stored;
  }
  return { ...record.data, config: config.data, params, frozen, source: path };
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${path} is damaged: its metadata is not JSON (${(error as Error).message})`);
  }
}

/**
 * Checks that prompts can be used with a model and class names. Class-specific contexts (CoOp) and the linear probe
 * need the class names of their training; an official checkpoint tells only how many they were.
 * @returns the method, and the task for `method.classify(task, toDevice(prompts.params))`
 * @throws UsageError that names both sides: the prompts' model, classes, width or blocks, and those asked for
 */
export function promptsFor(prompts: TrainedPrompts, clip: Clip, classNames: string[]): { method: Method; task: Task } {
  const method = methodNamed(prompts.method);
  const config = trainingSettings(method, prompts.config);
  const { classNames: trainedClasses } = prompts;
  const task: Task = { clip, classNames, config, seed: prompts.training?.seed ?? 1, trainedClasses };
  const refuse = (what: string): never => {
    throw new UsageError(`${prompts.source}: ${what}`);
  };
  checkModel(prompts, clip, refuse);
  if (method.transfers?.(config) === false) checkClasses(prompts, classNames, refuse);
  checkSizes(prompts.params, clip, refuse);
  checkShapes(prompts.params, method, task, refuse);
  checkFrozen(prompts.frozen ?? {}, clip, refuse);
  return { method, task };
}

type Refuse = (what: string) => never;

/** What to do about prompts of another model. */
const nameModel = "name the model of its training with --model";

function checkModel({ model }: TrainedPrompts, clip: Clip, refuse: Refuse): void {
  if (model === undefined || model.fingerprint === clip.fingerprint) return;
  const short = ({ name, fingerprint }: { name: string; fingerprint: string }) =>
    `${name} (fingerprint ${fingerprint.slice(0, 12)})`;
  refuse(`its prompts were trained on the model ${short(model)}, this is ${short(clip)}: ${nameModel}`);
}

function checkClasses({ classNames: trained, params }: TrainedPrompts, classNames: string[], refuse: Refuse): void {
  const few = (names: string[]) => names.slice(0, 3).join(", ") + (names.length > 3 ? ", ..." : "");
  if (trained === undefined) {
    const contexts = params.ctx?.shape[0] ?? classNames.length;
    if (contexts === classNames.length) return;
    refuse(
      `it has contexts of ${contexts} classes; asked for are ${classNames.length}: give the classes of its training`,
    );
  } else if (trained.join("\n") !== classNames.join("\n")) {
    refuse(
      `it can only tell its own ${trained.length} classes apart (${few(trained)}); asked for are ${classNames.length} ` +
        `(${few(classNames)}): give the classes of its training, in their order`,
    );
  }
}

/** The width and the number of prompted blocks in each encoder. */
function checkSizes(params: HostParams, { text, image, name: model }: Clip, refuse: Refuse): void {
  // MaPLe's text prompts are mapped to the image encoder, so that there may be as many as either has blocks.
  const textBlocks = "proj.weight" in params ? Math.max(text.blocks.length, image.blocks.length) : text.blocks.length;
  for (const { tower, pattern, width, blocks } of [
    { tower: "text", pattern: /^(text\.\d+|ctx|compound_prompts_text\.\d+)$/, width: text.width, blocks: textBlocks },
    { tower: "image", pattern: /^vision\.\d+$/, width: image.width, blocks: image.blocks.length },
  ]) {
    const prompts = Object.keys(params).filter((name) => pattern.test(name));
    const widths = prompts.map((name) => params[name].shape[params[name].shape.length - 1]);
    const other = widths.find((own) => own !== width);
    if (other !== undefined) {
      refuse(`prompts of width ${other} for the ${tower} encoder; that of ${model} has width ${width}: ${nameModel}`);
    }
    if (prompts.length > blocks) {
      refuse(
        `prompts for ${prompts.length} blocks of the ${tower} encoder; that of ${model} has ${blocks}: ${nameModel}`,
      );
    }
  }
}

/** Compares names and shapes with those of the method's initial parameters. */
function checkShapes(params: HostParams, method: Method, task: Task, refuse: Refuse): void {
  const wanted = tf.tidy(() =>
    Object.fromEntries(Object.entries(method.init(task)).map(([name, { shape }]) => [name, shape])),
  );
  for (const name of new Set([...Object.keys(wanted), ...Object.keys(params)])) {
    const own = params[name]?.shape;
    if (own?.join() === wanted[name]?.join()) continue;
    const words = (shape?: number[]) => (shape ? `has the shape [${shape}]` : "is missing");
    const expected = wanted[name] ? words(wanted[name]) : "is no parameter";
    refuse(`${name} ${words(own)}; in ${method.title} with these settings on ${task.clip.name} it ${expected}`);
  }
}

const frozenWords: Record<keyof typeof frozenNames, string> = {
  startToken: "embedding of the start token",
  textPositions: "positional embeddings of the text",
  imagePositions: "positional embeddings of the image",
};

/** Compares frozen tensors of the model of the training with this model's, within the rounding of half precision. */
function checkFrozen(frozen: HostParams, clip: Clip, refuse: Refuse): void {
  const { text, image, tokenizer } = clip;
  const startToken = tf.tidy(() => tf.slice(text.tokens, [tokenizer.encode("")[0], 0], [1, -1]));
  const own = toHost({ startToken, textPositions: text.positions, imagePositions: image.positions });
  startToken.dispose();
  for (const [name, words] of Object.entries(frozenWords)) {
    if (!(name in frozen)) continue;
    const [theirs, ours] = [frozen[name], own[name]];
    // Half precision has 11 significant bits; below 2^-14 its error is at most 2^-25.
    const isNear = (value: number, i: number) => Math.abs(value - ours.data[i]) <= 1e-3 * Math.abs(value) + 1e-6;
    const isSame = theirs.shape.join() === ours.shape.join() && theirs.data.every(isNear);
    if (isSame) continue;
    const few = ({ shape, data }: Stored) => `[${shape}] ${[...data.subarray(0, 3)].map((v) => v.toPrecision(3))}, ...`;
    refuse(
      `its prompts were trained on another model than ${clip.name} (${words}: ${few(theirs)} there, ` +
        `${few(ours)} here): ${nameModel}`,
    );
  }
}
