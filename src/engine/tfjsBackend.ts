/** The backend of the engines "wasm" and "cpu": TensorFlow.js's own operations. */
import type { Backend } from "./backend";
import { type Tensor, tf } from "./tf";

/** TensorFlow.js knows tensors only, so every RawTensor is one. */
const operations = {
  tidyRaw: (f: () => any) => tf.tidy(f),
  runRaw: (f: () => any) => tf.tidy(f),

  add: (a: Tensor, b: Tensor) => tf.add(a, b),
  sub: (a: Tensor, b: Tensor) => tf.sub(a, b),
  mul: (a: Tensor, b: Tensor) => tf.mul(a, b),
  div: (a: Tensor, b: Tensor) => tf.div(a, b),
  square: (x: Tensor) => tf.square(x),
  sqrt: (x: Tensor) => tf.sqrt(x),
  rsqrt: (x: Tensor) => tf.rsqrt(x),
  exp: (x: Tensor) => tf.exp(x),
  log: (x: Tensor) => tf.log(x),
  erf: (x: Tensor) => tf.erf(x),
  sigmoid: (x: Tensor) => tf.sigmoid(x),

  softmax: (x: Tensor) => tf.softmax(x),
  sumLast: (x: Tensor) => tf.sum(x, -1, true),
  meanLast: (x: Tensor) => tf.mean(x, -1, true),
  maxLast: (x: Tensor) => tf.max(x, -1, true),
  sum: (x: Tensor, axis: number) => tf.sum(x, axis),

  matMul: (a: Tensor, b: Tensor, transposeA = false, transposeB = false) => tf.matMul(a, b, transposeA, transposeB),

  reshape: (x: Tensor, shape: number[]) => tf.reshape(x, shape),
  transpose: (x: Tensor, order: number[]) => tf.transpose(x, order),
  slice: (x: Tensor, begin: number[], size: number[]) => tf.slice(x, begin, size),
  concat: (parts: Tensor[], axis: number) => tf.concat(parts, axis),
  tile: (x: Tensor, multiples: number[]) => tf.tile(x, multiples),
  gatherRows: (x: Tensor, indices: any) => tf.gather(x, indices),
  scatterRows: (x: any, indices: Tensor, count: number) =>
    tf.scatterND(tf.reshape(indices, [-1, 1]) as any, x, [count, x.shape[1]]),
};

export const tfjsBackend = operations as unknown as Backend;
