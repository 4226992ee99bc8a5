/**
 * The backend of the engine "native": TensorFlow's kernels, called through the binding of tfjs-node without
 * TensorFlow.js's bookkeeping, and the fused kernels of src/engine/native where the binding registered them.
 */
import {
  type AttentionGradients,
  type Backend,
  type FusedAttentionInputs,
  type FusedKernels,
  linearArguments,
  type MlpWeights,
  type RawTensor,
  type RawTensors,
} from "./backend";
import { type Tensor, tf, usesGpu } from "./tf";

/** `values` are there in a constant. */
type Handle = RawTensor & { id: number; dtype: number; values?: number[] | number };
export type Attribute = { name: string; type: number; value: unknown };
type Binding = {
  executeOp(name: string, attributes: Attribute[], inputs: number[], outputs: number): Handle[];
  createTensor(shape: number[], dtype: number, values: Int32Array | Float32Array | Uint8Array): number;
  deleteTensor(id: number): void;
} & Record<"TF_FLOAT" | "TF_INT32" | "TF_UINT8" | `TF_ATTR_${"BOOL" | "FLOAT" | "INT" | "TYPE"}`, number>;
type NodeBackend = {
  binding: Binding;
  getInputTensorIds(tensors: Tensor[]): number[];
  createOutputTensor(handle: Handle): Tensor;
};

const node = () => tf.backend() as unknown as NodeBackend;

/** Handles made by the innermost `tidyRaw` or `runRaw` that is running. */
let scope: Handle[] | undefined;

/** Runs one kernel. */
export type Execute = (name: string, attributes: Attribute[], inputs: RawTensor[], outputs?: number) => RawTensor[];

const executeKernel: Execute = (name, attributes, inputs, outputs = 1) => {
  if (!scope) throw new Error(`${name} is called outside of runRaw`);
  let handles: Handle[];
  try {
    handles = node().binding.executeOp(name, attributes, inputs.map(idOf), outputs);
  } catch (error) {
    const reason = (error as Error).message.replace(/^Invalid TF_Status: \d+\nMessage: /, "");
    throw new Error(`${name} of ${inputs.map(({ shape }) => `[${shape}]`).join(", ")}: ${reason}`);
  }
  scope.push(...handles);
  return handles;
};

let executeObserved = executeKernel;
export const execute: Execute = (...call) => executeObserved(...call);

/**
 * Runs `f` with every kernel call of this file going through `observer(execute)`: for the profiler, and to record a
 * function (compiled.ts).
 */
export function observeKernels(observer: (execute: Execute) => Execute, f: () => void): void {
  const outer = executeObserved;
  executeObserved = observer(outer);
  try {
    f();
  } finally {
    executeObserved = outer;
  }
}

/** The number by which the binding knows an array. */
export const idOf = (x: RawTensor): number =>
  x instanceof tf.Tensor ? node().getInputTensorIds([x as Tensor])[0] : (x as Handle).id;

/** The type of an array, as TensorFlow numbers it. */
export const typeOf = (x: RawTensor): number =>
  x instanceof tf.Tensor ? node().binding[x.dtype === "int32" ? "TF_INT32" : "TF_FLOAT"] : (x as Handle).dtype;

const run = (name: string, inputs: RawTensor[], attributes: Attribute[] = []): RawTensor =>
  execute(name, attributes, inputs)[0];

/** Runs a kernel that takes bytes and gives nothing. */
export function runOnBytes(name: string, bytes: Uint8Array): void {
  const { binding } = node();
  const id = binding.createTensor([bytes.length], binding.TF_UINT8, bytes);
  try {
    binding.executeOp(name, [], [id], 0);
  } finally {
    binding.deleteTensor(id);
  }
}

const bool = (name: string, value: boolean): Attribute => ({ name, type: node().binding.TF_ATTR_BOOL, value });
const int = (name: string, value: number): Attribute => ({ name, type: node().binding.TF_ATTR_INT, value });
const float = (name: string, value: number): Attribute => ({ name, type: node().binding.TF_ATTR_FLOAT, value });

/**
 * Shapes, axes and scalars as arrays of the device, by their content. Each is made once and lives as the process does.
 */
