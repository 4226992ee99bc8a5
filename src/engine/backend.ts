/**
 * The array operations of transformer blocks, norms and the optimiser, as an interface that each engine
 * implements: nativeBackend.ts calls TensorFlow through its binding, tfjsBackend.ts calls TensorFlow.js, wasmBackend.ts
 * adds fused kernels to it. A kernel takes 7 to 20 us through the binding and two to five times that through
 * TensorFlow.js (scopes, tape, tensor records, index tensors uploaded anew), which is a third of a training step at
 * width 128. No operation here is differentiable: autograd.ts
 * and clip/fast/block.ts write their gradients with them. Shapes: R rows, D width, n inputs and m outputs of a linear
 * map, M hidden width of the MLP.
 */
import type { Tensor } from "./tf";

/**
 * An array on the device: a tensor, or the bare handle of one. Handles are valid only inside the `runRaw` or `tidyRaw`
 * that made them.
 */
export type RawTensor = { readonly shape: number[] };

export type RawTensors = Record<string, RawTensor | undefined>;
type Operand = RawTensor | number;

export interface Backend {
  /** Runs `f` and frees every array it made, except those it returns: these belong to the enclosing call. */
  tidyRaw<T extends RawTensors>(f: () => T): T;
  /** As `tidyRaw`, but what `f` returns become tensors. Tensors made outside of it are returned as they are. */
  runRaw<T extends RawTensors>(f: () => T): { [K in keyof T]: Tensor };

  /** Elementwise, with broadcasting. */
  add(a: Operand, b: Operand): RawTensor;
  sub(a: Operand, b: Operand): RawTensor;
  mul(a: Operand, b: Operand): RawTensor;
  div(a: Operand, b: Operand): RawTensor;
  square(x: RawTensor): RawTensor;
  sqrt(x: RawTensor): RawTensor;
  rsqrt(x: RawTensor): RawTensor;
  exp(x: RawTensor): RawTensor;
  log(x: RawTensor): RawTensor;
  erf(x: RawTensor): RawTensor;
  sigmoid(x: RawTensor): RawTensor;

  /** Over the last axis. */
  softmax(x: RawTensor): RawTensor;
  /** Over the last axis, which keeps length 1. */
  sumLast(x: RawTensor): RawTensor;
  meanLast(x: RawTensor): RawTensor;
  maxLast(x: RawTensor): RawTensor;
  /** Sum over one axis, which is removed. */
  sum(x: RawTensor, axis: number): RawTensor;

  /** Product of two matrices or of two batches of matrices; `transposeA` and `transposeB` as in tf.matMul. */
  matMul(a: RawTensor, b: RawTensor, transposeA?: boolean, transposeB?: boolean): RawTensor;

  reshape(x: RawTensor, shape: number[]): RawTensor;
  transpose(x: RawTensor, order: number[]): RawTensor;
  /** A size of -1 means up to the end of that axis. */
  slice(x: RawTensor, begin: number[], size: number[]): RawTensor;
  concat(parts: RawTensor[], axis: number): RawTensor;
  tile(x: RawTensor, multiples: number[]): RawTensor;
  /** Rows of a matrix by their int32 indices. */
  gatherRows(x: RawTensor, indices: RawTensor): RawTensor;
  /** A matrix of `count` rows, zero except for rows `indices` [R], which are the rows of x. */
  scatterRows(x: RawTensor, indices: RawTensor, count: number): RawTensor;

  /** Fused kernels of a transformer block. Absent on a GPU, on an x64 processor without AVX2 and FMA, and on "cpu". */
  fused?: FusedKernels;
}

/**
 * What src/engine/native/kernels.h computes, each in one pass over memory. fusedOps.ts and clip/fast/attention.ts
 * compute the same from the operations above where `fused` is absent.
 */
export interface FusedKernels {
  /** (x - mean) / sqrt(variance + epsilon) + offset, over the last axis. */
  layerNorm(x: RawTensor, epsilon: number, offset: number): RawTensor;
  /** Gradient of the layer norm's input x, plus `residual` if it is given. */
  layerNormBackward(dy: RawTensor, x: RawTensor, epsilon: number, residual?: RawTensor): RawTensor;
  /** a sigmoid(a) */
  silu(a: RawTensor): RawTensor;
  siluBackward(a: RawTensor, dy: RawTensor): RawTensor;
  /** x + z + bias */
  residualBias(x: RawTensor, z: RawTensor, bias: RawTensor): RawTensor;
  /** x [R,n] times columns `begin` to `begin + count` of weight [n,m], with what `options` do before and after. */
  linear(x: RawTensor, weight: RawTensor, columns: { begin: number; count: number }, options: LinearOptions): RawTensor;
  /** x + silu((layerNorm(x) + 1) up) down + bias; `hidden`, the argument of silu, is returned if `keepHidden`. */
  mlp(weights: MlpWeights, x: RawTensor, keepHidden: boolean): { y: RawTensor; hidden?: RawTensor };
  mlpBackward(weights: MlpWeights, x: RawTensor, hidden: RawTensor, dy: RawTensor): RawTensor;
  attention(inputs: FusedAttentionInputs): RawTensor;
  /** Gradients of tokens and queries (both absent if `frozenInput`) and of promptKV. */
  attentionBackward(inputs: FusedAttentionInputs, frozenInput: boolean, dy: RawTensor): AttentionGradients;
}

export type LinearOptions = {
  /** Multiply by the transposed weight, as a gradient does. */
  transpose?: boolean;
  /** Multiply layerNorm(x) + 1 instead of x. */
  layerNorm?: { epsilon: number };
  /**
   * What is applied to the product y: residual + y + bias, or the backward pass of a layer norm at `input`, plus
   * `residual` if it is given.
   */
  epilogue?:
    | { kind: "residualBias"; residual: RawTensor; bias: RawTensor }
    | { kind: "layerNormBackward"; input: RawTensor; residual?: RawTensor; epsilon: number };
};

/** What the kernels of a linear map take for its layer norm and its epilogue; `kind` as native/kernels.h numbers them. */
export function linearArguments({ layerNorm, epilogue }: LinearOptions) {
  const backward = epilogue?.kind === "layerNormBackward" ? epilogue : undefined;
  return {
    kind: epilogue === undefined ? 0 : backward ? 2 : 1,
    input: backward?.input,
    residual: epilogue?.residual,
    bias: epilogue?.kind === "residualBias" ? epilogue.bias : undefined,
    epsilon: (layerNorm ?? backward)?.epsilon ?? 0,
  };
}

/** up [D,M], down [M,D], bias [D] */
export type MlpWeights = { up: RawTensor; down: RawTensor; bias: RawTensor; epsilon: number };

/** clip/fast/attention.ts has the shapes. */
export type FusedAttentionInputs = {
  tokens: RawTensor;
  queries?: RawTensor;
  promptKV?: RawTensor;
  prefixKV?: RawTensor;
  mask?: RawTensor;
  rowSplits?: RawTensor;
  heads: number;
  sequences: number;
  promptSets: number;
};

export type AttentionGradients = { tokens?: RawTensor; queries?: RawTensor; promptKV?: RawTensor };
