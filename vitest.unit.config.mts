import { defineConfig, mergeConfig } from "vitest/config";
import base from "./vitest.config.mjs";

/**
 * `npm run test:unit`: what answers in a minute and a half on two cores and needs no network, two files at a time with one thread each. Left out are the tests that
 * start kernels, notebooks, set-up or the command line in processes of their own (test/notebook, test/setup, test/cli/cli.test.ts) and the
 * replay of all reference vectors on both engines (test/parity); `npm test` runs all.
 */
export default mergeConfig(
  base,
  defineConfig({
    test: {
      exclude: ["test/notebook/**", "test/setup/**", "test/cli/cli.test.ts", "test/parity/**"],
      fileParallelism: true,
      maxWorkers: 2,
      env: { PROMPTSRC_THREADS: "1" },
    },
  }),
);
