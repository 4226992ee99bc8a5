/**
 * Counts and times every kernel that the native engine runs. TensorFlow.js's kernels all go through two methods of its
 * backend, those of nativeBackend.ts through `observeKernels`; on a CPU each call returns when the work is done. A
 * function (compiled.ts) counts as one kernel. FLOPs are those of the matrix products, 2 for each multiply-add, counted
 * from their shapes.
 */
import { kernelsOf } from "./compiled";
import { type Execute, observeKernels } from "./nativeBackend";
import { tf } from "./tf";

/** All calls of one kernel. */
export type KernelProfile = { name: string; calls: number; seconds: number; flops: number };

type Shaped = { shape: number[] };
type Attributes = { name: string; value: unknown }[];
type ExecuteAny = (name: string, attributes: any[], inputs: any[], outputs?: number) => unknown;
type ObservedBackend = { executeSingleOutput: ExecuteAny; executeMultipleOutputs: ExecuteAny };

/** Runs `f` and lists the kernels it ran, the slowest first. @throws on an engine other than the native one. */
export function profileKernels(f: () => void): KernelProfile[] {
  if (tf.getBackend() !== "tensorflow") throw new Error("kernels are profiled on the native engine only");
  const backend = tf.backend() as unknown as ObservedBackend;
  const profiles = new Map<string, KernelProfile>();
  const observed =
    (execute: ExecuteAny): ExecuteAny =>
    (name, attributes, inputs, outputs) => {
      const begun = performance.now();
      const result = execute.call(backend, name, attributes, inputs, outputs);
      const profile = profiles.get(name) ?? { name, calls: 0, seconds: 0, flops: 0 };
      profile.calls += 1;
      profile.seconds += (performance.now() - begun) / 1000;
      const first = ([result].flat() as Shaped[])[0];
      const inside = kernelsOf(name).map((kernel) =>
        count(kernel.name, kernel.attributes, kernel.inputs, kernel.result),
      );
      profile.flops += inside.reduce((sum, one) => sum + one, count(name, attributes, inputs, first));
      profiles.set(name, profile);
      return result;
    };
  const { executeSingleOutput, executeMultipleOutputs } = backend;
  Object.assign(backend, {
    executeSingleOutput: observed(executeSingleOutput),
    executeMultipleOutputs: observed(executeMultipleOutputs),
  });
  try {
    observeKernels((execute) => observed(execute as ExecuteAny) as Execute, f);
  } finally {
    Object.assign(backend, { executeSingleOutput, executeMultipleOutputs });
  }
  return [...profiles.values()].sort((a, b) => b.seconds - a.seconds);
}

const count = (name: string, attributes: Attributes, inputs: Shaped[], result: Shaped): number =>
  flops[name]?.(inputs, result, (wanted) => valueNamed(attributes, wanted)) ?? 0;

const valueNamed = (attributes: Attributes, wanted: string) => attributes.find(({ name }) => name === wanted)?.value;

type Count = (inputs: Shaped[], result: Shaped, value: (attribute: string) => unknown) => number;

const matMulFlops: Count = ([a], result, value) => {
  const transposed = value("adj_x") === true || value("transpose_a") === true;
  return 2 * size(result) * a.shape[a.shape.length - (transposed ? 2 : 1)];
};
/** Two maps; the inputs are x [R,D] and the first of them [D,M]. */
const mlpFlops: Count = ([x, up]) => 4 * size(x) * up.shape[1];
/**
 * `products` matrix products of [Q,d] and [d,K] for each head. Sequences of unequal length are counted as if all had
 * the mean length.
 */
const attentionFlops =
  (products: (frozenInput: boolean) => number): Count =>
  ([tokens, queries, promptKV, prefixKV], _, value) => {
    const oneQuery = queries.shape.length === 2;
    const rows = ({ shape }: Shaped) => (shape.length === 2 ? shape[0] : 0);
    const promptKeys = rows(promptKV) / (value("prompt_sets") as number);
    const keys = rows(prefixKV) + promptKeys + tokens.shape[0] / (value("sequences") as number);
    const Q = oneQuery ? queries.shape[0] : tokens.shape[0];
    return products(value("frozen_input") === true) * 2 * Q * keys * (tokens.shape[1] / (oneQuery ? 2 : 3));
  };

/** Floating-point operations of matrix products: 2 x elements of the result x length of the sums. */
const flops: Record<string, Count> = {
  MatMul: matMulFlops,
  BatchMatMulV2: matMulFlops,
  PromptsrcLinear: ([x], result) => 2 * size(result) * x.shape[1],
  PromptsrcMlp: mlpFlops,
  PromptsrcMlpBackward: mlpFlops,
  PromptsrcAttention: attentionFlops(() => 2),
  PromptsrcAttentionBackward: attentionFlops((frozenInput) => (frozenInput ? 4 : 5)),
};

const size = ({ shape }: Shaped): number => shape.reduce((a, b) => a * b, 1);
