/** The path of a method's parameters through a stored training. */
import { existsSync } from "node:fs";
import { tf } from "../engine/tf";
import { type Job, trainedFile } from "../experiments/runner";
import { ensembleOf, type Method, type Params, type Task } from "../methods/method";
import { loadState } from "../training/checkpoint";
import { aggregate, type HostParams, toDevice, toHost } from "../training/ensemble";
import { UsageError } from "../util/errors";

/** `epochs[e]` are the parameters after epoch e, the first the initial ones; `final` is the result. */
export type Path = { method: Method; task: Task; epochs: HostParams[]; final: HostParams };

/**
 * The parameters of a finished training after each epoch, and the result.
 * @param job that trained the method on this task; its training lies in the folder `results`.
 */
export function pathOf(method: Method, task: Task, job: Job, results: string): Path {
  const file = trainedFile(job.training?.key ?? "", results);
  if (!existsSync(file)) {
    throw new UsageError(
      `the run of ${job.place} is stored in ${results}, but its training ${file} is gone; delete the run and run it again`,
    );
  }
  const { trajectory, params, velocity } = loadState(file);
  tf.dispose([params, velocity] as any);
  const start = tf.tidy(() => method.init(task));
  const final = aggregate(trajectory, ensembleOf(method, task.config));
  const path = { method, task, epochs: [toHost(start), ...trajectory], final: toHost(final) };
  tf.dispose([start, final] as any);
  return path;
}

/** What `look` sees with these parameters, which it must not keep. */
export function withParams<T>(kept: HostParams, look: (params: Params) => T): T {
  const params = toDevice(kept);
  try {
    return look(params);
  } finally {
    tf.dispose(params);
  }
}

/** Distances of each epoch's parameters, the initial ones first, from the result; in units of the first. */
export function distances({ epochs, final }: Path): number[] {
  const all = epochs.map((kept) => {
    const squares = Object.entries(final).flatMap(([name, { data }]) =>
      Array.from(data, (value, i) => (value - kept[name].data[i]) ** 2),
    );
    return Math.sqrt(squares.reduce((a, b) => a + b, 0));
  });
  return all.map((distance) => distance / all[0]);
}
