/**
 * The training loop of all methods. Its order of operations is that of Dassl's trainer and PromptSRC's
 * `forward_backward`: for each batch of an epoch, the gradient and a step of the optimiser; for each epoch, the learning rate of
 * the schedule; after the last epoch, the aggregation of the epochs' parameters.
 */

import type { Ensemble, Optimisation } from "../configs/settings";
import { differentiate } from "../engine/autograd";
import { backend } from "../engine/dispatch";
import type { Tensor } from "../engine/tf";
import { tf } from "../engine/tf";
import type { PixelBatch } from "../io/preprocess";
import type { Batch, Learner, Method, Params, Task } from "../methods/method";
import { type OptimiserState, optimiserStep, tensorsOf } from "../solvers/optimiser";
import { aggregate, distance, type HostParams, toHost } from "./ensemble";
import { scheduleOf } from "./schedule";

/**
 * The training pictures of epoch 1, 2, ...: batches of normalised pixels [B,3,R,R] with one label per picture. They
 * must depend on the epoch only, so that a resumed training sees the same batches. `steps` is the number of batches of
 * an epoch, for methods whose learning rate falls in every step.
 */
export type Pictures = {
  steps?: number;
  epoch(epoch: number): Iterable<PixelBatch> | AsyncIterable<PixelBatch>;
};

/** Milliseconds between looks at the loss: reading it waits for the device to finish a step. */
const lookEvery = 500;

/**
 * One epoch (from 1): the learning rate of its first step; the means over its steps of each loss term and of the
 * gradient's length; at its end, the distance of the parameters from their initial values; its duration in seconds.
 * Lengths and distances are Euclidean, over all parameters together; the gradient is the one that the optimiser receives.
 */
export type EpochRecord = {
  epoch: number;
  lr: number;
  losses: Record<string, number>;
  gradientNorm: number;
  distance: number;
  seconds: number;
};

/**
 * Everything needed to resume a training. `epoch` is the number of completed epochs, `trajectory` the parameters after
 * each of them, `optimiser` what the optimiser keeps.
 */
export type TrainState = {
  epoch: number;
  params: Params;
  optimiser: OptimiserState | null;
  trajectory: HostParams[];
  history: EpochRecord[];
};

type TrainOptions = {
  /** Stops the training before the next step; `train` then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Called after each step; `epoch` and `step` count from 0. `terms()` reads the loss terms back from the device. */
  onStep?(step: { epoch: number; step: number; terms(): Record<string, number>; gradients: Params }): void;
  /** Called after each epoch. The loop disposes the tensors of the state later: copy or save them before returning. */
  onEpoch?(state: TrainState): void | Promise<void>;
  /** How the parameters of the epochs are weighted in the result. By default the result is those of the last epoch. */
  ensemble?: Ensemble;
  /** Resumes from this state instead of starting from `method.init`. `train` becomes the owner of its tensors. */
  resume?: TrainState;
};

/**
 * `params` is the result of the training (an aggregate of the epochs, if `ensemble` is set), `last` are the parameters
 * of the last epoch. The caller disposes both.
 */
export type Trained = { params: Params; last: Params; trajectory: HostParams[]; history: EpochRecord[] };

/**
 * Trains from `method.init` (or `options.resume`) up to epoch `config.epochs`.
 * @throws the abort signal's reason, or an error if an epoch has no batch, or a loss or a parameter is not finite: it
 *   names the method, seed, epoch, step, learning rate and the last good epoch
 */
