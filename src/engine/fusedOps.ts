/**
 * What blocks do with the rows of a matrix between their products: LayerNorm, the MLP's non-linearity, sums with a bias. By kernels of our
 * own where they are, each in one pass over memory; else by TensorFlow's, in many. Where weights are small the product itself is ours too, and
 * what precedes and follows it is done to rows that are still in the processor's cache (src/engine/native). None is differentiable.
 * Shapes: R rows, D width, n into and m out of a map.
 */
import type { Raw } from "./backend";
import * as k from "./backend";

export type Activation = "quick_gelu" | "gelu";

const own = (name: string, inputs: Raw[], attributes: Parameters<typeof k.kernels.run>[1] = [], outputs = 1): Raw[] =>
  k.kernels.run(`Promptsrc${name}`, attributes, inputs, outputs);

/** LayerNorm over the last axis without gain and bias (variance biased, as torch has it), and `plus` added to all. */
export function layerNorm(x: Raw, epsilon: number, plus = 0): Raw {
  if (k.kernels.own()) return own("LayerNorm", [x], [k.real("epsilon", epsilon), k.real("plus", plus)])[0];
  const { y } = normed(x, epsilon);
  return plus === 0 ? y : k.add(y, plus);
}

/** The gradient of x; `residual` is added to it. */
export function layerNormGradient(dy: Raw, x: Raw, epsilon: number, residual?: Raw): Raw {
  if (k.kernels.own()) return own("LayerNormGradient", [dy, x, residual ?? k.nothing()], [k.real("epsilon", epsilon)])[0];
  const { y, factor } = normed(x, epsilon);
  const dx = k.mul(k.sub(k.sub(dy, k.meanLast(dy)), k.mul(y, k.meanLast(k.mul(dy, y)))), factor);
  return residual ? k.add(residual, dx) : dx;
}

function normed(x: Raw, epsilon: number): { y: Raw; factor: Raw } {
  const centred = k.sub(x, k.meanLast(x));
  const factor = k.rsqrt(k.add(k.meanLast(k.square(centred)), epsilon));
  return { y: k.mul(centred, factor), factor };
}

/** The MLP's non-linearity, and the gradient of its argument a. QuickGELU's scale is in the weights (clip/fold.ts), which leaves a sigmoid(a). */
const activations: Record<Activation, { value(a: Raw): Raw; gradient(a: Raw, dy: Raw): Raw }> = {
  quick_gelu: {
    value: (a) => (k.kernels.own() ? own("Silu", [a])[0] : k.mul(a, k.sigmoid(a))),
    gradient(a, dy) {
      if (k.kernels.own()) return own("SiluGradient", [a, dy])[0];
      const gate = k.sigmoid(a);
      return k.mul(k.mul(dy, gate), k.add(k.mul(a, k.sub(1, gate)), 1));
    },
  },
  gelu: {
    value: (a) => k.mul(a, normal(a)),
    gradient(a, dy) {
      const density = k.mul(k.exp(k.mul(k.square(a), -0.5)), 1 / Math.sqrt(2 * Math.PI));
      return k.mul(dy, k.add(normal(a), k.mul(a, density)));
    },
  },
};

/** The normal distribution function. */
const normal = (a: Raw): Raw => k.mul(k.add(k.erf(k.mul(a, Math.SQRT1_2)), 1), 0.5);

/** A map [n,m]; of the weight only `columns` count, if these are given. Where `turned` is given it lies there a second time, [m,n]. */
export type LinearMap = { weight: Raw; bias?: Raw; turned?: Raw; columns?: { begin: number; count: number } };

const weightOf = ({ weight, columns }: LinearMap): Raw => (columns ? k.slice(weight, [0, columns.begin], [-1, columns.count]) : weight);

/** Of two small sides oneDNN reads weights as they lie, up to twice as fast if they lie turned (clip/fold.ts, `turn`). */
function times(x: Raw, map: LinearMap): Raw {
  const fewRows = 1 / x.shape[0] + 1 / map.weight.shape[1] > 0.0038;
  return map.turned && fewRows ? k.matMul(x, map.turned, false, true) : k.matMul(x, weightOf(map));
}

