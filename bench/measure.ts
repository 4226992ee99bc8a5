/**
 * Child process of the bench, `measure.ts <job>`: runs one job with the kit and prints its outcome as a line of JSON.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { forgetImages } from "../src/cache/imageFeatures";
import { readConfig } from "../src/clip/config";
import { encodeImage, imageFront } from "../src/clip/fast/image";
import { suffixGroups, tokenise } from "../src/clip/fast/suffixes";
import { encodeText, encodeTexts } from "../src/clip/fast/text";
import { loadClip } from "../src/clip/load";
import type { Clip } from "../src/clip/model";
import type { Optimisation } from "../src/configs/settings";
import { differentiate, l2Normalise } from "../src/engine/autograd";
import { type KernelProfile, profileKernels } from "../src/engine/profiler";
import { type Engine, startEngine, type Tensor, type Tensor2D, tf } from "../src/engine/tf";
import { imagesPerPass } from "../src/experiments/evaluate";
import { type Stored, writeSafetensors } from "../src/io/safetensors";
import type { Batch, Learner, Params, Task } from "../src/methods/method";
import { fillTemplate } from "../src/methods/prompts";
import { methods } from "../src/methods/registry";
import type { BenchJob, BenchOutcome, ModelJob, Phase } from "../src/results/benchFile";
import { median } from "../src/results/statistics";
import { type OptimiserState, optimiserStep, tensorsOf } from "../src/solvers/optimiser";
import { gradientStep } from "../src/training/train";
import { seeded } from "../src/util/random";
import { exactStepCost, exactTestCost, officialStepCost, officialTestCost, totalCost } from "./flops";
import { classNames, inputsFile, modelFolder, pictures, settings } from "./model";

const { promptsrc } = methods;
type Result = Omit<BenchOutcome, "peakBytes" | "versions" | "threads">;

/** What a job works on: the model, its task, the token ids of each class, a batch, and the initial parameters. */
type Setup = { clip: Clip; task: Task; ids: number[][]; batch: () => Batch; params: Params };

async function prepare(job: ModelJob): Promise<Setup> {
  const clip = await loadClip(modelFolder(job.model));
  const task: Task = { clip, classNames: classNames(job), config: settings(job), seed: 1 };
  const ids = task.classNames.map((name) => tokenise(clip, `${task.config.contextInit} ${name}.`));
  const { size } = clip.image;
  const { pixels, labels } = pictures(job.batch, size, job.classes);
  const batch = () => ({ pixels: tf.tensor4d(pixels, [job.batch, 3, size, size]), labels });
  return { clip, task, ids, batch, params: promptsrc.init(task) };
}

const promptsOf = (params: Params, tower: string): Tensor2D[] =>
  Object.keys(params).flatMap((name) => (name.startsWith(`${tower}.`) ? [params[name] as Tensor2D] : []));

/** Seconds of one repeat, by phase. */
type Times = Record<string, number>;

/** Peak resident memory when timing ends. Later memory is used by the bench itself and is not counted. */
let peak = 0;

/**
 * Times a function, as peer.py does. A warm-up of at least two repeats and five seconds (one repeat if it takes over 20
 * seconds) lets its code be compiled first. Then it is timed until both `least` repeats and five seconds are over, but
 * at most 100 times, and no further time after a minute.
 */
function timed(repeat: () => Times, least = 5): Phase[] {
  const secondsSince = (time: number) => (performance.now() - time) / 1000;
  const warmUpStart = performance.now();
  for (let k = 0; secondsSince(warmUpStart) < 20 && (k < 2 || secondsSince(warmUpStart) < 5); k++) repeat();
  const all: Times[] = [];
  const startTime = performance.now();
  do all.push(repeat());
  while (secondsSince(startTime) < 60 && (all.length < least || (secondsSince(startTime) < 5 && all.length < 100)));
  peak = peakBytes();
  return Object.keys(all[0]).map((phase) => {
    const seconds = all.map((times) => times[phase]);
    return {
      phase,
      seconds: median(seconds),
      fastest: Math.min(...seconds),
      slowest: Math.max(...seconds),
      repeats: seconds.length,
    };
  });
}

/** Each call of `mark` ends a phase: the seconds since the previous mark (or the start) are stored under its name. */
function stopwatch(): { mark(phase: string): void; times: Times } {
  let last = performance.now();
  const times: Times = {};
  const mark = (phase: string) => {
    const now = performance.now();
    times[phase] = (now - last) / 1000;
    last = now;
  };
  return { mark, times };
}

/**
 * Repeats the training step as `train` does it and times its phases: frozen part, forward pass through the prompted
 * encoders, backward pass, optimiser.
 */
