/** Child process: does one job with the kit and prints its outcome as one line of JSON. `measure.ts <job>` */
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { forgetImages } from "../src/cache/imageFeatures";
import { readConfig } from "../src/clip/config";
import { encodeImage, imageFront } from "../src/clip/fast/image";
import { encodeText, encodeTexts, suffixGroups, tokenise } from "../src/clip/fast/text";
import { loadClip } from "../src/clip/load";
import type { Clip } from "../src/clip/model";
import type { Optimisation } from "../src/configs/settings";
import { differentiate, l2Normalise } from "../src/engine/autograd";
import { type KernelProfile, profileKernels } from "../src/engine/profiler";
import { type Engine, startEngine, type Tensor, type Tensor2D, tf } from "../src/engine/tf";
import { type Stored, writeSafetensors } from "../src/io/safetensors";
import type { Batch, Learner, Params, Task } from "../src/methods/method";
import { fillTemplate } from "../src/methods/prompts";
import { methods } from "../src/methods/registry";
import type { BenchJob, BenchOutcome, ModelJob, Phase } from "../src/results/benchFile";
import { median } from "../src/results/statistics";
import { sgdStep } from "../src/training/sgd";
import { gradientStep } from "../src/training/train";
import { seeded } from "../src/util/random";
import { exactStepCost, exactTestCost, officialStepCost, officialTestCost, totalCost } from "./flops";
import { classNames, inputsFile, modelFolder, pictures, settings } from "./model";

const { promptsrc } = methods;
type Result = Omit<BenchOutcome, "peakBytes" | "versions" | "threads">;

/** A job's model, its task, the ids of its classes, and a batch. */
type Start = { clip: Clip; task: Task; ids: number[][]; batch: () => Batch; params: Params };

async function begin(job: ModelJob): Promise<Start> {
  const clip = await loadClip(modelFolder(job.model));
  const task: Task = { clip, classNames: classNames(job), config: settings(job), seed: 1 };
  const ids = task.classNames.map((name) => tokenise(clip, `${task.config.init} ${name}.`));
  const { size } = clip.image;
  const { pixels, labels } = pictures(job.batch, size, job.classes);
  const batch = () => ({ pixels: tf.tensor4d(pixels, [job.batch, 3, size, size]), labels });
  return { clip, task, ids, batch, params: promptsrc.init(task) };
}

const promptsOf = (params: Params, tower: string): Tensor2D[] =>
  Object.keys(params).flatMap((name) => (name.startsWith(`${tower}.`) ? [params[name] as Tensor2D] : []));

/** Seconds between the marks of one repeat, by phase. */
type Times = Record<string, number>;

/** Largest resident memory at the end of what is timed: what follows is the bench's own. */
let peak = 0;

