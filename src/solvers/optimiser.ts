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
import type { RawTensor, RawTensors } from "../engine/backend";
import { compiled } from "../engine/compiled";
import { backend } from "../engine/dispatch";
import { type Scalar, type Tensor, tf } from "../engine/tf";

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
  { weightDecay, momentum, adam }: OptimiserSettings,
  rate: (name: string) => number,
): { params: Tensors; state: OptimiserState } {
  const settings = { weightDecay, momentum, adam };
  const steps = (state?.steps ?? 0) + 1;
  const names = Object.keys(params);
  return tf.tidy(() => {
    // What changes from step to step is an array, so that all steps are the same operation (engine/compiled.ts).
    const scalars = new Map<number, Scalar>();
    const scalar = (value: number): Scalar => {
      const array = scalars.get(value) ?? tf.scalar(value);
      scalars.set(value, array);
      return array;
    };
    const changing = Object.fromEntries(
      names.map((name) => [name, changingFactors(settings, rate(name), steps).map(scalar)]),
    );
    const moments = state?.moments ?? {};
    const made = backend().runRaw(() => allSteps({ params, moments, gradients, settings, changing }));
    const next: OptimiserState = { steps, moments: {} };
    for (const kind of adam ? ["first", "second"] : ["velocity"])
      next.moments[kind] = Object.fromEntries(names.map((name) => [name, made[`${kind} ${name}`]]));
    return { params: Object.fromEntries(names.map((name) => [name, made[`value ${name}`]])), state: next } as any;
  });
}

/** The tensors of a state, to be disposed. */
export const tensorsOf = (state: OptimiserState | null): Tensor[] =>
  Object.values(state?.moments ?? {}).flatMap((moment) => Object.values(moment));

/** SGD: lr. Adam: lr / (1 - b1^t), sqrt(1 - b2^t), and 1 - lr d, which AdamW multiplies the parameters by. */
const changingFactors = ({ adam, weightDecay }: OptimiserSettings, lr: number, t: number): number[] =>
  adam ? [lr / (1 - adam.beta1 ** t), Math.sqrt(1 - adam.beta2 ** t), 1 - lr * weightDecay] : [lr];

type AllArgs = {
  params: Tensors;
  moments: Record<string, Tensors>;
  gradients: Tensors;
  settings: OptimiserSettings;
  changing: Record<string, Scalar[]>;
};

/** The step of every parameter: its value, and its moments, each under their kind and its name. */
const allSteps = compiled("optimiserStep", ({ params, moments, gradients, settings, changing }: AllArgs) => {
  const all: RawTensors = {};
  for (const [name, p] of Object.entries(params)) {
    const before = (kind: string): Tensor | undefined => moments[kind]?.[name];
    const step = settings.adam ? adamStep : sgdStep;
    for (const [kind, array] of Object.entries(step(p, before, gradients[name], settings, changing[name])))
      all[`${kind} ${name}`] = array;
  }
  return all;
});

type Step = (
  p: Tensor,
  before: (kind: string) => Tensor | undefined,
  gradient: Tensor,
  settings: OptimiserSettings,
  changing: Scalar[],
) => Record<string, RawTensor>;

const sgdStep: Step = (p, before, gradient, { momentum = 0, weightDecay }, [lr]) => {
  const { add, sub, mul } = backend();
  const g = add(gradient, mul(p, weightDecay));
  const last = before("velocity");
  const velocity = last ? add(mul(last, momentum), g) : g;
  return { value: sub(p, mul(velocity, lr)), velocity };
};

const adamStep: Step = (p, before, gradient, { adam, weightDecay }, [lr, correction, kept]) => {
  const { decoupled, beta1, beta2, epsilon } = adam as Adam;
  const { add, sub, mul, div, sqrt, square } = backend();
  const g = decoupled ? gradient : add(gradient, mul(p, weightDecay));
  const start = decoupled ? mul(p, kept) : p;
  const mean = (last: Tensor | undefined, beta: number, x: RawTensor): RawTensor =>
    last ? add(mul(last, beta), mul(x, 1 - beta)) : mul(x, 1 - beta);
  const first = mean(before("first"), beta1, g);
  const second = mean(before("second"), beta2, square(g));
  const length = add(div(sqrt(second), correction), epsilon);
  return { value: sub(start, mul(div(first, length), lr)), first, second };
};
