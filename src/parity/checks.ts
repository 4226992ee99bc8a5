/** Compares computed numbers with reference numbers, prints one line per check, and counts the results. */

export type ParityReport = { passed: number; failed: number };

/** Every element must satisfy |actual - expected| <= absolute + relative * |expected|. */
type Tolerance = { relative: number; absolute: number };

/** Libraries add float32 numbers in different orders, so results differ slightly (test/golden/README.md). */
export const valueTolerance: Tolerance = { relative: 2e-4, absolute: 1e-5 };

/**
 * Tolerance for gradients and trained parameters: 1e-3 relative, and an absolute tolerance for elements near zero of
 * 1e-3 times the tensor's largest element, at most 1e-5.
 */
export const gradientTolerance = (expected: ArrayLike<number>): Tolerance => ({
  relative: 1e-3,
  absolute: Math.min(1e-5, 1e-3 * largest(expected)),
});

export const exact: Tolerance = { relative: 0, absolute: 0 };

type Numbers = ArrayLike<number>;

export class Checks {
  readonly report: ParityReport = { passed: 0, failed: 0 };
  constructor(private readonly print: (line: string) => void) {}

  /** Compares two lists of numbers element by element and prints the largest difference. */
  same(name: string, actual: Numbers, expected: Numbers, tolerance: Tolerance = valueTolerance): void {
    if (actual.length !== expected.length) {
      this.fail(name, `${actual.length} numbers, expected ${expected.length}`);
      return;
    }
    let difference = 0;
    let firstFailed = -1;
    for (let i = 0; i < expected.length; i++) {
      const d = Math.abs(actual[i] - expected[i]);
      if (!(d <= tolerance.absolute + tolerance.relative * Math.abs(expected[i])) && firstFailed < 0) firstFailed = i;
      if (!(d <= difference)) difference = d; // written so that NaN counts as the largest difference
    }
    const detail = `largest difference ${difference.toExponential(1)} of ${largest(expected).toExponential(1)}`;
    if (firstFailed < 0) this.pass(name, detail);
    else
      this.fail(name, `${detail}; element ${firstFailed} is ${actual[firstFailed]}, expected ${expected[firstFailed]}`);
  }

  pass(name: string, detail: string): void {
    this.report.passed += 1;
    this.print(`ok      ${name.padEnd(44)} ${detail}`);
  }

  fail(name: string, detail: string): void {
    this.report.failed += 1;
    this.print(`FAILED  ${name.padEnd(44)} ${detail}`);
  }

  /** Prints a line that counts neither as passed nor as failed. */
  note(name: string, detail: string): void {
    this.print(`-       ${name.padEnd(44)} ${detail}`);
  }

  /** Runs a group of checks. An error thrown in it counts as one failed check, and the other groups still run. */
  async group(name: string, run: () => void | Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.fail(name, (error as Error).message);
    }
  }
}

function largest(values: Numbers): number {
  let maximum = 0;
  for (let i = 0; i < values.length; i++) maximum = Math.max(maximum, Math.abs(values[i]));
  return maximum;
}
