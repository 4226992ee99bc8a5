/**
 * Stochastic gradient descent as in torch.optim.SGD with momentum m and weight decay d (dampening 0, no Nesterov):
 *   g <- g + d p;   v <- g in the first step, then m v + g;   p <- p - lr v
 */
import { backend } from "../engine/dispatch";
import type { Params } from "../methods/method";

/**
 * @param velocity null in the first step
 * @returns new parameters and velocity; the caller remains the owner of the old ones
 */
export function sgdStep(
  params: Params,
  velocity: Params | null,
  gradients: Params,
  { lr, momentum, weightDecay }: { lr: number; momentum: number; weightDecay: number },
): { params: Params; velocity: Params } {
  const { runRaw, add, sub, mul } = backend();
  const newParams: Params = {};
  const newVelocity: Params = {};
  for (const [name, p] of Object.entries(params)) {
    const { next, v } = runRaw(() => {
      const g = add(gradients[name], mul(p, weightDecay));
      const v = velocity ? add(mul(velocity[name], momentum), g) : g;
      return { next: sub(p, mul(v, lr)), v };
    });
    newParams[name] = next;
    newVelocity[name] = v;
  }
  return { params: newParams, velocity: newVelocity };
}