/** Warms up for two repeats and five seconds, while code is compiled, then at least `least` repeats, and as many more as five seconds hold. */
function timed(repeat: () => Times, least = 5): Phase[] {
  const warmed = performance.now() + 5000;
  for (let k = 0; k < 2 || performance.now() < warmed; k++) repeat();
  const all: Times[] = [];
  const begun = performance.now();
  while (all.length < least || (performance.now() - begun < 5000 && all.length < 100)) all.push(repeat());
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

/** Times the phases between calls of the returned function. */
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

/** The training step as `train` does it, split where it goes from the frozen part to the learnt one, back, and to the optimiser. */
function stepTimer(
  { params, batch, task }: Start,
  learner: Learner,
): { repeat(): Times; losses(): Record<string, number>; dispose(): void } {
  const { lr } = task.config;
  let [now, velocity]: [Params, Params | null] = [params, null];
  let first: Record<string, number> | undefined;
  const repeat = () => {
    forgetImages(); // the pictures are the same in each repeat
    const { mark, times } = stopwatch();
    const watched: Learner = {
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
    const begun = performance.now();
    const { names, terms, gradients } = gradientStep(watched, now, batch);
    const values = terms.dataSync();
    mark("backward");
    const next = sgdStep(now, velocity, gradients, { ...(task.config as Optimisation), lr });
    tf.dispose([now, velocity, terms, gradients] as any);
    [now, velocity] = [next.params, next.velocity];
    mark("optimiser");
    first ??= Object.fromEntries(names.map((name, i) => [name, values[i]]));
    return { step: (performance.now() - begun) / 1000, ...times };
  };
  return { repeat, losses: () => first ?? {}, dispose: () => tf.dispose([now, velocity] as any) };
}

async function step(job: ModelJob): Promise<Result> {
  const start = await begin(job);
  const { mark, times } = stopwatch();
  const learner = promptsrc.prepare(start.task);
  mark("prepare");
  const initial = Object.fromEntries(Object.entries(start.params).map(([name, p]) => [name, stored(p)]));
  const timer = stepTimer(start, learner);
  const phases = timed(timer.repeat);
  const profile = profiled(timer.repeat);
  const config = readConfig(join(modelFolder(job.model), "config.json"));
  const setting = { batch: job.batch, frozenImage: true, ...shapesOf(start) };
  saveInputs(job, start, initial);
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

/** Forward and backward of one tower alone: the sum of its features times fixed numbers is differentiated. */
async function tower(job: ModelJob): Promise<Result> {
  const { clip, task, ids, batch, params } = await begin(job);
  const text = job.what === "text";
  const prefix = text ? "text" : "vision";
  const own = Object.fromEntries(Object.entries(params).filter(([name]) => name.startsWith(`${prefix}.`)));
  const front = text
    ? undefined
    : imageFront(
        clip.image,
        tf.tidy(() => batch().pixels),
      );
  const suffixes = text ? suffixGroups(clip.text, ids, task.config.tokens.text, true) : [];
  const mix = gaussian([text ? ids.length : job.batch, clip.embed]);
  const phases = timed(() => {
    const { mark, times } = stopwatch();
    tf.tidy(() => {
      const { terms } = differentiate((params) => {
        const prompts = promptsOf(params, prefix);
        const features = front ? encodeImage(clip.image, front, prompts) : encodeText(clip.text, suffixes, prompts);
        const total = tf.sum(tf.mul(features, mix)) as any;
        mark("forward");
        return { total };
      }, own);
      terms.dataSync();
      mark("backward");
    });
    return times;
  });
  return { phases };
}

/** The frozen image pass: what prompted and frozen pass share, and the rest of the frozen pass. */
async function frozen(job: ModelJob): Promise<Result> {
  const { clip, batch } = await begin(job);
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

async function evaluation(job: ModelJob): Promise<Result> {
  const start = await begin(job);
  const { task, params, batch } = start;
  const { mark, times } = stopwatch();
  const classifier = promptsrc.classify(task, params);
  classifier.text?.dataSync();
  mark("class features");
  const phases = timed(() => {
    const { mark, times } = stopwatch();
    tf.tidy(() => classifier.logits(batch().pixels).argMax(1)).dataSync();
    mark("batch");
    return times;
  }, 3);
  const config = readConfig(join(modelFolder(job.model), "config.json"));
  const [exact, official] = [exactTestCost, officialTestCost].map((cost) => cost(config, shapesOf(start)));
  const once = times["class features"];
  saveInputs(job, start, Object.fromEntries(Object.entries(params).map(([name, p]) => [name, stored(p)])));
  return {
    phases: [...phases, { phase: "class features", seconds: once, fastest: once, slowest: once, repeats: 1 }],
    flops: { needed: job.batch * exact.picture, official: job.batch * official.picture + official.classes },
  };
}

/** The engine's rate: one large product. */
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

const shapesOf = ({ task: { config }, ids }: Start) => ({
  suffixes: ids.map((all) => all.length - 1 - config.tokens.text),
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

/** The operations of one repeat; only the native engine can list them. */
function profiled(repeat: () => unknown): KernelProfile[] | undefined {
  return tf.getBackend() === "tensorflow" ? profileKernels(() => void repeat()) : undefined;
}

const stored = (tensor: Tensor): Stored => ({ shape: tensor.shape, data: Float32Array.from(tensor.dataSync()) });

/** Writes what the peer starts from: token ids, pictures, labels, initial prompts, frozen text target, settings. */
function saveInputs(job: ModelJob, { clip, task, ids, batch }: Start, prompts: Record<string, Stored>): void {
  const { context } = clip.text;
  const { lossWeights: weights, lr, momentum, weightDecay } = task.config;
  const tensors = tf.tidy(() => {
    const { pixels, labels } = batch();
    const texts = task.classNames.map((name) => fillTemplate(task.config.textTargetTemplates[0], name));
    return {
      pixels: stored(pixels),
      labels: { shape: [labels.length], data: Float32Array.from(labels) },
      frozen_text: stored(l2Normalise(encodeTexts(clip, texts))),
      ids: {
        shape: [ids.length, context],
        data: Float32Array.from(ids.flatMap((all) => [...all, ...new Array(context - all.length).fill(0)])),
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

/** Largest resident memory so far: VmHWM where there is /proc, else getrusage. */
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
  frozen,
  evaluation,
  matmul,
  run() {
    throw new Error("a whole run is measured from outside");
  },
};

async function main(): Promise<void> {
  const job = JSON.parse(process.argv[2]) as BenchJob;
  const engine: Engine = await startEngine();
  const result = await kinds[job.what](job);
  const versions: Record<string, string> = {
    node: process.versions.node,
    engine: `${engine.kind} ${engine.version}`,
    tfjs: tf.version.tfjs,
  };
  const outcome: BenchOutcome = { ...result, peakBytes: peak, versions, threads: engine.threads };
  console.log(JSON.stringify(outcome));
}

main();
