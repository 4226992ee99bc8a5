/**
 * The operations of blocks, norms and the optimiser without TensorFlow.js's bookkeeping. A call of a TensorFlow kernel costs 7 to 20 us through
 * the binding and two to five times that through TensorFlow.js (scopes, tape, tensor records, index tensors uploaded anew), which at
 * width 128 is a third of a step. So on the native engine these functions call the binding, and pass bare handles that
 * live until the surrounding `scope` ends; on the other engines they are TensorFlow.js's own. None is differentiable.
 * What TensorFlow does in many passes over the same array has a kernel of our own in the binding (src/engine/native), for CPUs.
 */
import type { Tensor } from "./tf";
import { tf } from "./tf";

/** An array on the device: a tensor, or the handle of one. Handles are valid only in the scope that made them. */
export type Raw = { readonly shape: number[] };

type Handle = Raw & { id: number; dtype: number };
type Attribute = { name: string; type: number; value: unknown };
type Binding = {
  executeOp(name: string, attributes: Attribute[], inputs: number[], outputs: number): Handle[];
  createTensor(shape: number[], dtype: number, values: Int32Array | Float32Array): number;
  deleteTensor(id: number): void;
} & Record<"TF_FLOAT" | "TF_INT32" | "TF_ATTR_BOOL" | "TF_ATTR_FLOAT" | "TF_ATTR_INT" | "TF_ATTR_TYPE", number>;
type NativeBackend = {
  binding: Binding;
  isUsingGpuDevice: boolean;
  getInputTensorIds(tensors: Tensor[]): number[];
  createOutputTensor(handle: Handle): Tensor;
};

const native = () => tf.getBackend() === "tensorflow";
const backend = () => tf.backend() as unknown as NativeBackend;

/** Handles made in the open scope. */
let made: Handle[] | undefined;

type Raws = Record<string, Raw | undefined>;

/** Runs `f` and frees what it made, but for what it returns: that lives on in the scope around. */
export function within<T extends Raws>(f: () => T): T {
  if (!native()) return tf.tidy(f as any) as unknown as T;
  const outer = made;
  const mine: Handle[] = [];
  made = mine;
  const kept = new Set<unknown>();
  try {
    const results = f();
    for (const x of Object.values(results)) kept.add(x);
    return results;
  } finally {
    made = outer;
    for (const handle of mine) {
      if (kept.has(handle)) outer?.push(handle);
      else backend().binding.deleteTensor(handle.id);
    }
  }
}

/** As `within`, for those outside: what `f` returns become tensors. Tensors from outside stay as they are. */
export function scope<T extends Raws>(f: () => T): { [K in keyof T]: Tensor } {
  if (!native()) return tf.tidy(f as any) as any;
  const outer = made;
  const returned: Handle[] = [];
  made = returned;
  try {
    const results = within(f);
    const tensors = new Map<unknown, Tensor>(returned.map((handle) => [handle, backend().createOutputTensor(handle)]));
    return Object.fromEntries(Object.entries(results).map(([name, x]) => [name, tensors.get(x) ?? x])) as any;
  } finally {
    made = outer;
  }
}

const idOf = (x: Raw): number => (x instanceof tf.Tensor ? backend().getInputTensorIds([x as Tensor])[0] : (x as Handle).id);

/** Every call of the native engine from this file goes through `kernels.run`, so that it can be watched. */
export const kernels = {
  run(name: string, attributes: Attribute[], inputs: Raw[], outputs = 1): Raw[] {
    if (!made) throw new Error(`${name} is called outside of a scope`);
    const handles = backend().binding.executeOp(name, attributes, inputs.map(idOf), outputs);
    made.push(...handles);
    return handles;
  },
  /** Whether our own kernels can be used: they are in the binding, and the arrays in the CPU's memory. */
  own: (): boolean => native() && (ownKernels ??= !backend().isUsingGpuDevice && inBinding("PromptsrcSilu")),
};

let ownKernels: boolean | undefined;

/** Whether the binding has a kernel from one array to another. */
function inBinding(name: string): boolean {
  try {
    scope(() => {
      run(name, [constant([1], "TF_FLOAT")]);
      return {};
    });
    return true;
  } catch {
    return false;
  }
}

const run = (name: string, inputs: Raw[], attributes: Attribute[] = []): Raw => kernels.run(name, attributes, inputs)[0];

const none: Attribute[] = [];
export const flag = (name: string, value: boolean): Attribute => ({ name, type: backend().binding.TF_ATTR_BOOL, value });
export const whole = (name: string, value: number): Attribute => ({ name, type: backend().binding.TF_ATTR_INT, value });
export const real = (name: string, value: number): Attribute => ({ name, type: backend().binding.TF_ATTR_FLOAT, value });

/** Shapes, axes and scalars as arrays of the device, by content; made once. */
const constants = new Map<string, Handle>();

