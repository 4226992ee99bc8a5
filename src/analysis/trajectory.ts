/** The path of a method's parameters over the epochs of a stored training. */
import { existsSync } from "node:fs";
import { tf } from "../engine/tf";
import { type Job, trainedFile } from "../experiments/job";
import { setAside } from "../io/atomicWrite";
import { ensembleOf, type Method, type Params, type Task } from "../methods/method";
import { tensorsOf } from "../solvers/optimiser";
import { loadState } from "../training/checkpoint";
import { aggregate, distance, type HostParams, toDevice, toHost } from "../training/ensemble";
import type { TrainState } from "../training/train";
import { UsageError } from "../util/errors";

/**
 * `epochs[e]` are the parameters after epoch e, `epochs[0]` the initial ones; `final` is the result of the training.
 */
export type Path = { method: Method; task: Task; epochs: HostParams[]; final: HostParams };

/**
 * The parameters after each epoch of a finished training, and its result.
 * @param job the job that trained the method on this task; its training is stored in the folder `results`
 */
export function pathOf(method: Method, task: Task, job: Job, results: string): Path {
  const file = trainedFile(job.training?.key ?? "", results);
  if (!existsSync(file)) {
    throw new UsageError(
      `the run of ${job.place} is stored in ${results}, but the file of its training, ${file}, is missing; ` +
        "delete the stored run and run it again",
    );
  }
  const { trajectory, params, optimiser } = stateOf(file, job);
  tf.dispose([params, tensorsOf(optimiser)] as any);
  const initial = tf.tidy(() => method.init(task));
  const final = aggregate(trajectory, ensembleOf(method, task.config));
  const path = { method, task, epochs: [toHost(initial), ...trajectory], final: toHost(final) };
  tf.dispose([initial, final] as any);
  return path;
}

/** Loads a training. One that is damaged is set aside, so that the next run makes it again. @throws UsageError then */
function stateOf(file: string, { place }: Job): TrainState {
  try {
    return loadState(file);
  } catch (error) {
    setAside(file, error, `${place} is to be trained again`);
    throw new UsageError(`the training of ${place} is damaged: run it again`);
  }
}

/** Calls `look` with the parameters on the device. They are disposed afterwards, so `look` must not keep them. */
export function withParams<T>(kept: HostParams, look: (params: Params) => T): T {
  const params = toDevice(kept);
  try {
    return look(params);
  } finally {
    tf.dispose(params);
  }
}

/**
 * Euclidean distance of each epoch's parameters from the result, divided by that of the initial ones, which come first.
 */
export function distances({ epochs, final }: Path): number[] {
  const lengths = epochs.map((params) => distance(final, params));
  return lengths.map((length) => length / lengths[0]);
}
