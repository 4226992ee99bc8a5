#!/usr/bin/env node
/**
 * npm run promptsrc -- <command> ...: runs the command line of src/cli/main.ts. TensorFlow reads its environment
 * variables when it is loaded, so they are set here.
 */
import { spawnSync } from "node:child_process";
import { constants } from "node:os";
import { path, root, typescriptLoader } from "./setup/tools.mjs";
import { forRuns, launch, setup } from "./setup.mjs";

await launch(async () => {
  const args = process.argv.slice(2);
  await setup(forRuns);
  const run = spawnSync(process.execPath, ["--import", typescriptLoader, path("src", "cli", "main.ts"), ...args], {
    cwd: root,
    stdio: "inherit",
    env: { TF_CPP_MIN_LOG_LEVEL: "2", TF_FORCE_GPU_ALLOW_GROWTH: "true", ...process.env },
  });
  return run.status ?? 128 + (constants.signals[run.signal] ?? 0);
});
