/**
 * L-BFGS (Liu and Nocedal 1989; the two-loop recursion is algorithm 7.4 of Nocedal and Wright, Numerical Optimization) with a backtracking
 * line search, for smooth convex functions of up to some million variables.
 */

/** Value and gradient at x, the gradient a new array. */
export type Differentiable = (x: Float64Array) => { value: number; gradient: Float64Array };

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
};

/** a + factor * b, a new array. */
function along(a: Float64Array, factor: number, b: ArrayLike<number>): Float64Array {
  const sum = new Float64Array(a.length);
  for (let i = 0; i < a.length; i++) sum[i] = a[i] + factor * b[i];
  return sum;
}

/**
 * The minimum from `start`: where no element of the gradient is larger than `tolerance`, where the value falls no more (the limit of
 * precision), or where `iterations` are done.
 */
export function minimise(
  f: Differentiable,
  start: Float64Array,
  { tolerance = 1e-4, iterations = 1000, memory = 10 } = {},
): Float64Array {
  let x = start;
  let { value, gradient } = f(x);
  const steps: { s: Float64Array; y: Float64Array; rho: number }[] = [];
  for (let k = 0; k < iterations; k++) {
    if (gradient.every((g) => Math.abs(g) <= tolerance)) break;
    const direction = quasiNewton(gradient, steps);
    const slope = dot(direction, gradient);
    // The first step has no curvature to go by: its length is 1 at most.
    let length = steps.length > 0 ? 1 : Math.min(1, 1 / Math.sqrt(dot(gradient, gradient)));
    let next = { x, value, gradient };
    for (; ; length /= 2) {
      if (length < 1e-10) return x;
      const there = along(x, length, direction);
      next = { x: there, ...f(there) };
      if (next.value <= value + 1e-4 * length * slope) break;
    }
    if (next.value === value) return next.x;
    const s = along(next.x, -1, x);
    const y = along(next.gradient, -1, gradient);
    const curvature = dot(s, y);
    if (curvature > 0) steps.push({ s, y, rho: 1 / curvature });
    if (steps.length > memory) steps.shift();
    x = next.x;
    value = next.value;
    gradient = next.gradient;
  }
  return x;
}

/** -H g, H the inverse Hessian that the last steps tell of. */
function quasiNewton(gradient: Float64Array, steps: { s: Float64Array; y: Float64Array; rho: number }[]): Float64Array {
  let q: Float64Array = gradient.map((g) => -g);
  const alphas: number[] = [];
  for (let i = steps.length - 1; i >= 0; i--) {
    const { s, y, rho } = steps[i];
    alphas[i] = rho * dot(s, q);
    q = along(q, -alphas[i], y);
  }
  const last = steps[steps.length - 1];
  const scale = last ? 1 / (last.rho * dot(last.y, last.y)) : 1;
  q = q.map((value) => scale * value);
  steps.forEach(({ s, y, rho }, i) => {
    q = along(q, alphas[i] - rho * dot(y, q), s);
  });
  return q;
}