const constants = new Map<string, Handle>();

function constant(values: number[] | number, dtype: "TF_INT32" | "TF_FLOAT"): RawTensor {
  const key = `${dtype} ${values}${Array.isArray(values) ? "" : " scalar"}`;
  let handle = constants.get(key);
  if (!handle) {
    const { binding } = node();
    const list = Array.isArray(values) ? values : [values];
    const shape = Array.isArray(values) ? [list.length] : [];
    const array = dtype === "TF_INT32" ? Int32Array.from(list) : Float32Array.from(list);
    handle = { id: binding.createTensor(shape, binding[dtype], array), shape, dtype: binding[dtype], values };
    constants.set(key, handle);
  }
  return handle;
}

const ints = (values: number[] | number) => constant(values, "TF_INT32");
const operand = (x: RawTensor | number): RawTensor => (typeof x === "number" ? constant(x, "TF_FLOAT") : x);

const unary = (kernel: string) => (x: RawTensor) => run(kernel, [x]);
const binary = (kernel: string) => (a: RawTensor | number, b: RawTensor | number) =>
  run(kernel, [operand(a), operand(b)]);
const overLastAxis = (kernel: string) => (x: RawTensor) =>
  run(kernel, [x, ints([x.shape.length - 1])], [bool("keep_dims", true)]);

function tidyRaw<T extends RawTensors>(f: () => T): T {
  const outer = scope;
  const made: Handle[] = [];
  scope = made;
  const returned = new Set<unknown>();
  try {
    const results = f();
    for (const x of Object.values(results)) returned.add(x);
    return results;
  } finally {
    scope = outer;
    for (const handle of made) {
      if (returned.has(handle)) outer?.push(handle);
      else node().binding.deleteTensor(handle.id);
    }
  }
}

function runRaw<T extends RawTensors>(f: () => T): { [K in keyof T]: Tensor } {
  const outer = scope;
  const returned: Handle[] = [];
  scope = returned;
  try {
    const results = tidyRaw(f);
    const tensors = new Map<unknown, Tensor>(returned.map((handle) => [handle, node().createOutputTensor(handle)]));
    return Object.fromEntries(Object.entries(results).map(([name, x]) => [name, tensors.get(x) ?? x])) as any;
  } finally {
    scope = outer;
  }
}

export const nativeBackend: Backend = {
  tidyRaw,
  runRaw,

  add: binary("AddV2"),
  sub: binary("Sub"),
  mul: binary("Mul"),
  div: binary("RealDiv"),
  square: unary("Square"),
  sqrt: unary("Sqrt"),
  rsqrt: unary("Rsqrt"),
  exp: unary("Exp"),
  log: unary("Log"),
  erf: unary("Erf"),
  sigmoid: unary("Sigmoid"),

  softmax: unary("Softmax"),
  sumLast: overLastAxis("Sum"),
  meanLast: overLastAxis("Mean"),
  maxLast: overLastAxis("Max"),
  sum: (x, axis) => run("Sum", [x, ints(axis)]),

  matMul(a, b, transposeA = false, transposeB = false) {
    const single = a.shape.length === 2; // oneDNN runs MatMul a tenth faster than BatchMatMulV2 on a batch of one.
    const attributes: Attribute[] = [];
    if (transposeA) attributes.push(bool(single ? "transpose_a" : "adj_x", true));
    if (transposeB) attributes.push(bool(single ? "transpose_b" : "adj_y", true));
    return run(single ? "MatMul" : "BatchMatMulV2", [a, b], attributes);
  },

  reshape: (x, shape) => run("Reshape", [x, ints(shape)]),
  transpose: (x, order) => run("Transpose", [x, ints(order)]),
  slice: (x, begin, size) => run("Slice", [x, ints(begin), ints(size)]),
  concat(parts, axis) {
    const { TF_ATTR_TYPE: type, TF_FLOAT: value } = node().binding;
    return run("ConcatV2", [...parts, ints(axis)], [int("N", parts.length), { name: "T", type, value }]);
  },
  tile: (x, multiples) => run("Tile", [x, ints(multiples)]),
  gatherRows: (x, indices) => run("GatherV2", [x, indices, ints(0)]),
  scatterRows(x, indices, count) {
    const column = run("Reshape", [indices, ints([indices.shape[0], 1])]);
    return run("ScatterNd", [column, x, ints([count, x.shape[1]])]);
  },

  /** Read on every call of a fused operation; the answer of `findFused` is remembered. */
  get fused() {
    fused ??= { kernels: findFused() };
    return fused.kernels;
  },
};

