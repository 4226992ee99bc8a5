/** Stopping a cell: Jupyter's stop button sends SIGINT, which must reach the loop that trains. */

let forget: (() => void) | undefined;

/**
 * A signal that is aborted by the next interrupt (the stop button, or Ctrl-C). The kernel rejects the cell by itself but leaves its
 * loop running; a loop that watches this signal ends after its step, with all finished epochs and runs kept.
 */
export function onInterrupt(): AbortSignal {
  forget?.();
  const controller = new AbortController();
  const stop = () => controller.abort(new Error("interrupted"));
  process.once("SIGINT", stop);
  forget = () => process.removeListener("SIGINT", stop);
  return controller.signal;
}
