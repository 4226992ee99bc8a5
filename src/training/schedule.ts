/** Learning rates: by epoch, with a warm-up, or by step. Both fall like half a cosine. */
import type { Optimisation } from "../configs/settings";

/**
 * Learning rate of epoch e = 1..E, as in Dassl's ConstantWarmupScheduler followed by cosine annealing
 * (dassl/optim/lr_scheduler.py). It is constant during the warm-up. Then the cosine starts from its beginning
 * (WARMUP_RECOUNT, the default); because its length is E epochs although fewer remain, the learning rate does not reach
 * 0. With `recount` false it goes on as if it had started in epoch 1.
 */
export function learningRate(
  epoch: number,
  { epochs, lr, warmup }: { epochs: number; lr: number; warmup?: { epochs: number; lr: number; recount?: boolean } },
): number {
  if (warmup && epoch <= warmup.epochs) return warmup.lr;
  const before = warmup && warmup.recount !== false ? warmup.epochs : 0;
  return lr * 0.5 * (1 + Math.cos((Math.PI * (epoch - 1 - before)) / epochs));
}

/** Learning rate of step k = 0..K-1, as torch's CosineAnnealingLR that is called after every step. */
const learningRateOfStep = (step: number, steps: number, lr: number, minimum: number): number =>
  minimum + (lr - minimum) * 0.5 * (1 + Math.cos((Math.PI * step) / steps));

/**
 * The learning rate of every step of an epoch.
 * @param epoch from 1
 * @param stepsPerEpoch is needed where the rate falls in every step (`minimumLr`)
 * @throws if it is needed and not known
 */
export function scheduleOf(epoch: number, config: Optimisation, stepsPerEpoch?: number): (step: number) => number {
  const { epochs, lr, minimumLr } = config;
  if (minimumLr === undefined) {
    const rate = learningRate(epoch, config);
    return () => rate;
  }
  if (stepsPerEpoch === undefined) throw new Error("a learning rate by step needs the number of steps of an epoch");
  return (step) => learningRateOfStep((epoch - 1) * stepsPerEpoch + step, epochs * stepsPerEpoch, lr, minimumLr);
}
