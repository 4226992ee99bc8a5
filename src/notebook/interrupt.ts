/** Interrupting a cell: Jupyter's stop button sends SIGINT, and the training loop must be told to stop. */

let removeListener: (() => void) | undefined;

/**
 * Returns a signal that is aborted by the next interrupt (the stop button, or Ctrl-C). On an interrupt the kernel
 * rejects the cell, but the cell's loop continues to run. A loop that checks this signal ends after its current step,
 * and all finished epochs and runs remain stored.
 */
export function onInterrupt(): AbortSignal {
  removeListener?.();
  const controller = new AbortController();
  const stop = () => controller.abort(new Error("interrupted"));
  process.once("SIGINT", stop);
  removeListener = () => process.removeListener("SIGINT", stop);
  return controller.signal;
}
