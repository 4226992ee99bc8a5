/**
 * Every operation that the native engine runs, counted and timed: TensorFlow.js's kernels all go through two methods of its backend, those
 * of src/engine/backend.ts through one of their own, and on a CPU each call returns when the work is done. Operations of matrix products (2 per
 * multiply-add) are counted from their shapes.
 */
import { kernels } from "./backend";
import { tf } from "./tf";

/** Operations of the engine by name; `flops` of the matrix products. */
export type Operation = { name: string; calls: number; seconds: number; flops: number };

type Shaped = { shape: number[] };
type Attributes = { name: string; value: unknown }[];
type Run = (name: string, attributes: Attributes, inputs: Shaped[], outputs?: number) => unknown;
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
      operation.flops += flops[name]?.(inputs, ([result].flat() as Shaped[])[0], (wanted) => valueNamed(attributes, wanted)) ?? 0;
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

const valueNamed = (attributes: Attributes, wanted: string) => attributes.find(({ name }) => name === wanted)?.value;

type Count = (inputs: Shaped[], result: Shaped, value: (attribute: string) => unknown) => number;

const matMul: Count = ([a], result, value) => {
  const turned = value("adj_x") === true || value("transpose_a") === true;
  return 2 * size(result) * a.shape[a.shape.length - (turned ? 2 : 1)];
};
/** Two maps; the inputs are x [R,D] and the first of them [D,M]. */
const mlp: Count = ([x, up]) => 4 * size(x) * up.shape[1];
/** `products` of [Q,K] and [K,d] a head; where sequences have unequal lengths, as if all had the mean length. */
const attention =
  (products: (fixed: boolean) => number): Count =>
  ([own, queries, theirs, constant], _, value) => {
    const one = queries.shape.length === 2;
    const rows = ({ shape }: Shaped) => (shape.length === 2 ? shape[0] : 0);
    const keys = rows(constant) + rows(theirs) / (value("sets") as number) + own.shape[0] / (value("sequences") as number);
    const asking = one ? queries.shape[0] : own.shape[0];
    return products(value("fixed") === true) * 2 * asking * keys * (own.shape[1] / (one ? 2 : 3));
  };

/** Floating-point operations of matrix products: 2 x elements of the result x length of the sums. */
const flops: Record<string, Count> = {
  MatMul: matMul,
  BatchMatMulV2: matMul,
  PromptsrcProduct: ([x], result) => 2 * size(result) * x.shape[1],
  PromptsrcMlp: mlp,
  PromptsrcMlpGradient: mlp,
  PromptsrcAttention: attention(() => 2),
  PromptsrcAttentionGradient: attention((fixed) => (fixed ? 4 : 5)),
};

const size = ({ shape }: Shaped): number => shape.reduce((a, b) => a * b, 1);
