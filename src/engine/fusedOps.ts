/**
 * The operations of a residual block that are faster when fused: layer norm, the MLP's non-linearity, linear maps with
 * the layer norm before or the residual sum after them. Each calls the fused kernel where the backend has one, and
 * otherwise computes the same from the backend's operations. Where a weight is small the kernel does the matrix product
 * too, while the rows are still in the processor's cache. None is differentiable; the gradients are written beside
 * them. Shapes: R rows, D width, n inputs and m outputs of a linear map.
 */
import type { MlpWeights, RawTensor } from "./backend";
import { backend } from "./dispatch";

export type Activation = "quick_gelu" | "gelu";

/** Layer norm over the last axis without gain and bias (variance biased, as torch has it), with `offset` added. */
export function plainLayerNorm(x: RawTensor, epsilon: number, offset = 0): RawTensor {
  const { fused, add } = backend();
  if (fused) return fused.layerNorm(x, epsilon, offset);
  const { y } = standardise(x, epsilon);
  return offset === 0 ? y : add(y, offset);
}

/** Gradient of x in `plainLayerNorm`, plus `residual`. */
export function plainLayerNormBackward(dy: RawTensor, x: RawTensor, epsilon: number, residual?: RawTensor): RawTensor {
  const { fused, add, sub, mul, meanLast } = backend();
  if (fused) return fused.layerNormBackward(dy, x, epsilon, residual);
  const { y, factor } = standardise(x, epsilon);
  const dx = mul(sub(sub(dy, meanLast(dy)), mul(y, meanLast(mul(dy, y)))), factor);
  return residual ? add(residual, dx) : dx;
}

/** y = (x - mean) factor, factor = 1 / sqrt(variance + epsilon). */
function standardise(x: RawTensor, epsilon: number): { y: RawTensor; factor: RawTensor } {
  const { add, sub, mul, square, rsqrt, meanLast } = backend();
  const centred = sub(x, meanLast(x));
  const factor = rsqrt(add(meanLast(square(centred)), epsilon));
  return { y: mul(centred, factor), factor };
}

/**
 * The MLP's non-linearity and its gradient. QuickGELU, a sigmoid(1.702 a), has its 1.702 in the weights
 * (clip/fast/foldConstants.ts), which leaves SiLU.
 */
const activations: Record<
  Activation,
  { forward(a: RawTensor): RawTensor; backward(a: RawTensor, dy: RawTensor): RawTensor }
> = {
  quick_gelu: {
    forward(a) {
      const { fused, mul, sigmoid } = backend();
      return fused ? fused.silu(a) : mul(a, sigmoid(a));
    },
    backward(a, dy) {
      const { fused, add, sub, mul, sigmoid } = backend();
      if (fused) return fused.siluBackward(a, dy);
      const gate = sigmoid(a);
      return mul(mul(dy, gate), add(mul(a, sub(1, gate)), 1));
    },
  },
  gelu: {
    forward: (a) => backend().mul(a, normalCdf(a)),
    backward(a, dy) {
      const { add, mul, exp, square } = backend();
      const density = mul(exp(mul(square(a), -0.5)), 1 / Math.sqrt(2 * Math.PI));
      return mul(dy, add(normalCdf(a), mul(a, density)));
    },
  },
};

/** Cumulative distribution function of the standard normal distribution. */
function normalCdf(a: RawTensor): RawTensor {
  const { add, mul, erf } = backend();
  return mul(add(erf(mul(a, Math.SQRT1_2)), 1), 0.5);
}

/**
 * A linear map with weight [n,m]. With `columns` only these of its columns are used. `transposed` is the same weight
 * as [m,n] (`transposeBlock` of clip/fast/foldConstants.ts).
 */
export type LinearMap = {
  weight: RawTensor;
  bias?: RawTensor;
  transposed?: RawTensor;
  columns?: { begin: number; count: number };
};

/** The weight [n,m], or its columns. */
const usedWeight = ({ weight, columns }: LinearMap): RawTensor =>
  columns ? backend().slice(weight, [0, columns.begin], [-1, columns.count]) : weight;

/** oneDNN multiplies by a transposed weight up to twice as fast where 1/R + 1/m is above this. Measured on x64. */
const transposedIsFaster = 0.0038;

/** x W */
function matMulWeight(x: RawTensor, map: LinearMap): RawTensor {
  const small = 1 / x.shape[0] + 1 / map.weight.shape[1] > transposedIsFaster;
  return map.transposed && small
    ? backend().matMul(x, map.transposed, false, true)
    : backend().matMul(x, usedWeight(map));
}

/** Elements of a weight that stays in a core's cache beside the rows (1 MB). Above it oneDNN's product is faster. */
const cachedElements = 2 ** 18;