let fused: { kernels: FusedKernels | undefined } | undefined;

/** The fused kernels, where arrays are in the CPU's memory and the binding registered them for this processor. */
function findFused(): FusedKernels | undefined {
  if (usesGpu()) return undefined;
  return isRegistered("PromptsrcSilu") ? fusedKernels : undefined;
}

/**
 * Whether the binding has a kernel that takes and gives one float array.
 * @throws what the kernel throws, if it is there and fails: a broken kernel must not become a slow path in silence.
 */
export function isRegistered(name: string): boolean {
  try {
    runRaw(() => {
      executeKernel(name, [], [constant([1], "TF_FLOAT")]);
      return {};
    });
    return true;
  } catch (error) {
    if (/registered/.test((error as Error).message)) return false;
    throw error;
  }
}

/** Stands for an input that is absent: an empty array. */
const absent = (): RawTensor => constant([], "TF_FLOAT");
const optional = (x: RawTensor | undefined): RawTensor => x ?? absent();

const mlpInputs = ({ up, down, bias }: MlpWeights, x: RawTensor): RawTensor[] => [x, up, down, bias];

const attentionInputs = (inputs: FusedAttentionInputs): RawTensor[] => [
  inputs.tokens,
  optional(inputs.queries),
  optional(inputs.promptKV),
  optional(inputs.prefixKV),
  optional(inputs.mask),
  inputs.rowSplits ?? ints([]),
];

const attentionAttributes = ({ heads, sequences, promptSets }: FusedAttentionInputs, frozenInput: boolean) => [
  int("heads", heads),
  int("sequences", sequences),
  int("prompt_sets", promptSets),
  bool("frozen_input", frozenInput),
];

const fusedKernels: FusedKernels = {
  layerNorm: (x, epsilon, offset) =>
    run("PromptsrcLayerNorm", [x], [float("epsilon", epsilon), float("offset", offset)]),
  layerNormBackward: (dy, x, epsilon, residual) =>
    run("PromptsrcLayerNormBackward", [dy, x, optional(residual)], [float("epsilon", epsilon)]),
  silu: (a) => run("PromptsrcSilu", [a]),
  siluBackward: (a, dy) => run("PromptsrcSiluBackward", [a, dy]),
  residualBias: (x, z, bias) => run("PromptsrcResidualBias", [x, z, bias]),
  linear(x, weight, { begin, count }, options) {
    const { kind, input, residual, bias, epsilon } = linearArguments(options);
    return run(
      "PromptsrcLinear",
      [x, weight, optional(input), optional(residual), optional(bias)],
      [
        int("begin", begin),
        int("columns", count),
        bool("transpose", options.transpose === true),
        bool("layer_norm", options.layerNorm !== undefined),
        int("epilogue", kind),
        float("epsilon", epsilon),
      ],
    );
  },
  mlp(weights, x, keepHidden) {
    const attributes = [float("epsilon", weights.epsilon), bool("keep_hidden", keepHidden)];
    const [y, hidden] = execute("PromptsrcMlp", attributes, mlpInputs(weights, x), 2);
    return { y, hidden: keepHidden ? hidden : undefined };
  },
  mlpBackward: (weights, x, hidden, dy) =>
    run("PromptsrcMlpBackward", [...mlpInputs(weights, x), hidden, dy], [float("epsilon", weights.epsilon)]),
  attention: (inputs) => run("PromptsrcAttention", attentionInputs(inputs), attentionAttributes(inputs, false)),
  attentionBackward(inputs, frozenInput, dy): AttentionGradients {
    const attributes = attentionAttributes(inputs, frozenInput);
    const [tokens, queries, promptKV] = execute(
      "PromptsrcAttentionBackward",
      attributes,
      [...attentionInputs(inputs), dy],
      3,
    );
    return { tokens, queries, promptKV };
  },
};
