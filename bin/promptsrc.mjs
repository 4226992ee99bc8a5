#!/usr/bin/env node
/**
 * npm run promptsrc -- <command> ...: runs the command line of src/cli/main.ts. TensorFlow reads its environment
 * variables when it is loaded, so they are set here.
 */
import { constants } from "node:os";
import { foreground } from "./setup/programs.mjs";
import { path, typescriptLoader } from "./setup/tools.mjs";
import { forRuns, launch, setup } from "./setup.mjs";

await launch(async () => {
  const args = process.argv.slice(2);
  await setup(forRuns);
  const program = ["--import", typescriptLoader, path("src", "cli", "main.ts")];
  const status = await foreground(process.execPath, [...program, ...args], {
    env: { TF_CPP_MIN_LOG_LEVEL: "2", TF_FORCE_GPU_ALLOW_GROWTH: "true", ...process.env },
  });
  if (status === 128 + constants.signals.SIGKILL)
    console.error("killed, as the kernel does where memory runs out; the same command goes on from what is stored");
  return status;
});
