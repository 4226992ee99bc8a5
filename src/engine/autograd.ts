/**
 * Differentiable operations with gradients written by hand: few tensors are saved, frozen weights get no gradient, and
 * only kernels that every engine has are used (the WASM backend lacks LogSoftmax and UnsortedSegmentSum, which rules
 * out TensorFlow.js's logSoftmax and its gradient of gather). Shapes: R rows, D width.
 */
import type { RawTensor } from "./backend";
import { compiled } from "./compiled";
import { backend } from "./dispatch";
import { plainLayerNorm, plainLayerNormBackward } from "./fusedOps";
import type { Scalar, Tensor, Tensor1D, Tensor2D } from "./tf";
import { tf } from "./tf";

/** Gain and bias of a layer norm, both [D]. */
export type Norm = { gain: Tensor; bias: Tensor; epsilon: number };

/** Whether tf.grads is recording, so that an operation has to save what its gradient needs. */
export const recording = (): boolean => tf.engine().state.gradientDepth > 0;

type NormArgs = { x: RawTensor; gain: RawTensor; bias: RawTensor; epsilon: number };
const norm = compiled("norm", ({ x, gain, bias, epsilon }: NormArgs) => {
  const { add, mul } = backend();
  return { y: add(mul(plainLayerNorm(x, epsilon), gain), bias) };
});
const normBackward = compiled(
  "normBackward",
  ({ dy, x, gain, epsilon }: Omit<NormArgs, "bias"> & { dy: RawTensor }) => ({
    dx: plainLayerNormBackward(backend().mul(dy, gain), x, epsilon),
  }),
);

/** Layer norm over the last axis (variance biased, as torch has it). Gain and bias are frozen. */
export function frozenLayerNorm<T extends Tensor>(x: T, { gain, bias, epsilon }: Norm): T {
  const { runRaw } = backend();
  return tf.customGrad((x: any, save: any) => {
    save([x]);
    const value = runRaw(() => norm({ x, gain, bias, epsilon })).y;
    const gradFunc = (dy: any, [x]: any) => runRaw(() => normBackward({ dy, x, gain, epsilon })).dx;
    return { value, gradFunc };
  })(x) as T;
}

const normalise = compiled("normalise", ({ x }: { x: RawTensor }) => {
  const { mul, square, rsqrt, sumLast } = backend();
  const factor = rsqrt(sumLast(square(x)));
  return { y: mul(x, factor), factor };
});
type NormaliseGradient = Record<"dy" | "y" | "factor", RawTensor>;
const normaliseBackward = compiled("normaliseBackward", ({ dy, y, factor }: NormaliseGradient) => {
  const { sub, mul, sumLast } = backend();
  return { dx: mul(sub(dy, mul(y, sumLast(mul(dy, y)))), factor) };
});

/** Rows divided by their Euclidean length, as torch's functional.normalize. */
export function l2Normalise<T extends Tensor>(x: T): T {
  const { runRaw } = backend();
  return tf.customGrad((x: any, save: any) => {
    const { y, factor } = runRaw(() => normalise({ x }));
    save([y, factor]);
    const gradFunc = (dy: any, [y, factor]: any) => runRaw(() => normaliseBackward({ dy, y, factor })).dx;
    return { value: y, gradFunc };
  })(x) as T;
}

const logProbabilities = compiled("logSoftmax", ({ x }: { x: RawTensor }) => {
  const { sub, exp, log, maxLast, sumLast } = backend();
  const shifted = sub(x, maxLast(x));
  return { y: sub(shifted, log(sumLast(exp(shifted)))) };
});
const logSoftmaxBackward = compiled("logSoftmaxBackward", ({ dy, y }: Record<"dy" | "y", RawTensor>) => {
  const { sub, mul, exp, sumLast } = backend();
  return { dx: sub(dy, mul(exp(y), sumLast(dy))) };
});

/** Logarithm of the softmax over the last axis. */
export function logSoftmax<T extends Tensor>(x: T): T {
  const { runRaw } = backend();
  return tf.customGrad((x: any, save: any) => {
    const { y } = runRaw(() => logProbabilities({ x }));
    save([y]);
    const gradFunc = (dy: any, [y]: any) => runRaw(() => logSoftmaxBackward({ dy, y })).dx;
    return { value: y, gradFunc };
  })(x) as T;
}

