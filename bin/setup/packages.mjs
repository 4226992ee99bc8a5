/**
 * Set-up step: installs node_modules exactly as package-lock.json says, without running install scripts of packages.
 */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { run } from "./programs.mjs";
import { path, readJson, SetupError } from "./tools.mjs";

export const packages = { name: "packages", ready, make };

/**
 * npm writes node_modules/.package-lock.json when an installation is complete: it must agree with package-lock.json,
 * and the folder of every package must exist.
 */
function ready() {
  const locked = readJson(path("package-lock.json"))?.packages;
  const installed = readJson(path("node_modules", ".package-lock.json"))?.packages;
  if (!locked)
    throw new SetupError(
      "package-lock.json is missing or damaged; take it from the repository (git checkout package-lock.json)",
    );
  if (!installed) return false;
  const isLocked = (name) =>
    installed[name].version === locked[name]?.version && installed[name].integrity === locked[name]?.integrity;
  const required = Object.keys(locked).filter(
    (name) => name !== "" && !locked[name].optional && !locked[name].devOptional,
  );
  return (
    Object.keys(installed).every((name) => isLocked(name) && existsSync(path(name))) &&
    required.every((name) => installed[name])
  );
}

async function make(say) {
  const count = Object.keys(readJson(path("package-lock.json")).packages).length - 1;
  const [program, ...options] = npm();
  await say.during(
    `npm installs up to ${count} locked packages`,
    run(program, [...options, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]),
  );
}

/** The npm that started this process, else the one on the PATH. */
function npm() {
  const caller = process.env.npm_execpath;
  return caller && basename(caller) === "npm-cli.js" && existsSync(caller) ? [process.execPath, caller] : ["npm"];
}
