#!/usr/bin/env node
/**
 * npm run setup: installs everything that the kit needs inside this clone. Outside the clone, only the caches of npm
 * and pip are written. Each step checks whether its result is complete and up to date (`ready`) and creates it if not
 * (`make`), so a second run takes a moment and an interrupted run can be continued. When a step fails, the others are
 * still tried; the error at the end lists everything that is missing.
 */
import { pathToFileURL } from "node:url";
import { data } from "./setup/data.mjs";
import { engine } from "./setup/engine.mjs";
import { figures } from "./setup/figures.mjs";
import { library } from "./setup/library.mjs";
import { locked } from "./setup/lock.mjs";
import { packages } from "./setup/packages.mjs";
import { environment, kernel } from "./setup/python.mjs";
import { reporter, SetupError } from "./setup/tools.mjs";

const everything = [packages, environment, kernel, engine, data, library, figures];

/**
 * The steps for runs without notebooks. Python is optional here: only its pip is used, to download the native engine.
 */
export const forRuns = [
  packages,
  { ...environment, optional: "Without it there are no notebooks and no native engine." },
  engine,
  data,
];

/** Runs every step whose result is not ready. @throws SetupError that lists everything that is missing */
export async function setup(steps = everything) {
  checkPlatform();
  if (steps.every((step) => step.ready())) return;
  const startTime = Date.now();
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
        if (step === packages) break; // no other step works without the npm packages
      }
    }
    if (missing.length > 0)
      throw new SetupError(
        `set-up is not complete.\n\n${missing.join("\n\n")}\n\nRun the same command again to continue from here.`,
      );
  });
  console.log(`set-up complete, ${((Date.now() - startTime) / 1000).toFixed(1)} s`);
}

function checkPlatform() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 9))
    throw new SetupError(`Node.js 20.9 or newer is needed; this is ${process.version}`);
  if (process.platform === "win32")
    throw new SetupError("This kit runs on Linux and macOS; on Windows use the Windows Subsystem for Linux (WSL)");
}

/**
 * Sends this process SIGTERM once the npm that started it has ended: npm passes on SIGINT and SIGTERM, but not SIGHUP or
 * its own kill. The scripts of package.json begin with `exec`, so that no shell stands between. Started in another way,
 * this process is left alone.
 */
function endWithNpm() {
  const npm = process.ppid;
  if (process.env.npm_lifecycle_event === undefined) return;
  const timer = setInterval(() => {
    if (process.ppid === npm) return;
    clearInterval(timer);
    process.kill(process.pid, "SIGTERM");
  }, 1000).unref();
}

/** Runs the main function of a launcher script; a SetupError is shown as a message, without a stack trace. */
export async function launch(main) {
  endWithNpm();
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`\n${error.message}`);
    process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const startTime = Date.now();
  await launch(async () => {
    await setup();
    console.log(`everything is in place (${((Date.now() - startTime) / 1000).toFixed(1)} s)`);
  });
}
