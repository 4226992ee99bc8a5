/**
 * The optimisers, as torch defines them: SGD with momentum (torch.optim.SGD, dampening 0, no Nesterov), Adam with the
 * weight decay in the gradient (torch.optim.Adam), and AdamW with the weight decay apart from it (torch.optim.AdamW).
 * With gradient g, weight decay d, learning rate lr, and t the number of the step, from 1:
 *
 *   SGD     g <- g + d p;   v <- g in the first step, then m v + g;   p <- p - lr v
 *   Adam    g <- g + d p;   first <- b1 first + (1 - b1) g;   second <- b2 second + (1 - b2) g^2;
 *           p <- p - lr first / (1 - b1^t) / (sqrt(second / (1 - b2^t)) + eps)
 *   AdamW   p <- p - lr d p, then as Adam without d
 */
import { backend } from "../engine/dispatch";
import { type Tensor, tf } from "../engine/tf";

type Tensors = Record<string, Tensor>;

/** Settings of Adam or AdamW; `decoupled` is AdamW. */
export type Adam = { decoupled: boolean; beta1: number; beta2: number; epsilon: number };

/** SGD by its momentum, or Adam; both with a weight decay (configs/settings.ts). */
type OptimiserSettings = { weightDecay: number; momentum?: number; adam?: Adam };

/** What an optimiser keeps from step to step: moments by kind and parameter, and the number of steps taken. */
export type OptimiserState = { steps: number; moments: Record<string, Tensors> };

/**
 * One step. @param state null in the first step @param rate the learning rate of a parameter, by its name
 * @returns new parameters and state; the caller remains the owner of the old ones
 */
export function optimiserStep(
  params: Tensors,
  state: OptimiserState | null,
  gradients: Tensors,
  settings: OptimiserSettings,
  rate: (name: string) => number,
): { params: Tensors; state: OptimiserState } {
  const { adam } = settings;
  const steps = (state?.steps ?? 0) + 1;
  const next: { params: Tensors; state: OptimiserState } = { params: {}, state: { steps, moments: {} } };
  for (const [name, p] of Object.entries(params)) {
    const before = (kind: string): Tensor | undefined => state?.moments[kind]?.[name];
    const { value, ...moments } = adam
      ? adamStep(p, before, gradients[name], adam, settings.weightDecay, rate(name), steps)
      : sgdStep(p, before, gradients[name], settings, rate(name));
    next.params[name] = value;
    for (const [kind, moment] of Object.entries(moments)) {
      next.state.moments[kind] ??= {};
      next.state.moments[kind][name] = moment as Tensor;
    }
  }
  return next;
}

/** The tensors of a state, to be disposed. */
export const tensorsOf = (state: OptimiserState | null): Tensor[] =>
  Object.values(state?.moments ?? {}).flatMap((moment) => Object.values(moment));

type Before = (kind: string) => Tensor | undefined;

function sgdStep(
  p: Tensor,
  before: Before,
  gradient: Tensor,
  { momentum = 0, weightDecay }: OptimiserSettings,
  lr: number,
) {
  const { runRaw, add, sub, mul } = backend();
  return runRaw(() => {
    const g = add(gradient, mul(p, weightDecay));
    const last = before("velocity");
    const velocity = last ? add(mul(last, momentum), g) : g;
    return { value: sub(p, mul(velocity, lr)), velocity };
  });
}

function adamStep(
  p: Tensor,
  before: Before,
  gradient: Tensor,
  { decoupled, beta1, beta2, epsilon }: Adam,
  weightDecay: number,
  lr: number,
  t: number,
): { value: Tensor; first: Tensor; second: Tensor } {
  return tf.tidy(() => {
    const g = decoupled ? gradient : tf.add(gradient, tf.mul(p, weightDecay));
    const start = decoupled ? tf.mul(p, 1 - lr * weightDecay) : p;
    const zero = tf.scalar(0);
    const first = tf.add(tf.mul(before("first") ?? zero, beta1), tf.mul(g, 1 - beta1));
    const second = tf.add(tf.mul(before("second") ?? zero, beta2), tf.mul(tf.square(g), 1 - beta2));
    const length = tf.add(tf.div(tf.sqrt(second), Math.sqrt(1 - beta2 ** t)), epsilon);
    const value = tf.sub(start, tf.mul(tf.div(first, length), lr / (1 - beta1 ** t)));
    return { value, first, second } as any;
  });
}
