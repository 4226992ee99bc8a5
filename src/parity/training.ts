/**
 * Parity of a method: features and logits of the initial parameters, gradients of the first step, losses of every step,
 * parameters after every epoch, and the weights and result of GPA. The values come from `train` itself; only the
 * initial parameters are taken from the reference file.
 */
import type { Clip } from "../clip/model";
import type { Optimisation } from "../configs/settings";
import { differentiate } from "../engine/autograd";
import { tf } from "../engine/tf";
import type { PixelBatch } from "../io/preprocess";
import type { Stored } from "../io/safetensors";
import { frozenTextTarget } from "../methods/frozenText";
import { type Method, type Params, settle, type Task, trainingSettings } from "../methods/method";
import { type ContextSettings, promptSentence } from "../methods/prompts";
import { gpaWeights } from "../training/ensemble";
import { scheduleOf } from "../training/schedule";
import { train } from "../training/train";
import { type Checks, gradientTolerance, valueTolerance } from "./checks";
import type { Meta, RunSettings } from "./meta";
import { sameIds } from "./model";

/** A file of reference numbers with its label, its method, and the settings of its run. */
type Replay = {
  label: string;
  expected: Record<string, Stored>;
  method: Method;
  clip: Clip;
  meta: Meta;
  config: RunSettings;
};

/**
 * Repeats the training of a reference file and compares all its numbers.
 * @param images of `common.safetensors`, [N,3,R,R]
 * @param labels of the images, [N]
 */
export async function trainingParity(
  replay: Replay,
  images: Stored,
  labels: Float32Array,
  checks: Checks,
): Promise<void> {
  const { label, expected, method, clip, meta } = replay;
  const settings = { ...replay.config, zeroShotTemplates: [sentenceOf(replay)] };
  const config = trainingSettings(method, settle(method, settings));
  const gpa = expected["gpa.weights"] ? { mean: meta.gpa_mean, std: meta.gpa_std } : null;
  const task: Task = { clip, classNames: meta.classes, config, seed: 1 };
  const initial = Object.entries(expected).flatMap(([name, stored]) =>
    name.startsWith("init.") ? [[name.slice(5), stored] as const] : [],
  );
  const initialParams = (): Params =>
    Object.fromEntries(initial.map(([name, { data, shape }]) => [name, tf.tensor(data, shape)]));
  if (!sameShapes(label, method, task, initial, checks)) return;

  const actual: Record<string, ArrayLike<number>> = {};
  const record = (prefix: string, params: Params) => {
    for (const [name, p] of Object.entries(params)) actual[`${prefix}.${name}`] = p.dataSync().slice();
  };

  if (expected.prompt_ids) {
    const sentences = meta.classes.map((name) => promptSentence(config as ContextSettings, name));
    sameIds(`${label} prompt_ids`, clip, sentences, expected.prompt_ids, checks);
  }
  if (expected.frozen_text_features) {
    const target = frozenTextTarget(clip, meta.classes, settings.zeroShotTemplates);
    actual.frozen_text_features = target.dataSync();
    target.dispose();
  }
  const params = initialParams();
  const classifier = method.classify(task, params);
  tf.tidy(() => {
    const pixels = tf.tensor4d(images.data, images.shape as [number, number, number, number]);
    const logits = classifier.logits(pixels).dataSync();
    if (classifier.head) {
      // On the classes of the training the head's logits are mixed in, on others they are not.
      const others = method.classify({ ...task, trainedClasses: [] }, params);
      const head = classifier.head(pixels);
      const [mixture, own] = expected.logits_fusion
        ? ["logits_fusion", "logits_rep"]
        : ["logits_base", "logits_linear"];
      actual.logits = others.logits(pixels).dataSync();
      actual[mixture] = logits;
      actual[own] = head.logits.dataSync();
      if (head.features.representation) actual.rep_features = head.features.representation.dataSync();
      others.dispose();
    } else actual.logits = logits;
    actual.image_features = classifier.image(pixels).dataSync();
    if (classifier.text) actual.text_features = classifier.text.dataSync();
  });
  classifier.dispose();
  const pictures = fixedPictures(images, labels, meta);
  for (const [term, gradients] of termGradients(task, method, params, pictures.epoch()[0], expected))
    record(`step0.grad_${term}`, gradients);
  tf.dispose(params);

  const fromReference: Method = { ...method, init: initialParams };
  const trained = await train(fromReference, task, pictures, {
    ensemble: gpa,
    onStep: ({ epoch, step, terms, gradients }) => {
      const k = epoch * meta.steps + step;
      for (const [term, value] of Object.entries(terms())) {
        actual[`step${k}.loss.${term}`] = [value];
        actual[`step${k}.${term}`] = [value]; // values that a gradient rule records, such as ProGrad's conflict
      }
      if (k === 0) record("step0.grad", gradients);
    },
    onEpoch: ({ epoch, params }) => record(`epoch${epoch - 1}`, params),
  });
  if (gpa) {
    record("gpa", trained.params);
    actual["gpa.weights"] = gpaWeights(meta.epochs, gpa);
  }
  tf.dispose([trained.params, trained.last] as any);

  for (const [name, { data }] of Object.entries(expected)) {
    if (name.startsWith("init.") || name === "prompt_ids") continue;
    if (name === "lr") {
      const rates = trained.history.flatMap(({ epoch }) => {
        const rate = scheduleOf(epoch, config as Optimisation, meta.steps);
        return Array.from({ length: meta.steps }, (_, step) => rate(step));
      });
      checks.same(`${label} lr`, rates, data, { relative: 1e-6, absolute: 0 });
      continue;
    }
    const isTrained = /\.grad|^epoch|^gpa\.(?!weights)/.test(name);
    if (actual[name])
      checks.same(`${label} ${name}`, actual[name], data, isTrained ? gradientTolerance(data) : valueTolerance);
    else checks.fail(`${label} ${name}`, "the replay computes no value of this name");
  }
}

