/**
 * Learning rate of epoch e = 1..E, as in Dassl's ConstantWarmupScheduler followed by cosine annealing
 * (dassl/optim/lr_scheduler.py with WARMUP_RECOUNT). It is constant during the warm-up. Then the cosine starts from its
 * beginning; because its length is E epochs although fewer remain, the learning rate does not reach 0.
 */
export function learningRate(
  epoch: number,
  { epochs, lr, warmup }: { epochs: number; lr: number; warmup: { epochs: number; lr: number } },
): number {
  if (epoch <= warmup.epochs) return warmup.lr;
  return lr * 0.5 * (1 + Math.cos((Math.PI * (epoch - 1 - warmup.epochs)) / epochs));
}
