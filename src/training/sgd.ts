/**
 * Stochastic gradient descent as torch.optim.SGD with momentum m and weight decay d (dampening 0, no Nesterov):
 *   g <- g + d p;   v <- g in the first step, then m v + g;   p <- p - lr v
 */
import * as k from "../engine/backend";
import type { Params } from "../methods/method";

/** @returns new parameters and velocity; the old ones stay the caller's. `velocity` is null in the first step. */
export function sgdStep(
  params: Params,
  velocity: Params | null,
  gradients: Params,
  { lr, momentum, weightDecay }: { lr: number; momentum: number; weightDecay: number },
): { params: Params; velocity: Params } {
  const moved: Params = {};
  const speed: Params = {};
  for (const [name, p] of Object.entries(params)) {
    const { next, v } = k.scope(() => {
      const g = k.add(gradients[name], k.mul(p, weightDecay));
      const v = velocity ? k.add(k.mul(velocity[name], momentum), g) : g;
      return { next: k.sub(p, k.mul(v, lr)), v };
    });
    moved[name] = next;
    speed[name] = v;
  }
  return { params: moved, velocity: speed };
}
