import { defineConfig, mergeConfig } from "vitest/config";
import base from "./vitest.config.mjs";

/**
 * `npm run test:unit`: under a minute on two cores and without a network, two files at a time with one thread each. It
 * leaves out the tests that start other processes (kernels, notebooks, set-up, engines, the command line, tsc on the
 * diffs of CONTRIBUTING.md), the grid of every ablation, and the replay of all reference vectors on both engines.
 * `npm test` runs everything.
 */
export default mergeConfig(
  base,
  defineConfig({
    test: {
      exclude: [
        "test/notebook/**",
        "test/setup/**",
        "test/parity/**",
        "test/cli/cli.test.ts",
        "test/cli/check.test.ts",
        "test/cli/exportFigures.test.ts",
        "test/cli/predict.test.ts",
        "test/cluster/{onSlurm,schedulers}.test.ts",
        "test/engine/engine.test.ts",
        "test/contributing.test.ts",
        "test/benchmarks/ablations.test.ts",
      ],
      fileParallelism: true,
      maxWorkers: 2,
      isolate: false,
      env: { PROMPTSRC_THREADS: "1" },
    },
  }),
);
