/**
 * Stochastic gradient descent as torch.optim.SGD with momentum m and weight decay d (dampening 0, no Nesterov):
 *   g <- g + d p;   v <- g in the first step, then m v + g;   p <- p - lr v
 */
import type { Params } from "../methods/method";
import type { Tensor } from "../tf";
import { tf } from "../tf";

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
    const [next, v] = tf.tidy(() => {
      const g = tf.add(gradients[name], tf.mul(p, weightDecay));
      const v: Tensor = velocity ? tf.add(tf.mul(velocity[name], momentum), g) : g;
      return [tf.sub(p, tf.mul(v, lr)), v];
    });
    moved[name] = next;
    speed[name] = v;
  }
  return { params: moved, velocity: speed };
}
