/** A Gaussian that lies far from all epochs is refused, with its numbers; others are not. */
import { expect, test } from "vitest";
import { senselessGpa } from "../../src/training/ensemble";

test.each([
  [20, { mean: 15, std: 1 }, undefined],
  [2, { mean: 12, std: 12 }, undefined],
  [10, { mean: 15, std: 1 }, undefined],
  [20, { decay: 0.5 }, undefined],
  [20, null, undefined],
  [
    5,
    { mean: 15, std: 1 },
    /mean 15 and the standard deviation 1, the epochs are 1 to 5, .* epoch 5, the nearest, is 1\.9e-22/,
  ],
  [20, { mean: -90, std: 2 }, /epoch 1, the nearest/],
  [20, { mean: 3.5, std: 1e-3 }, /next to zero/],
])("%d epochs, %o", (epochs, ensemble, reason) => {
  const found = senselessGpa(epochs, ensemble);
  if (reason) expect(found).toMatch(reason);
  else expect(found).toBeUndefined();
});