function stepTimer(
  { params, batch, task }: Setup,
  learner: Learner,
): { repeat(): Times; losses(): Record<string, number>; dispose(): void } {
  const { lr } = task.config;
  let [current, state]: [Params, OptimiserState | null] = [params, null];
  let firstLosses: Record<string, number> | undefined;
  const repeat = () => {
    forgetImages(); // the pictures are the same in every repeat, so their cached features would be used
    const { mark, times } = stopwatch();
    const timedLearner: Learner = {
      ...learner,
      loss(batch) {
        const loss = learner.loss(batch);
        mark("frozen part");
        return (params) => {
          const terms = loss(params);
          mark("forward");
          return terms;
        };
      },
    };
    const startTime = performance.now();
    const { names, terms, gradients } = gradientStep(timedLearner, current, batch);
    const values = terms.dataSync();
    mark("backward");
    const next = optimiserStep(current, state, gradients, task.config as Optimisation, () => lr);
    tf.dispose([current, tensorsOf(state), terms, gradients] as any);
    [current, state] = [next.params, next.state];
    mark("optimiser");
    firstLosses ??= Object.fromEntries(names.map((name, i) => [name, values[i]]));
    return { step: (performance.now() - startTime) / 1000, ...times };
  };
  return { repeat, losses: () => firstLosses ?? {}, dispose: () => tf.dispose([current, tensorsOf(state)] as any) };
}

async function step(job: ModelJob): Promise<Result> {
  const setup = await prepare(job);
  const { mark, times } = stopwatch();
  const learner = promptsrc.prepare(setup.task);
  mark("prepare");
  const initial = Object.fromEntries(Object.entries(setup.params).map(([name, p]) => [name, toStored(p)]));
  const timer = stepTimer(setup, learner);
  const phases = timed(timer.repeat);
  const profile = kernelProfile(timer.repeat);
  const config = readConfig(join(modelFolder(job.model), "config.json"));
  const setting = { batch: job.batch, frozenImage: true, ...shapesOf(setup) };
  saveInputs(job, setup, initial);
  return {
    phases: [
      ...phases,
      { phase: "prepare", seconds: times.prepare, fastest: times.prepare, slowest: times.prepare, repeats: 1 },
    ],
    losses: timer.losses(),
    flops: {
      needed: totalCost(exactStepCost(config, setting)),
      official: totalCost(officialStepCost(config, setting)),
      done: profile?.reduce((sum, { flops }) => sum + flops, 0),
    },
    operations: profile,
  };
}

/**
 * Forward and backward pass of one tower alone. The loss is the sum of its features times fixed random coefficients.
 */
async function tower(job: ModelJob): Promise<Result> {
  const { clip, task, ids, batch, params } = await prepare(job);
  const isText = job.what === "text";
  const prefix = isText ? "text" : "vision";
  const towerParams = Object.fromEntries(Object.entries(params).filter(([name]) => name.startsWith(`${prefix}.`)));
  const front = isText
    ? undefined
    : imageFront(
        clip.image,
        tf.tidy(() => batch().pixels),
      );
  const suffixes = isText ? suffixGroups(clip.text, ids, task.config.tokens.text, true) : [];
  const coefficients = gaussian([isText ? ids.length : job.batch, clip.embed]);
  const phases = timed(() => {
    const { mark, times } = stopwatch();
    tf.tidy(() => {
      const { terms } = differentiate((params) => {
        const prompts = promptsOf(params, prefix);
        const features = front ? encodeImage(clip.image, front, prompts) : encodeText(clip.text, suffixes, prompts);
        const total = tf.sum(tf.mul(features, coefficients)) as any;
        mark("forward");
        return { total };
      }, towerParams);
      terms.dataSync();
      mark("backward");
    });
    return times;
  });
  return { phases };
}

/** The frozen image pass in two phases: the part that the prompted pass shares, and the rest. */
async function frozenPass(job: ModelJob): Promise<Result> {
  const { clip, batch } = await prepare(job);
  const phases = timed(() => {
    const { mark, times } = stopwatch();
    tf.tidy(() => {
      const front = imageFront(clip.image, batch().pixels);
      mark("shared front");
      encodeImage(clip.image, front, []).dataSync();
      mark("forward");
    });
    return times;
  });
  return { phases };
}

