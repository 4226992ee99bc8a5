/**
 * L-BFGS (Liu and Nocedal 1989; the two-loop recursion is algorithm 7.4 of Nocedal and Wright, Numerical Optimization)
 * with a backtracking line search, for smooth convex functions of up to a few million variables.
 */

/** Returns the value and the gradient at x; the gradient must be a new array. */
export type Differentiable = (x: Float64Array) => { value: number; gradient: Float64Array };

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
};

/** Returns a + factor * b as a new array. */
function addScaled(a: Float64Array, factor: number, b: ArrayLike<number>): Float64Array {
  const sum = new Float64Array(a.length);
  for (let i = 0; i < a.length; i++) sum[i] = a[i] + factor * b[i];
  return sum;
}

/**
 * Minimises f, starting at `start`. Stops if the absolute value of every element of the gradient is at most
 * `tolerance`, if the value no longer decreases (at the limit of numerical precision), or after `iterations`
 * iterations. The inverse Hessian is estimated from the last `memory` steps.
 * @returns the last x
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
    // There is no curvature estimate for the first step, so its length is limited to 1.
    let length = steps.length > 0 ? 1 : Math.min(1, 1 / Math.sqrt(dot(gradient, gradient)));
    let next = { x, value, gradient };
    for (; ; length /= 2) {
      if (length < 1e-10) return x;
      const candidate = addScaled(x, length, direction);
      next = { x: candidate, ...f(candidate) };
      if (next.value <= value + 1e-4 * length * slope) break;
    }
    if (next.value === value) return next.x;
    const s = addScaled(next.x, -1, x);
    const y = addScaled(next.gradient, -1, gradient);
    const curvature = dot(s, y);
    if (curvature > 0) steps.push({ s, y, rho: 1 / curvature });
    if (steps.length > memory) steps.shift();
    x = next.x;
    value = next.value;
    gradient = next.gradient;
  }
  return x;
}

/** The search direction -H g, where H is the inverse Hessian as estimated from the previous steps. */
function quasiNewton(gradient: Float64Array, steps: { s: Float64Array; y: Float64Array; rho: number }[]): Float64Array {
  let q: Float64Array = gradient.map((g) => -g);
  const alphas: number[] = [];
  for (let i = steps.length - 1; i >= 0; i--) {
    const { s, y, rho } = steps[i];
    alphas[i] = rho * dot(s, q);
    q = addScaled(q, -alphas[i], y);
  }
  const last = steps[steps.length - 1];
  const scale = last ? 1 / (last.rho * dot(last.y, last.y)) : 1;
  q = q.map((value) => scale * value);
  steps.forEach(({ s, y, rho }, i) => {
    q = addScaled(q, alphas[i] - rho * dot(y, q), s);
  });
  return q;
}
