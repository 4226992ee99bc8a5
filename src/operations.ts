/**
 * Every operation that the native engine runs, counted and timed: TensorFlow.js's kernels all go through two methods of its backend, those
 * of src/kernels.ts through one of their own, and on a CPU each call returns when the work is done. Operations of matrix products (2 per
 * multiply-add) are counted from their shapes.
 */
import { kernels } from "./kernels";
import { tf } from "./tf";

/** Operations of the engine by name; `flops` of the matrix products. */
export type Operation = { name: string; calls: number; seconds: number; flops: number };

type Run = (name: string, attributes: { name: string; value: unknown }[], inputs: { shape: number[] }[], outputs?: number) => unknown;
type Backend = { executeSingleOutput: Run; executeMultipleOutputs: Run };

/** Runs `f` and lists the operations it took, the slowest first. */
export function operations(f: () => void): Operation[] {
  if (tf.getBackend() !== "tensorflow") throw new Error("operations are counted on the native engine only");
  const backend = tf.backend() as unknown as Backend;
  const found = new Map<string, Operation>();
  const watched =
    (owner: unknown, run: Run): Run =>
    (name, attributes, inputs, outputs) => {
      const begun = performance.now();
      const result = run.call(owner, name, attributes, inputs, outputs);
      const operation = found.get(name) ?? { name, calls: 0, seconds: 0, flops: 0 };
      operation.calls += 1;
      operation.seconds += (performance.now() - begun) / 1000;
      const [first] = [result].flat() as { shape: number[] }[];
      if (name.includes("MatMul")) operation.flops += matmulFlops(attributes, inputs, first);
      if (name.includes("Attention")) operation.flops += attentionFlops(attributes, inputs);
      found.set(name, operation);
      return result;
    };
  const { executeSingleOutput, executeMultipleOutputs } = backend;
  const { run } = kernels;
  Object.assign(backend, {
    executeSingleOutput: watched(backend, executeSingleOutput),
    executeMultipleOutputs: watched(backend, executeMultipleOutputs),
  });
  Object.assign(kernels, { run: watched(kernels, run as Run) });
  try {
    f();
  } finally {
    Object.assign(backend, { executeSingleOutput, executeMultipleOutputs });
    Object.assign(kernels, { run });
  }
  return [...found.values()].sort((a, b) => b.seconds - a.seconds);
}

/** 2 x elements of the result x length of the sums. */
function matmulFlops(attributes: { name: string; value: unknown }[], [a]: { shape: number[] }[], result: { shape: number[] }): number {
  const turned = attributes.some(({ name, value }) => (name === "adj_x" || name === "transpose_a") && value === true);
  return 2 * result.shape.reduce((x, y) => x * y, 1) * a.shape[a.shape.length - (turned ? 2 : 1)];
}

/**
 * Of our own attention kernels: two products forward, and five for the gradient (that of the queries is left out where none is wanted);
 * where sequences have unequal lengths, as if all had the mean length.
 */
function attentionFlops(attributes: { name: string; value: unknown }[], inputs: { shape: number[] }[]): number {
  const [own, queries, theirs, constant, , , dmixed] = inputs.map(({ shape }) => shape);
  const value = (name: string) => attributes.find((attribute) => attribute.name === name)?.value as number;
  const one = queries.length === 2;
  const rows = (shape: number[]) => (shape.length === 2 ? shape[0] : 0);
  const keys = rows(constant) + rows(theirs) / value("sets") + own[0] / value("sequences");
  const products = !dmixed ? 2 : value("fixed") ? 4 : 5;
  return products * 2 * (one ? queries[0] : own[0]) * keys * (own[1] / (one ? 2 : 3));
}