/** Checks that the method's initial parameters have the same names and shapes as those in the file. */
function sameShapes(
  label: string,
  method: Method,
  task: Task,
  initial: (readonly [string, Stored])[],
  checks: Checks,
): boolean {
  const initialised = method.init(task);
  const describe = (entries: (readonly [string, { shape: number[] }])[]) =>
    entries
      .map(([name, { shape }]) => `${name} [${shape}]`)
      .sort()
      .join(", ");
  const [actualShapes, expectedShapes] = [describe(Object.entries(initialised)), describe(initial)];
  tf.dispose(initialised);
  if (actualShapes === expectedShapes)
    checks.pass(`${label} parameters`, `${initial.length} tensors, same names and shapes`);
  else checks.fail(`${label} parameters`, `are ${actualShapes}; the file has ${expectedShapes}`);
  return actualShapes === expectedShapes;
}

/**
 * The sentence of the zero-shot CLIP that was used in the training of a file's method. Of the sentences that the folder
 * names, it is the one whose features equal the file's `frozen_text_features`. If none does, or if the file has no such
 * features, it is the first sentence of the settings.
 */
function sentenceOf({ expected, clip, meta, config }: Replay): string {
  const [first] = config.zeroShotTemplates;
  const features = expected.frozen_text_features?.data;
  const hasFeatures = (sentence: string): boolean => {
    const target = frozenTextTarget(clip, meta.classes, [sentence]);
    const values = target.dataSync();
    target.dispose();
    return values.every((value, i) => Math.abs(value - (features as Float32Array)[i]) < 1e-3);
  };
  return (features && [first, `${meta.init} {}.`, ...meta.templates].find(hasFeatures)) || first;
}

/**
 * Gradients of single loss terms at the initial parameters, for those terms of which the file has gradients
 * (`step0.grad_<term>.<parameter>`).
 */
function* termGradients(
  task: Task,
  method: Method,
  params: Params,
  { pixels, labels }: PixelBatch,
  expected: Record<string, Stored>,
): Generator<[string, Params]> {
  const terms = new Set(Object.keys(expected).flatMap((name) => /^step0\.grad_(\w+)\./.exec(name)?.[1] ?? []));
  if (terms.size === 0) return;
  const { size } = task.clip.image;
  const learner = method.prepare(task);
  try {
    for (const term of terms) {
      const gradients = tf.tidy(() => {
        const loss = learner.loss({ pixels: tf.tensor4d(pixels, [labels.length, 3, size, size]), labels });
        const { terms, gradients } = differentiate(loss, params, term);
        terms.dispose();
        return gradients;
      });
      yield [term, gradients];
      tf.dispose(gradients);
    }
  } finally {
    learner.dispose();
  }
}

/** Batch s of every epoch is images[s*B : (s+1)*B]. */
function fixedPictures(
  images: Stored,
  labels: Float32Array,
  { steps, batch }: Meta,
): { steps: number; epoch(): PixelBatch[] } {
  const size = images.data.length / images.shape[0];
  return {
    steps,
    epoch: () =>
      Array.from({ length: steps }, (_, s) => ({
        pixels: images.data.slice(s * batch * size, (s + 1) * batch * size),
        labels: Int32Array.from(labels.subarray(s * batch, (s + 1) * batch)),
      })),
  };
}