export async function train(
  method: Method,
  task: Task,
  pictures: Pictures,
  options: TrainOptions = {},
): Promise<Trained> {
  const config = task.config as Optimisation;
  const { signal } = options;
  const state: TrainState = options.resume ?? {
    epoch: 0,
    params: method.init(task),
    optimiser: null,
    trajectory: [],
    history: [],
  };
  const start = tf.tidy(() => toHost(method.init(task))); // a resumed training started from the same
  const disposeState = () => tf.dispose([state.params, tensorsOf(state.optimiser)] as any);
  let learner: Learner;
  try {
    learner = method.prepare(task);
  } catch (error) {
    disposeState();
    throw error;
  }
  const replace = (params: Params, optimiser: OptimiserState) => {
    tf.dispose([state.params, tensorsOf(state.optimiser)] as any);
    [state.params, state.optimiser] = [params, optimiser];
  };
  try {
    for (; state.epoch < config.epochs; ) {
      const epoch = state.epoch;
      const schedule = scheduleOf(epoch + 1, config, pictures.steps);
      const startTime = performance.now();
      let names: string[] = [];
      let sums: Tensor = tf.scalar(0);
      let steps = 0;
      /** Number of steps before the first whose sums are not finite; sums stay so once they are. */
      let goodSteps: Tensor = tf.scalar(0);
      let lastLook = Date.now();
      const stop = (what: string, step: number): never => {
        throw new Error(
          `${method.name}, seed ${task.seed}: ${what} in epoch ${epoch + 1}, step ${step}, at the learning rate ${Number(schedule(step - 1).toPrecision(6))}: ` +
            `reduce it (lr is ${config.lr}); the last good epoch is ${epoch === 0 ? "none" : epoch}`,
        );
      };
      const look = () => {
        lastLook = Date.now();
        const [good] = goodSteps.dataSync();
        if (good === steps) return;
        const wrong = sums.dataSync().findIndex((value) => !Number.isFinite(value));
        const what = wrong < names.length ? `the loss ("${names[wrong]}")` : "the gradient's length";
        stop(`${what} is ${sums.dataSync()[wrong]}`, good + 1);
      };
      try {
        for await (const pixelBatch of pictures.epoch(epoch + 1)) {
          await new Promise(setImmediate); // lets timers, signals and notebook messages be handled between steps
          signal?.throwIfAborted();
          const step = gradientStep(learner, state.params, toBatch(pixelBatch, task, [epoch, steps]));
          names = step.names;
          options.onStep?.({
            epoch,
            step: steps,
            gradients: step.gradients,
            terms: () => termsByName(names, step.terms),
          });
          const lr = schedule(steps);
          const rate = (name: string) => lr * (learner.rate?.(name) ?? 1);
          const next = optimiserStep(state.params, state.optimiser, step.gradients, config, rate);
          replace(next.params, next.state);
          const summed = tf.tidy(() => {
            const added = tf.add(sums, tf.concat([step.terms, lengthOf(step.gradients)]));
            const finite = tf.cast(tf.all(tf.isFinite(added)), "float32");
            return { added, good: tf.add(goodSteps, finite) };
          });
          tf.dispose([sums, goodSteps, step.terms, step.gradients] as any);
          [sums, goodSteps] = [summed.added, summed.good];
          steps += 1;
          if (Date.now() - lastLook > lookEvery) look();
        }
        if (steps === 0)
          throw new Error(
            `epoch ${epoch + 1} has no batch: there are too few training pictures for one batch of ${config.batch}`,
          );
        look();
        const means = tf.tidy(() => tf.div(sums, steps).dataSync());
        const losses = Object.fromEntries(names.map((name, i) => [name, means[i]]));
        const after = toHost(state.params);
        const wrong = Object.keys(after).find((name) => !after[name].data.every(Number.isFinite));
        if (wrong !== undefined) stop(`the parameter "${wrong}" is not finite`, steps);
        state.trajectory.push(after);
        state.history.push({
          epoch: epoch + 1,
          lr: schedule(0),
          losses,
          gradientNorm: means[names.length],
          distance: distance(after, start),
          seconds: (performance.now() - startTime) / 1000,
        });
      } finally {
        tf.dispose([sums, goodSteps]);
      }
      state.epoch += 1;
      await options.onEpoch?.(state);
    }
  } catch (error) {
    disposeState();
    throw error;
  } finally {
    learner.dispose();
  }
  const { params: last, optimiser, trajectory, history } = state;
  const params = aggregate(trajectory, options.ensemble ?? null);
  tf.dispose(tensorsOf(optimiser));
  return { params, last, trajectory, history };
}

/** Euclidean length of all gradients together, [1]. It takes 0.3 ms, a step of the embedded model 200. */
const lengthOf = (gradients: Params): Tensor => {
  const { runRaw, reshape, concat, matMul } = backend();
  const { square } = runRaw(() => {
    const rows = Object.values(gradients).map((gradient) => reshape(gradient, [1, gradient.size]));
    const all = rows.length === 1 ? rows[0] : concat(rows, 1); // TensorFlow joins two or more
    return { square: reshape(matMul(all, all, false, true), [1]) };
  });
  return tf.sqrt(square);
};

/** Returns a function, so that the caller can create the tensors inside its tf.tidy. */
function toBatch({ pixels, labels }: PixelBatch, { clip }: Task, at: [number, number]): () => Batch {
  const { size } = clip.image;
  return () => ({ pixels: tf.tensor4d(pixels, [labels.length, 3, size, size]), labels, at });
}

/** Loss terms and gradients of one batch; the caller disposes them. All other tensors are freed. */
export function gradientStep(
  learner: Learner,
  params: Params,
  batch: () => Batch,
): { names: string[]; terms: Tensor; gradients: Params } {
  return tf.tidy(() => {
    const loss = learner.loss(batch());
    if (!learner.gradient) return differentiate(loss, params);
    let first: { names: string[]; terms: Tensor } | undefined;
    const { gradients, terms: furtherTerms = {} } = learner.gradient((term) => {
      const result = differentiate(loss, params, term);
      if (first) result.terms.dispose();
      else first = result;
      return result.gradients;
    });
    if (!first) throw new Error("the method's `gradient` differentiated no loss term");
    const terms = tf.concat([first.terms, ...Object.values(furtherTerms).map((term) => tf.reshape(term, [1]))]);
    first.terms.dispose();
    return { names: [...first.names, ...Object.keys(furtherTerms)], terms, gradients } as any;
  });
}

const termsByName = (names: string[], values: Tensor): Record<string, number> => {
  const numbers = values.dataSync();
  return Object.fromEntries(names.map((name, i) => [name, numbers[i]]));
};
