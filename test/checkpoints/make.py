"""Writes scheduler/model.pth.tar-5: CoOp's checkpoint after two epochs with Dassl's warm-up, by torch 2.9.1.

The scheduler is Dassl's (KaiyangZhou/Dassl.pytorch dassl/optim/lr_scheduler.py, ConstantWarmupScheduler): its state
contains the scheduler that follows the warm-up, an object that refers to the optimiser.
"""
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler


class ConstantWarmupScheduler(LRScheduler):
    def __init__(self, optimizer, successor, warmup_epoch, cons_lr):
        self.successor, self.warmup_epoch, self.cons_lr = successor, warmup_epoch, cons_lr
        super().__init__(optimizer)

    def get_lr(self):
        if self.last_epoch >= self.warmup_epoch:
            return self.successor.get_last_lr()
        return [self.cons_lr for _ in self.base_lrs]

    def step(self):
        if self.last_epoch >= self.warmup_epoch:
            self.successor.step()
            self._last_lr = self.successor.get_last_lr()
        else:
            super().step()


class PromptLearner(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.ctx = torch.nn.Parameter(torch.arange(16 * 64.0).reshape(16, 64) / 1024)


model = PromptLearner()
optimizer = torch.optim.SGD(model.parameters(), lr=0.002, momentum=0.9)
scheduler = ConstantWarmupScheduler(optimizer, CosineAnnealingLR(optimizer, 5.0), 1, 1e-5)
for _ in range(2):
    optimizer.step()
    scheduler.step()
state = {
    "state_dict": model.state_dict(),
    "epoch": 5,
    "optimizer": optimizer.state_dict(),
    "scheduler": scheduler.state_dict(),
    "val_result": None,
}
torch.save(state, "test/checkpoints/scheduler/model.pth.tar-5")
