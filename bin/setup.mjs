#!/usr/bin/env node
/**
 * npm run setup: makes everything that the kit needs inside this clone. Nothing is written elsewhere but into npm's and pip's caches.
 * Each step says whether its result is there and right (`ready`), else makes it (`make`), so that a second run takes a moment and an
 * interrupted one goes on. A step that fails does not keep the others from being tried; everything missing is named at the end.
 */
import { pathToFileURL } from "node:url";
import { data } from "./setup/data.mjs";
import { engine } from "./setup/engine.mjs";
import { packages } from "./setup/packages.mjs";
import { environment, kernel } from "./setup/python.mjs";
import { locked, reporter, SetupError } from "./setup/tools.mjs";

const everything = [packages, environment, kernel, engine, data];

/** What a run without notebooks needs: of Python only the pip that fetches the native engine. */
export const forRuns = [
  packages,
  { ...environment, optional: "Without it there are no notebooks and no native engine." },
  engine,
  data,
];

/** Brings every step to its result; throws SetupError naming all that is missing. */
export async function setup(steps = everything) {
  checkPlatform();
  if (steps.every((step) => step.ready())) return;
  const since = Date.now();
  await locked(async () => {
    const missing = [];
    for (const [index, step] of steps.entries()) {
      if (step.ready()) continue;
      const say = reporter(`[${index + 1}/${steps.length}] ${step.name}:`);
      try {
        await step.make(say);
      } catch (error) {
        if (!(error instanceof SetupError)) throw error;
        if (step.optional) console.warn(`\nMISSING ${step.name}: ${error.message}\n${step.optional}\n`);
        else missing.push(`${step.name}: ${error.message}`);
        if (step === packages) break; // nothing else works without them
      }
    }
    if (missing.length > 0)
      throw new SetupError(
        `set-up is not complete.\n\n${missing.join("\n\n")}\n\nThen run the same command again; it goes on from here.`,
      );
  });
  console.log(`set-up complete, ${((Date.now() - since) / 1000).toFixed(1)} s`);
}

function checkPlatform() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 9))
    throw new SetupError(`Node.js 20.9 or newer is needed; this is ${process.version}`);
  if (process.platform === "win32")
    throw new SetupError("This kit runs on Linux and macOS; on Windows use the Windows Subsystem for Linux (WSL)");
}

/** Runs a launcher's main function; a SetupError is shown as a message, without a stack trace. */
export async function launch(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`\n${error.message}`);
    process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const since = Date.now();
  await launch(async () => {
    await setup();
    console.log(`everything is in place (${((Date.now() - since) / 1000).toFixed(1)} s)`);
  });
}
