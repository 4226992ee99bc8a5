/**
 * The training loop of all methods: epochs of batches -> gradient -> SGD -> schedule -> aggregate, as Dassl's trainer and
 * PromptSRC's `forward_backward` order them.
 */

import type { Ensemble, Optimisation } from "../configs/settings";
import { differentiate } from "../engine/autograd";
import type { Tensor } from "../engine/tf";
import { tf } from "../engine/tf";
import type { PixelBatch } from "../io/preprocess";
import type { Batch, Learner, Method, Params, Task } from "../methods/method";
import { aggregate, type HostParams, toHost } from "./ensemble";
import { learningRate } from "./schedule";
import { sgdStep } from "./sgd";

/**
 * The pictures of epoch 1, 2 ...: batches of normalised pixels [B,3,R,R] with a label each. They depend on nothing but the epoch, so that
 * a resumed run sees the same.
 */
export type Pictures = { epoch(epoch: number): Iterable<PixelBatch> | AsyncIterable<PixelBatch> };

/** One epoch (from 1): its learning rate, the mean of each loss term over its steps, its duration. */
export type EpochRecord = { epoch: number; lr: number; losses: Record<string, number>; seconds: number };

/** All that training goes on from. `epoch` counts the finished epochs, `trajectory` holds the parameters after each of them. */
export type TrainState = {
  epoch: number;
  params: Params;
  velocity: Params | null;
  trajectory: HostParams[];
  history: EpochRecord[];
};

export type TrainOptions = {
  /** Stops before the next step; `train` then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** After each step (both from 0). `terms()` reads the losses back from the device. */
  onStep?(step: { epoch: number; step: number; terms(): Record<string, number>; gradients: Params }): void;
  /** After each epoch. The tensors are the loop's: copy or save them before returning. */
  onEpoch?(state: TrainState): void | Promise<void>;
  /** How the epochs' parameters are weighted in the result; the last epoch's are it unless given. */
  ensemble?: Ensemble;
  /** Goes on from here (the tensors are taken over) instead of from `method.init`. */
  resume?: TrainState;
};

/** `params` is the method's result (the aggregate of the epochs where `ensemble` asks for it), `last` the last epoch's; the caller disposes both. */
export type Trained = { params: Params; last: Params; trajectory: HostParams[]; history: EpochRecord[] };

/**
 * Trains from `method.init` (or `options.resume`) through `config.epochs`.
 * @throws the abort signal's reason; an error where an epoch has no batch or the loss is not a number.
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
    velocity: null,
    trajectory: [],
    history: [],
  };
  const learner = method.prepare(task);
  const replace = (key: "params" | "velocity", value: Params) => {
    if (state[key]) tf.dispose(state[key]);
    state[key] = value;
  };
  const drop = () => tf.dispose([state.params, state.velocity] as any);
  try {
    for (; state.epoch < config.epochs; ) {
      const epoch = state.epoch;
      const lr = learningRate(epoch + 1, config);
      const begun = performance.now();
      let names: string[] = [];
      let sums: Tensor = tf.scalar(0);
      let steps = 0;
      try {
        for await (const raw of pictures.epoch(epoch + 1)) {
          await new Promise(setImmediate); // lets timers, signals and the notebook's messages through
          signal?.throwIfAborted();
          const step = gradientStep(learner, state.params, toTensors(raw, task, [epoch, steps]));
          names = step.names;
          options.onStep?.({ epoch, step: steps, gradients: step.gradients, terms: () => named(names, step.terms) });
          const next = sgdStep(state.params, state.velocity, step.gradients, { ...config, lr });
          replace("params", next.params);
          replace("velocity", next.velocity);
          const sum = tf.add(sums, step.terms);
          tf.dispose([sums, step.terms, step.gradients] as any);
          sums = sum;
          steps += 1;
        }
        if (steps === 0)
          throw new Error(
            `epoch ${epoch + 1} has no batch: fewer than one batch of ${config.batch} pictures to train on`,
          );
        const losses = tf.tidy(() => named(names, tf.div(sums, steps)));
        if (!Number.isFinite(losses.total))
          throw new Error(
            `the loss is ${losses.total} in epoch ${epoch + 1}: lower the learning rate (lr ${config.lr})`,
          );
        state.history.push({ epoch: epoch + 1, lr, losses, seconds: (performance.now() - begun) / 1000 });
      } finally {
        sums.dispose();
      }
      state.epoch += 1;
      state.trajectory.push(toHost(state.params));
      await options.onEpoch?.(state);
    }
  } catch (error) {
    drop();
    throw error;
  } finally {
    learner.dispose();
  }
  const { params: last, velocity, trajectory, history } = state;
  const params = aggregate(trajectory, options.ensemble ?? null);
  if (velocity) tf.dispose(velocity);
  return { params, last, trajectory, history };
}

function toTensors({ pixels, labels }: PixelBatch, { clip }: Task, at: [number, number]): () => Batch {
  const { size } = clip.image;
  return () => ({ pixels: tf.tensor4d(pixels, [labels.length, 3, size, size]), labels, at });
}

/** Losses and gradients of one batch; the caller disposes them. Everything else is freed. */
export function gradientStep(
  learner: Learner,
  params: Params,
  batch: () => Batch,
): { names: string[]; terms: Tensor; gradients: Params } {
  return tf.tidy(() => {
    const loss = learner.loss(batch());
    if (!learner.gradient) return differentiate(loss, params);
    let first: { names: string[]; terms: Tensor } | undefined;
    const { gradients, terms: more = {} } = learner.gradient((term) => {
      const result = differentiate(loss, params, term);
      if (first) result.terms.dispose();
      else first = result;
      return result.gradients;
    });
    if (!first) throw new Error("the method's gradient rule differentiated no term");
    const terms = tf.concat([first.terms, ...Object.values(more).map((term) => tf.reshape(term, [1]))]);
    first.terms.dispose();
    return { names: [...first.names, ...Object.keys(more)], terms, gradients } as any;
  });
}

const named = (names: string[], values: Tensor): Record<string, number> => {
  const numbers = values.dataSync();
  return Object.fromEntries(names.map((name, i) => [name, numbers[i]]));
};