/** The fused kernels, if they should do the product with this weight, too. */
function fusedFor({ weight }: LinearMap) {
  const { fused } = backend();
  return fused && weight.shape[0] * weight.shape[1] <= cachedElements ? fused : undefined;
}

const usedColumns = ({ weight, columns }: LinearMap) => columns ?? { begin: 0, count: weight.shape[1] };

/** (layerNorm(x) + 1) W; the map's bias is inside W (clip/fast/foldConstants.ts). */
export function layerNormLinear(x: RawTensor, map: LinearMap, epsilon: number): RawTensor {
  const fused = fusedFor(map);
  if (fused) return fused.linear(x, map.weight, usedColumns(map), { layerNorm: { epsilon } });
  return backend().tidyRaw(() => ({ y: matMulWeight(plainLayerNorm(x, epsilon, 1), map) })).y;
}

/** Gradient of x in `layerNormLinear`, plus `residual`. */
export function layerNormLinearBackward(
  dy: RawTensor,
  x: RawTensor,
  map: LinearMap,
  epsilon: number,
  residual?: RawTensor,
): RawTensor {
  const fused = fusedFor(map);
  if (fused) {
    const epilogue = { kind: "layerNormBackward", input: x, residual, epsilon } as const;
    return fused.linear(dy, map.weight, usedColumns(map), { transpose: true, epilogue });
  }
  const { tidyRaw, matMul } = backend();
  return tidyRaw(() => {
    const dnormed = matMul(dy, usedWeight(map), false, true);
    return { dx: plainLayerNormBackward(dnormed, x, epsilon, residual) };
  }).dx;
}

/** x + y W + bias */
export function residualLinear(x: RawTensor, y: RawTensor, map: LinearMap & { bias: RawTensor }): RawTensor {
  const { bias } = map;
  const fusedProduct = fusedFor(map);
  if (fusedProduct) {
    return fusedProduct.linear(y, map.weight, usedColumns(map), {
      epilogue: { kind: "residualBias", residual: x, bias },
    });
  }
  const { fused, tidyRaw, add } = backend();
  return tidyRaw(() => {
    const z = matMulWeight(y, map);
    return { sum: fused ? fused.residualBias(x, z, bias) : add(x, add(z, bias)) };
  }).sum;
}

/** Gradient of y in y W: dy W^T. */
export const linearBackward = (dy: RawTensor, map: LinearMap): RawTensor =>
  fusedFor(map)?.linear(dy, map.weight, usedColumns(map), { transpose: true }) ??
  backend().matMul(dy, usedWeight(map), false, true);

export type MlpMaps = { up: LinearMap; down: LinearMap & { bias: RawTensor }; activation: Activation; epsilon: number };

const weightsOf = ({ up, down, epsilon }: MlpMaps): MlpWeights => ({
  up: up.weight,
  down: down.weight,
  bias: down.bias,
  epsilon,
});

/** The fused kernels, if they have this MLP as one kernel. */
const fusedMlp = (w: MlpMaps) => (w.activation === "quick_gelu" ? fusedFor(w.up) : undefined);

/**
 * x + activation(hidden) down + bias, with hidden = (layerNorm(x) + 1) up.
 * @param keepHidden whether `hidden` is returned, which the backward pass needs.
 */
export function mlpForward(x: RawTensor, w: MlpMaps, keepHidden: boolean): { y: RawTensor; hidden?: RawTensor } {
  const fused = fusedMlp(w);
  if (fused) return fused.mlp(weightsOf(w), x, keepHidden);
  const { tidyRaw } = backend();
  return tidyRaw(() => {
    const { active, hidden } = tidyRaw(() => {
      const hidden = mlpHidden(x, w);
      return { active: activations[w.activation].forward(hidden), hidden: keepHidden ? hidden : undefined };
    });
    return { y: residualLinear(x, active, w.down), hidden };
  });
}

export const mlpHidden = (x: RawTensor, w: MlpMaps): RawTensor => layerNormLinear(x, w.up, w.epsilon);

/** Gradient of x in `mlp`. */
export function mlpBackward(dy: RawTensor, x: RawTensor, hidden: RawTensor, w: MlpMaps): RawTensor {
  const fused = fusedMlp(w);
  if (fused) return fused.mlpBackward(weightsOf(w), x, hidden, dy);
  const { tidyRaw } = backend();
  return tidyRaw(() => {
    const { dhidden } = tidyRaw(() => ({
      dhidden: activations[w.activation].backward(hidden, linearBackward(dy, w.down)),
    }));
    return { dx: layerNormLinearBackward(dhidden, x, w.up, w.epsilon, dy) };
  }).dx;
}
