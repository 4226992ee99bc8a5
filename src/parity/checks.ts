/** Comparing numbers with reference numbers: one line per check, counted. */

export type ParityReport = { passed: number; failed: number };

/** |actual - expected| <= absolute + relative * |expected| for every element. */
export type Tolerance = { relative: number; absolute: number };

/** float32 sums differ in order from library to library (golden/README.md). */
export const valueTolerance: Tolerance = { relative: 2e-4, absolute: 1e-5 };

/** Gradients and trained parameters: 1e-3, near zero of the tensor's largest element. */
export const gradientTolerance = (expected: ArrayLike<number>): Tolerance => ({
  relative: 1e-3,
  absolute: Math.min(1e-5, 1e-3 * largest(expected)),
});

export const exact: Tolerance = { relative: 0, absolute: 0 };

type Numbers = ArrayLike<number>;

export class Checks {
  readonly report: ParityReport = { passed: 0, failed: 0 };
  constructor(private readonly print: (line: string) => void) {}

  /** Compares element by element and prints the largest difference. */
  same(name: string, actual: Numbers, expected: Numbers, tolerance: Tolerance = valueTolerance): void {
    if (actual.length !== expected.length) {
      this.fail(name, `${actual.length} numbers, expected ${expected.length}`);
      return;
    }
    let difference = 0;
    let worst = -1;
    for (let i = 0; i < expected.length; i++) {
      const d = Math.abs(actual[i] - expected[i]);
      if (!(d <= tolerance.absolute + tolerance.relative * Math.abs(expected[i])) && worst < 0) worst = i;
      if (!(d <= difference)) difference = d; // NaN counts as the largest
    }
    const detail = `largest difference ${difference.toExponential(1)} of ${largest(expected).toExponential(1)}`;
    if (worst < 0) this.pass(name, detail);
    else this.fail(name, `${detail}; element ${worst} is ${actual[worst]}, expected ${expected[worst]}`);
  }

  pass(name: string, detail: string): void {
    this.report.passed += 1;
    this.print(`ok      ${name.padEnd(44)} ${detail}`);
  }

  fail(name: string, detail: string): void {
    this.report.failed += 1;
    this.print(`FAILED  ${name.padEnd(44)} ${detail}`);
  }

  /** Neither passed nor failed. */
  note(name: string, detail: string): void {
    this.print(`-       ${name.padEnd(44)} ${detail}`);
  }

  /** Runs a group of checks; an error in it is one failed check, and the others go on. */
  async group(name: string, run: () => void | Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.fail(name, (error as Error).message);
    }
  }
}

function largest(values: Numbers): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]));
  return most;
}