/** x times a number. */
export const scale = <T extends Tensor>(x: T, factor: number): T => {
  const times = (x: Tensor) => backend().runRaw(() => ({ y: backend().mul(x, factor) })).y;
  return tf.customGrad((x: any) => ({ value: times(x), gradFunc: (dy: any) => times(dy) }))(x) as T;
};

/** Mean of |x|. Its gradient at 0 is 0, as torch has it (that of tf.abs is -1). */
export function meanAbsolute(x: Tensor): Scalar {
  const { runRaw, mul } = backend();
  return tf.customGrad((x: any, save: any) => {
    save([tf.sign(x)]);
    const gradFunc = (dy: any, [sign]: any) => runRaw(() => ({ dx: mul(mul(sign, dy), 1 / sign.size) })).dx;
    return { value: tf.mean(tf.abs(x)), gradFunc };
  })(x) as Scalar;
}

/** x itself; in the backward pass its gradient is multiplied by a number. */
export const scaleGradient = <T extends Tensor>(x: T, factor: number): T =>
  tf.customGrad((x: any) => ({ value: tf.clone(x), gradFunc: (dy: any) => tf.mul(dy, factor) }))(x) as T;

/** [1,...] -> [n,...], n times the same. */
export function repeat<T extends Tensor>(x: T, n: number): T {
  const times = [n, ...x.shape.slice(1).map(() => 1)];
  return tf.customGrad((x: any) => ({ value: tf.tile(x, times as any), gradFunc: (dy: any) => tf.sum(dy, 0, true) }))(
    x,
  ) as T;
}

/** Rows of x by their int32 indices, of which no two may be equal. */
export function gatherRows(x: Tensor2D, indices: Tensor1D): Tensor2D {
  const { runRaw, gatherRows, scatterRows } = backend();
  return tf.customGrad((x: any, save: any) => {
    save([indices]);
    const gradFunc = (dy: any, [indices]: any) => runRaw(() => ({ dx: scatterRows(dy, indices, x.shape[0]) })).dx;
    return { value: runRaw(() => ({ y: gatherRows(x, indices) })).y, gradFunc };
  })(x) as Tensor2D;
}

/** Row i of the result is row `order[i]` of x. */
export const permuteRows = (x: Tensor2D, order: number[]): Tensor2D =>
  order.every((row, i) => row === i) ? x : tf.tidy(() => gatherRows(x, tf.tensor1d(order, "int32")));

/**
 * Value and gradients of a function of a record of tensors. `f` returns named scalars; `total` is what is
 * differentiated, the others come back as values.
 * @throws where a term is no scalar
 * @returns tensors that the caller disposes: `terms` [number of terms] in the order of `names`, and a gradient per
 *   parameter.
 */
export function differentiate(
  f: (params: Record<string, Tensor>) => Record<string, Tensor>,
  params: Record<string, Tensor>,
  of = "total",
): { names: string[]; terms: Tensor; gradients: Record<string, Tensor> } {
  const keys = Object.keys(params);
  let names: string[] = [];
  let kept: Tensor | undefined;
  const { value, grads } = tf.valueAndGrads((...values: Tensor[]) => {
    const terms = f(Object.fromEntries(keys.map((key, i) => [key, values[i]])));
    if (!(of in terms)) throw new Error(`no loss term "${of}" among ${Object.keys(terms).join(", ")}`);
    names = Object.keys(terms);
    const wide = names.find((name) => terms[name].rank !== 0);
    if (wide !== undefined)
      throw new Error(
        `the loss term "${wide}" has the shape [${terms[wide].shape}]; it must be one number, such as tf.mean of it`,
      );
    kept = tf.keep(tf.stack(Object.values(terms)));
    return terms[of] as Scalar;
  })(keys.map((key) => params[key]));
  value.dispose();
  return { names, terms: kept as Tensor, gradients: Object.fromEntries(keys.map((key, i) => [key, grads[i]])) };
}

/** One-hot rows [B,C] (tf.oneHot refuses a single class). */
export const oneHot = (labels: Int32Array, classes: number): Tensor2D => {
  const values = new Float32Array(labels.length * classes);
  labels.forEach((label, b) => {
    if (!(label >= 0 && label < classes))
      throw new Error(`label ${label} of picture ${b} is none of the ${classes} classes`);
    values[b * classes + label] = 1;
  });
  return tf.tensor2d(values, [labels.length, classes]);
};
