/**
 * Set-up step: bundles the extension of JupyterLab for figures (src/jupyterlab/renderer.ts) into .venv. JupyterLab
 * loads an extension from a folder with a package.json and a script.
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { hash, path, readJson, writeWhole } from "./tools.mjs";

const name = "promptsrc-figures";
const installed = path(".venv", "share", "jupyter", "labextensions");

export const figures = {
  name: "figures in JupyterLab",
  ready: () => isCurrent(readJson(join(installed, name, "made.json"))),
  make: async (say) => {
    bundle(installed);
    say("extension for figures bundled into .venv");
  },
};

const hashOf = (sources) => hash(...sources.map((source) => readFileSync(path(source))));
const isCurrent = (made) =>
  made?.sources.every((source) => existsSync(path(source))) && hashOf(made.sources) === made.key;

/** Writes the extension into a folder of extensions. */
export function bundle(folder) {
  const { buildSync } = createRequire(import.meta.url)("esbuild");
  const { outputFiles, metafile } = buildSync({
    absWorkingDir: path(),
    entryPoints: [join("src", "jupyterlab", "renderer.ts")],
    bundle: true,
    format: "iife",
    target: "es2022",
    write: false,
    metafile: true,
  });
  const script = "static/remoteEntry.js";
  const sources = Object.keys(metafile.inputs);
  const loaded = { load: script, mimeExtension: "./mimeExtension" };
  writeWhole(join(folder, name, script), outputFiles[0].contents);
  writeWhole(
    join(folder, name, "package.json"),
    `${JSON.stringify({ name, version: "1.0.0", jupyterlab: { mimeExtension: true, _build: loaded } }, null, 2)}\n`,
  );
  writeWhole(join(folder, name, "made.json"), JSON.stringify({ sources, key: hashOf(sources) }));
}