function constant(values: number[] | number, dtype: "TF_INT32" | "TF_FLOAT"): Raw {
  const key = `${dtype} ${values}${Array.isArray(values) ? "" : " scalar"}`;
  let handle = constants.get(key);
  if (!handle) {
    const { binding } = backend();
    const list = Array.isArray(values) ? values : [values];
    const shape = Array.isArray(values) ? [list.length] : [];
    const array = dtype === "TF_INT32" ? Int32Array.from(list) : Float32Array.from(list);
    handle = { id: binding.createTensor(shape, binding[dtype], array), shape, dtype: binding[dtype] };
    constants.set(key, handle);
  }
  return handle;
}

const ints = (values: number[] | number) => constant(values, "TF_INT32");

/** Sum, difference, product; a number or an array that broadcasts may be one of the two. */
const binary =
  (kernel: string, plain: (a: any, b: any) => Tensor) =>
  (a: Raw | number, b: Raw | number): Raw =>
    native() ? run(kernel, [array(a), array(b)]) : plain(a, b);
const array = (x: Raw | number): Raw => (typeof x === "number" ? constant(x, "TF_FLOAT") : x);
export const add = binary("AddV2", (a, b) => tf.add(a, b));
export const sub = binary("Sub", (a, b) => tf.sub(a, b));
export const mul = binary("Mul", (a, b) => tf.mul(a, b));
const unary =
  (kernel: string, plain: (x: any) => Tensor) =>
  (x: Raw): Raw =>
    native() ? run(kernel, [x]) : plain(x);
export const square = unary("Square", (x) => tf.square(x));
export const rsqrt = unary("Rsqrt", (x) => tf.rsqrt(x));
export const exp = unary("Exp", (x) => tf.exp(x));
export const log = unary("Log", (x) => tf.log(x));
export const erf = unary("Erf", (x) => tf.erf(x));
export const sigmoid = unary("Sigmoid", (x) => tf.sigmoid(x));
/** Over the last axis. */
export const softmax = unary("Softmax", (x) => tf.softmax(x));

/** Products of matrices, or of two stacks of matrices; a flag for each that is turned. */
export function matMul(a: Raw, b: Raw, turnA = false, turnB = false): Raw {
  if (!native()) return tf.matMul(a as Tensor, b as Tensor, turnA, turnB);
  const flat = a.shape.length === 2; // oneDNN runs MatMul a tenth faster than a stack of one
  const flags = (turnA ? [flag(flat ? "transpose_a" : "adj_x", true)] : none).concat(
    turnB ? [flag(flat ? "transpose_b" : "adj_y", true)] : none,
  );
  return run(flat ? "MatMul" : "BatchMatMulV2", [a, b], flags);
}

export const reshape = (x: Raw, shape: number[]): Raw => (native() ? run("Reshape", [x, ints(shape)]) : tf.reshape(x as Tensor, shape));

export const transpose = (x: Raw, order: number[]): Raw =>
  native() ? run("Transpose", [x, ints(order)]) : tf.transpose(x as Tensor, order);

/** The part of `size` (-1: to the end) from `begin`. */
export const slice = (x: Raw, begin: number[], size: number[]): Raw =>
  native() ? run("Slice", [x, ints(begin), ints(size)]) : tf.slice(x as Tensor, begin, size);

export const concat = (parts: Raw[], axis: number): Raw =>
  native()
    ? run(
        "ConcatV2",
        [...parts, ints(axis)],
        [whole("N", parts.length), { name: "T", type: backend().binding.TF_ATTR_TYPE, value: backend().binding.TF_FLOAT }],
      )
    : tf.concat(parts as Tensor[], axis);

export const tile = (x: Raw, times: number[]): Raw => (native() ? run("Tile", [x, ints(times)]) : tf.tile(x as Tensor, times));

/** Sum over one axis, which goes. */
export const sum = (x: Raw, axis: number): Raw => (native() ? run("Sum", [x, ints(axis)]) : tf.sum(x as Tensor, axis));

const overLast =
  (kernel: string, plain: (x: any) => Tensor) =>
  (x: Raw): Raw =>
    native() ? run(kernel, [x, ints([x.shape.length - 1])], [flag("keep_dims", true)]) : plain(x);
/** Sum, mean and largest over the last axis, which stays with length 1. */
export const sumLast = overLast("Sum", (x) => tf.sum(x, -1, true));
export const meanLast = overLast("Mean", (x) => tf.mean(x, -1, true));
export const maxLast = overLast("Max", (x) => tf.max(x, -1, true));

/** Rows of a matrix by number. */
export const rows = (x: Raw, which: Raw): Raw => (native() ? run("GatherV2", [x, which, ints(0)]) : tf.gather(x as Tensor, which as any));

/** A matrix of `count` rows that is 0 but for the rows of x at the places `where` [R]. */
export function placeRows(x: Raw, where: Raw, count: number): Raw {
  const places = reshape(where, [where.shape[0], 1]);
  return native() ? run("ScatterNd", [places, x, ints([count, x.shape[1]])]) : tf.scatterND(places as any, x as any, [count, x.shape[1]]);
}

/** What stands in for an input that is not there. */
export const nothing = (): Raw => constant([], "TF_FLOAT");
export const noNumbers = (): Raw => ints([]);