/** A batch of pictures in parts, as a test takes them (src/experiments/predictions.ts). */
async function evaluation(job: ModelJob): Promise<Result> {
  const setup = await prepare(job);
  const { task, params, batch } = setup;
  const { mark, times } = stopwatch();
  const classifier = promptsrc.classify(task, params);
  classifier.text?.dataSync();
  mark("class features");
  const perPass = imagesPerPass(task.clip);
  const phases = timed(() => {
    const { mark, times } = stopwatch();
    tf.tidy(() => {
      const { pixels } = batch();
      for (let from = 0; from < job.batch; from += perPass) {
        const count = Math.min(perPass, job.batch - from);
        const part = () => tf.slice(pixels, [from, 0, 0, 0], [count, -1, -1, -1]);
        tf.tidy(() => classifier.logits(part()).argMax(1)).dataSync();
      }
    });
    mark("batch");
    return times;
  }, 3);
  const config = readConfig(join(modelFolder(job.model), "config.json"));
  const [exact, official] = [exactTestCost, officialTestCost].map((cost) => cost(config, shapesOf(setup)));
  const seconds = times["class features"];
  saveInputs(job, setup, Object.fromEntries(Object.entries(params).map(([name, p]) => [name, toStored(p)])));
  return {
    phases: [...phases, { phase: "class features", seconds, fastest: seconds, slowest: seconds, repeats: 1 }],
    flops: { needed: job.batch * exact.picture, official: job.batch * official.picture + official.classes },
  };
}

/** The engine's FLOPs per second, measured on one large matrix product. */
function matmul({ size }: Extract<BenchJob, { what: "matmul" }>): Result {
  const [a, b] = [gaussian([size, size]), gaussian([size, size])];
  const phases = timed(() => {
    const { mark, times } = stopwatch();
    tf.tidy(() => tf.sum(tf.matMul(a as Tensor2D, b as Tensor2D)).dataSync());
    mark("product");
    return times;
  });
  return { phases, flops: { perSecond: (2 * size ** 3) / phases[0].fastest } };
}

const shapesOf = ({ task: { config }, ids }: Setup) => ({
  suffixes: ids.map((tokens) => tokens.length - 1 - config.tokens.text),
  tokens: config.tokens,
  depth: config.depth,
});

function gaussian(shape: number[]): Tensor {
  const random = seeded("bench", ...shape);
  const count = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(
    Float32Array.from({ length: count }, () => random.normal()),
    shape,
  );
}

/** The kernels of one repeat. Only the native engine can profile them. */
function kernelProfile(repeat: () => unknown): KernelProfile[] | undefined {
  return tf.getBackend() === "tensorflow" ? profileKernels(() => void repeat()) : undefined;
}

const toStored = (tensor: Tensor): Stored => ({ shape: tensor.shape, data: Float32Array.from(tensor.dataSync()) });

/** Writes the inputs of PyTorch's run: token ids, pictures, labels, initial prompts, frozen text target, settings. */
function saveInputs(job: ModelJob, { clip, task, ids, batch }: Setup, prompts: Record<string, Stored>): void {
  const { context } = clip.text;
  const { lossWeights: weights, lr, momentum, weightDecay } = task.config;
  const tensors = tf.tidy(() => {
    const { pixels, labels } = batch();
    const texts = task.classNames.map((name) => fillTemplate(task.config.textTargetTemplates[0], name));
    return {
      pixels: toStored(pixels),
      labels: { shape: [labels.length], data: Float32Array.from(labels) },
      frozen_text: toStored(l2Normalise(encodeTexts(clip, texts))),
      ids: {
        shape: [ids.length, context],
        data: Float32Array.from(ids.flatMap((tokens) => [...tokens, ...new Array(context - tokens.length).fill(0)])),
      },
    };
  });
  const file = inputsFile(job);
  mkdirSync(dirname(file), { recursive: true });
  writeSafetensors(
    file,
    { ...tensors, ...prompts },
    { settings: JSON.stringify({ logitScale: clip.logitScale, weights, lr, momentum, weightDecay }) },
  );
}

/** Peak resident memory so far in bytes: VmHWM on systems with /proc, otherwise getrusage. */
function peakBytes(): number {
  try {
    return 1024 * Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
  } catch {
    return 1024 * process.resourceUsage().maxRSS;
  }
}

const kinds: Record<BenchJob["what"], (job: any) => Result | Promise<Result>> = {
  step,
  text: tower,
  image: tower,
  frozen: frozenPass,
  evaluation,
  matmul,
  run() {
    throw new Error("a complete run is measured by bench.ts, not by measure.ts");
  },
};

async function main(): Promise<void> {
  const job = JSON.parse(process.argv[2]) as BenchJob;
  const engine: Engine = await startEngine();
  const result = await kinds[job.what](job);
  const versions: Record<string, string> = {
    node: process.versions.node,
    engine: `${engine.kind} ${engine.version}`,
    device: engine.device,
    tfjs: tf.version.tfjs,
  };
  const outcome: BenchOutcome = { ...result, peakBytes: peak, versions, threads: engine.threads };
  console.log(JSON.stringify(outcome));
}

main();
