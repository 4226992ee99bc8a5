/** node_modules, exactly as package-lock.json says, without any package's install script. */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { path, readJson, run, SetupError } from "./tools.mjs";

export const packages = { name: "packages", ready, make };

/** npm writes node_modules/.package-lock.json when an installation is complete: it must agree with package-lock.json, and every folder be there. */
function ready() {
  const wanted = readJson(path("package-lock.json"))?.packages;
  const found = readJson(path("node_modules", ".package-lock.json"))?.packages;
  if (!wanted)
    throw new SetupError(
      "package-lock.json is missing or damaged; take it from the repository (git checkout package-lock.json)",
    );
  if (!found) return false;
  const same = (name) =>
    found[name].version === wanted[name]?.version && found[name].integrity === wanted[name]?.integrity;
  const needed = Object.keys(wanted).filter(
    (name) => name !== "" && !wanted[name].optional && !wanted[name].devOptional,
  );
  return (
    Object.keys(found).every((name) => same(name) && existsSync(path(name))) && needed.every((name) => found[name])
  );
}

async function make(say) {
  const count = Object.keys(readJson(path("package-lock.json")).packages).length - 1;
  const [program, ...first] = npm();
  await say.during(
    `npm installs up to ${count} locked packages`,
    run(program, [...first, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]),
  );
}

/** The npm that called us, else the one on the PATH. */
function npm() {
  const caller = process.env.npm_execpath;
  return caller && basename(caller) === "npm-cli.js" && existsSync(caller) ? [process.execPath, caller] : ["npm"];
}