/** Elements of a weight that stays in a core's cache beside the rows (1 MB). Products with larger ones are oneDNN's, which is faster there. */
const small = 2 ** 18;
const ours = ({ weight }: LinearMap): boolean => k.kernels.own() && weight.shape[0] * weight.shape[1] <= small;

/** (LayerNorm(x) + 1) W */
export function readLinear(x: Raw, map: LinearMap, epsilon: number): Raw {
  if (ours(map)) return ownProduct(x, map, { norm: true, epsilon });
  return k.within(() => ({ y: times(layerNorm(x, epsilon, 1), map) })).y;
}

/** Its gradient of x; `residual` is added to it. */
export function readLinearGradient(dy: Raw, x: Raw, map: LinearMap, epsilon: number, residual?: Raw): Raw {
  if (ours(map)) return ownProduct(dy, map, { turned: true, after: 2, first: x, second: residual, epsilon });
  return k.within(() => ({ dx: layerNormGradient(k.matMul(dy, weightOf(map), false, true), x, epsilon, residual) })).dx;
}

/** x + y W + bias */
export function addLinear(x: Raw, y: Raw, map: LinearMap & { bias: Raw }): Raw {
  if (ours(map)) return ownProduct(y, map, { after: 1, first: x, second: map.bias });
  return k.within(() => {
    const z = times(y, map);
    return { sum: k.kernels.own() ? own("AddBiased", [x, z, map.bias])[0] : k.add(x, k.add(z, map.bias)) };
  }).sum;
}

/** The gradient of y: dy W^T. */
export const linearGradient = (dy: Raw, map: LinearMap): Raw =>
  ours(map) ? ownProduct(dy, map, { turned: true }) : k.matMul(dy, weightOf(map), false, true);

export type Mlp = { up: LinearMap; down: LinearMap & { bias: Raw }; activation: Activation; epsilon: number };

/** x + activation(a) down + bias, a = (LayerNorm(x) + 1) up. @param keep whether a is returned: the gradient needs it. */
export function mlp(x: Raw, w: Mlp, keep: boolean): { y: Raw; a?: Raw } {
  if (ours(w.up) && w.activation === "quick_gelu") {
    const [y, a] = own("Mlp", mlpInputs(x, w), [k.real("epsilon", w.epsilon), k.flag("keep", keep)], 2);
    return { y, a: keep ? a : undefined };
  }
  return k.within(() => {
    const { active, a } = k.within(() => {
      const a = mlpHidden(x, w);
      return { active: activations[w.activation].value(a), a: keep ? a : undefined };
    });
    return { y: addLinear(x, active, w.down), a };
  });
}

export const mlpHidden = (x: Raw, w: Mlp): Raw => readLinear(x, w.up, w.epsilon);

/** The gradient of x. */
export function mlpGradient(dy: Raw, x: Raw, a: Raw, w: Mlp): Raw {
  if (ours(w.up) && w.activation === "quick_gelu")
    return own("MlpGradient", [...mlpInputs(x, w), a, dy], [k.real("epsilon", w.epsilon)])[0];
  return k.within(() => {
    const { da } = k.within(() => ({ da: activations[w.activation].gradient(a, linearGradient(dy, w.down)) }));
    return { dx: readLinearGradient(da, x, w.up, w.epsilon, dy) };
  }).dx;
}

const mlpInputs = (x: Raw, { up, down }: Mlp): Raw[] => [x, up.weight, down.weight, down.bias];

/** `after` as in src/engine/native/kernels.h: 1 first + y + second, 2 LayerNorm's gradient where its argument was first, and second. */
type Around = { turned?: boolean; norm?: boolean; after?: 0 | 1 | 2; first?: Raw; second?: Raw; epsilon?: number };

function ownProduct(x: Raw, { weight, columns }: LinearMap, around: Around): Raw {
  const { turned = false, norm = false, after = 0, first, second, epsilon = 0 } = around;
  const { begin, count } = columns ?? { begin: 0, count: weight.shape[1] };
  const attributes = [k.whole("begin", begin), k.whole("columns", count), k.flag("turned", turned), k.flag("norm", norm)];
  const inputs = [x, weight, first ?? k.nothing(), second ?? k.nothing()];
  return own("Product", inputs, [...attributes, k.whole("after", after), k.real("epsilon", epsilon)])[0];
}
