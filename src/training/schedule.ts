/**
 * Learning rate of epoch e = 1..E as Dassl's ConstantWarmupScheduler before a cosine gives it (dassl/optim/lr_scheduler.py with
 * WARMUP_RECOUNT): constant during the warm-up, then the cosine from its start, with period E, so that it does not reach 0.
 */
export function learningRate(
  epoch: number,
  { epochs, lr, warmup }: { epochs: number; lr: number; warmup: { epochs: number; lr: number } },
): number {
  if (epoch <= warmup.epochs) return warmup.lr;
  return lr * 0.5 * (1 + Math.cos((Math.PI * (epoch - 1 - warmup.epochs)) / epochs));
}
