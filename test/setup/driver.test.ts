/** Set-up takes the CUDA build only where the driver can run it. */
import { expect, test } from "vitest";
// @ts-expect-error: the scripts of set-up have no declarations
import { tooOld, versionIn } from "../../bin/setup/driver.mjs";

test("the driver's version is read as its files write it, and one that is too old for CUDA 12 is told", () => {
  const open =
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build\nGCC version: gcc 12.2.0";
  expect(versionIn(open)).toEqual([580, 159, 4]);
  expect(versionIn("560.94\n")).toEqual([560, 94, 0]); // on Windows' side of WSL
  expect(versionIn("NVIDIA-SMI has failed")).toBeUndefined();
  expect(tooOld([])).toBeUndefined(); // no driver
  expect(
    [
      [580, 159, 4],
      [525, 60, 13],
      [526, 1, 0],
    ].map(tooOld),
  ).toEqual([undefined, undefined, undefined]);
  expect(tooOld([470, 256, 2])).toBe(
    "the NVIDIA driver 470.256.2 is too old for CUDA 12, which needs 525.60.13 or newer",
  );
});
