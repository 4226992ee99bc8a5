/**
 * Differentiable operations with gradients written by hand: few tensors are saved, frozen weights get no gradient, and only
 * kernels that every engine has are used (WASM lacks LogSoftmax and UnsortedSegmentSum, so tfjs's own logSoftmax and the
 * gradient of gather are out). Shapes: R rows, D width.
 */
import * as k from "./backend";
import * as rows from "./fusedOps";
import type { Scalar, Tensor, Tensor1D, Tensor2D } from "./tf";
import { tf } from "./tf";

/** Gain and bias of a layer norm, both [D]. */
export type Norm = { gain: Tensor; bias: Tensor; epsilon: number };

/** True inside `tf.grads`: an operation then has to save what its gradient needs. */
export const recording = (): boolean => tf.engine().state.gradientDepth > 0;

/** Layer norm over the last axis (variance biased, as torch has it); gain and bias are frozen. */
export function layerNorm<T extends Tensor>(x: T, { gain, bias, epsilon }: Norm): T {
  return tf.customGrad((x: any, save: any) => {
    save([x]);
    const value = k.scope(() => ({ y: k.add(k.mul(rows.layerNorm(x, epsilon), gain), bias) })).y;
    return { value, gradFunc: (dy: any, [x]: any) => k.scope(() => ({ dx: rows.layerNormGradient(k.mul(dy, gain), x, epsilon) })).dx };
  })(x) as T;
}

/** Rows divided by their Euclidean length. */
export function normalise<T extends Tensor>(x: T): T {
  return tf.customGrad((x: any, save: any) => {
    const { y, factor } = k.scope(() => {
      const factor = k.rsqrt(k.sumLast(k.square(x)));
      return { y: k.mul(x, factor), factor };
    });
    save([y, factor]);
    const gradFunc = (dy: any, [y, factor]: any) => k.scope(() => ({ dx: k.mul(k.sub(dy, k.mul(y, k.sumLast(k.mul(dy, y)))), factor) })).dx;
    return { value: y, gradFunc };
  })(x) as T;
}

/** Logarithm of the softmax over the last axis. */
export function logSoftmax<T extends Tensor>(x: T): T {
  return tf.customGrad((x: any, save: any) => {
    const { y } = k.scope(() => {
      const shifted = k.sub(x, k.maxLast(x));
      return { y: k.sub(shifted, k.log(k.sumLast(k.exp(shifted)))) };
    });
    save([y]);
    return { value: y, gradFunc: (dy: any, [y]: any) => k.scope(() => ({ dx: k.sub(dy, k.mul(k.exp(y), k.sumLast(dy))) })).dx };
  })(x) as T;
}

/** x times a number. */
export const scale = <T extends Tensor>(x: T, by: number): T => {
  const times = (x: Tensor) => k.scope(() => ({ y: k.mul(x, by) })).y;
  return tf.customGrad((x: any) => ({ value: times(x), gradFunc: (dy: any) => times(dy) }))(x) as T;
};

/** Mean of |x|; its gradient at 0 is 0, as torch has it (tf.abs has -1 there). */
export function meanAbsolute(x: Tensor): Scalar {
  return tf.customGrad((x: any, save: any) => {
    save([tf.sign(x)]);
    const gradFunc = (dy: any, [sign]: any) => k.scope(() => ({ dx: k.mul(k.mul(sign, dy), 1 / sign.size) })).dx;
    return { value: tf.mean(tf.abs(x)), gradFunc };
  })(x) as Scalar;
}

/** [1,...] -> [n,...], the same n times. */
export function repeat<T extends Tensor>(x: T, n: number): T {
  const times = [n, ...x.shape.slice(1).map(() => 1)];
  return tf.customGrad((x: any) => ({ value: tf.tile(x, times as any), gradFunc: (dy: any) => tf.sum(dy, 0, true) }))(x) as T;
}

/** Rows of x by number, int32, none twice. */
export function pickRows(x: Tensor2D, which: Tensor1D): Tensor2D {
  return tf.customGrad((x: any, save: any) => {
    save([which]);
    const gradFunc = (dy: any, [which]: any) => k.scope(() => ({ dx: k.placeRows(dy, which, x.shape[0]) })).dx;
    return { value: k.scope(() => ({ y: k.rows(x, which) })).y, gradFunc };
  })(x) as Tensor2D;
}

/** Row i of the result is row `order[i]` of x. */
export const permuteRows = (x: Tensor2D, order: number[]): Tensor2D =>
  order.every((row, i) => row === i) ? x : tf.tidy(() => pickRows(x, tf.tensor1d(order, "int32")));

/**
 * Value and gradients of a function of a record of tensors. `f` returns named scalars; `total` is what is differentiated, the
 * others come back as values.
 * @returns tensors that the caller disposes: `terms` [number of terms] in the order of `names`, and a gradient per parameter.
 */
export function differentiate(
  f: (params: Record<string, Tensor>) => Record<string, Scalar>,
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
    kept = tf.keep(tf.stack(Object.values(terms).map((term) => tf.reshape(term, []))));
    return terms[of];
  })(keys.map((key) => params[key]));
  value.dispose();
  return { names, terms: kept as Tensor, gradients: Object.fromEntries(keys.map((key, i) => [key, grads[i]])) };
}

/** One-hot rows [B,C] (tf.oneHot refuses a single class). */
export const oneHot = (labels: Int32Array, classes: number): Tensor2D => {
  const values = new Float32Array(labels.length * classes);
  labels.forEach((label, b) => {
    if (!(label >= 0 && label < classes)) throw new Error(`label ${label} of picture ${b} is none of the ${classes} classes`);
    values[b * classes + label] = 1;
  });
  return tf.tensor2d(values, [labels.length, classes]);
};
