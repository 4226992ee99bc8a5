/**
 * The training loop of all methods. Its order of operations is that of Dassl's trainer and PromptSRC's
 * `forward_backward`: for each batch of an epoch, the gradient and a step of the optimiser; for each epoch, the learning rate of
 * the schedule; after the last epoch, the aggregation of the epochs' parameters.
 */

import type { Ensemble, Optimisation } from "../configs/settings";
import { differentiate } from "../engine/autograd";
import type { Tensor } from "../engine/tf";
import { tf } from "../engine/tf";
import type { PixelBatch } from "../io/preprocess";
import type { Batch, Learner, Method, Params, Task } from "../methods/method";
import { type OptimiserState, optimiserStep, tensorsOf } from "../solvers/optimiser";
import { aggregate, type HostParams, toHost } from "./ensemble";
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

/** One epoch (from 1): its learning rate (that of its first step), the mean of each loss term over its steps, and its duration in seconds. */
export type EpochRecord = { epoch: number; lr: number; losses: Record<string, number>; seconds: number };

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

export type TrainOptions = {
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
 * @throws the abort signal's reason, or an error if an epoch has no batch or the loss is not finite
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
  const learner = method.prepare(task);
  const replace = (params: Params, optimiser: OptimiserState) => {
    tf.dispose([state.params, tensorsOf(state.optimiser)] as any);
    [state.params, state.optimiser] = [params, optimiser];
  };
  const disposeState = () => tf.dispose([state.params, tensorsOf(state.optimiser)] as any);
  try {
    for (; state.epoch < config.epochs; ) {
      const epoch = state.epoch;
      const schedule = scheduleOf(epoch + 1, config, pictures.steps);
      const startTime = performance.now();
      let names: string[] = [];
      let sums: Tensor = tf.scalar(0);
      let steps = 0;
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
          const sum = tf.add(sums, step.terms);
          tf.dispose([sums, step.terms, step.gradients] as any);
          sums = sum;
          steps += 1;
        }
        if (steps === 0)
          throw new Error(
            `epoch ${epoch + 1} has no batch: there are too few training pictures for one batch of ${config.batch}`,
          );
        const losses = tf.tidy(() => termsByName(names, tf.div(sums, steps)));
        if (!Number.isFinite(losses.total))
          throw new Error(
            `the loss is ${losses.total} in epoch ${epoch + 1}: reduce the learning rate (lr is ${config.lr})`,
          );
        state.history.push({
          epoch: epoch + 1,
          lr: schedule(0),
          losses,
          seconds: (performance.now() - startTime) / 1000,
        });
      } finally {
        sums.dispose();
      }
      state.epoch += 1;
      state.trajectory.push(toHost(state.params));
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
