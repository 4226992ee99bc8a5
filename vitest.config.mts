import { defineConfig } from "vitest/config";

// One worker at a time: TensorFlow uses every core by itself. Each test file gets its own process (native state is never shared).
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/engine.setup.ts"],
    pool: "forks",
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    env: { TF_CPP_MIN_LOG_LEVEL: "2" },
  },
});
