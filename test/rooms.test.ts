/**
 * Rules for the code in src/: those that tslab's module loader requires (tslab/dist/executor.js), and the kit's own:
 * only one file imports TensorFlow, and the folders of src import each other in one direction only.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { expect, test } from "vitest";
import { figureOutputs } from "../src/notebook/storedOutputs";

const files = readdirSync("src", { recursive: true, encoding: "utf8" })
  .map((name) => join("src", name))
  .filter((name) => name.endsWith(".ts"));

/** The text of a file without comments, because comments may mention what code must not use. */
const code = (file: string) => readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*$/gm, "");
const imports = (file: string) =>
  [
    ...code(file).matchAll(/^(?:import|export)\s[^"'`;]*?\bfrom\s+["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/gm),
  ].map((match) => match[1] ?? match[2]);
const relatives = (file: string) => imports(file).filter((name) => name.startsWith("."));
const packages = Object.keys(JSON.parse(readFileSync("package.json", "utf8")).dependencies);

test("relative imports name an existing file without its extension, never a folder", () => {
  const violations = files.flatMap((file) =>
    relatives(file)
      .filter((name) => !existsSync(`${join(dirname(file), name)}.ts`) || /\/$|\.(ts|js)$/.test(name))
      .map((name) => `${file}: ${name}`),
  );
  expect(violations).toEqual([]);
});

test("there are no import cycles, type imports included", () => {
  const cycles: string[] = [];
  const finished = new Set<string>();
  const visit = (file: string, importChain: string[]) => {
    if (importChain.includes(file)) cycles.push([...importChain.slice(importChain.indexOf(file)), file].join(" -> "));
    if (importChain.includes(file) || finished.has(file)) return;
    for (const name of relatives(file)) visit(`${join(dirname(file), name)}.ts`, [...importChain, file]);
    finished.add(file);
  };
  for (const file of files) visit(file, []);
  expect(cycles).toEqual([]);
});

test("file names contain no dots and differ from the names of packages and Node modules", () => {
  const names = new Set([
    ...packages.map((name) => basename(name)),
    "zod",
    "tar",
    "commander",
    "fs",
    "path",
    "os",
    "util",
    "crypto",
    "stream",
  ]);
  const violations = files.filter((file) => {
    const name = basename(file, ".ts");
    return name.includes(".") || names.has(name) || name === "index";
  });
  expect(violations).toEqual([]);
});

test("no file uses import.meta, __dirname, `using` or top-level await", () => {
  const violations = files.filter((file) =>
    /\bimport\.meta\b|\b__(dirname|filename)\b|^\s*(await )?using \w+ =/m.test(code(file)),
  );
  expect(violations).toEqual([]);
  expect(files.filter((file) => /^(const .*= )?await /m.test(code(file)))).toEqual([]);
});

test("only src/engine/tf.ts imports TensorFlow", () => {
  const violations = files.filter(
    (file) => file !== join("src", "engine", "tf.ts") && imports(file).some((name) => name.startsWith("@tensorflow/")),
  );
  expect(violations).toEqual([]);
});

test("every package that src imports is a locked dependency", () => {
  const name = (id: string) => (id.startsWith("@") ? id.split("/").slice(0, 2).join("/") : id.split("/")[0]);
  const foreign = files.flatMap((file) => imports(file).filter((id) => !id.startsWith(".") && !id.startsWith("node:")));
  expect([...new Set(foreign.map(name))].filter((id) => !packages.includes(id))).toEqual([]);
});

/** The folders of src in layers: a folder may import only from folders in earlier layers. */
const layers = [
  ["util"],
  ["io"],
  ["engine"],
  ["configs"],
  ["solvers", "clip"],
  ["cache", "datasets"],
  ["methods"],
  ["training"],
  ["results"],
  ["experiments"],
  ["benchmarks", "analysis", "cluster"],
  ["figures"],
  ["notebook", "parity", "jupyterlab"],
  ["cli", "kit.ts"],
];

/** Imports [from, to] that the order of the layers would allow but that are forbidden nevertheless. */
const forbidden = [
  ["methods", "datasets"], // methods get pixels, not files
  ["figures", "training"], // figures are made from results
  ["results", "engine"], // results are plain data
  ["results", "methods"],
];

test("the folders of src import only from earlier layers", () => {
  const folderOf = (file: string) => file.split("/")[1];
  const layerOf = (folder: string) => layers.findIndex((folders) => folders.includes(folder));
  expect([...new Set(files.map(folderOf))].filter((folder) => layerOf(folder) < 0)).toEqual([]);
  const violations = files.flatMap((file) =>
    relatives(file)
      .map((name) => join(dirname(file), name))
      .filter((target) => {
        const [from, to] = [folderOf(file), folderOf(`${target}.ts`)];
        const isForbidden = forbidden.some(([a, b]) => a === from && b === to);
        return from !== to && (layerOf(to) >= layerOf(from) || isForbidden);
      })
      .map((target) => `${file} -> ${target}`),
  );
  expect(violations).toEqual([]);
});

test("src imports only from src, and bench does not import from test", () => {
  const bench = readdirSync("bench")
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join("bench", name));
  const importedRoots = (file: string) => relatives(file).map((name) => join(dirname(file), name).split("/")[0]);
  expect(files.filter((file) => importedRoots(file).some((root) => root !== "src"))).toEqual([]);
  expect(bench.filter((file) => importedRoots(file).includes("test"))).toEqual([]);
});

test("the lockfile names no registry, and package.json pins exact versions", () => {
  const lock = readFileSync("package-lock.json", "utf8");
  expect(lock).not.toMatch(/"resolved"/);
  const { dependencies, devDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
  const versions = Object.entries({ ...dependencies, ...devDependencies } as Record<string, string>);
  expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+/.test(version))).toEqual([]);
  expect(statSync(".npmrc").isFile()).toBe(true);
});

test("links of documents and notebooks lead to files that exist", () => {
  const documents = ["README.md", "CONTRIBUTING.md", "data/README.md", "src/methods/README.md"].concat(
    ["docs", "notebooks"].flatMap((folder) =>
      readdirSync(folder)
        .filter((name) => /\.(md|ipynb)$/.test(name))
        .map((name) => join(folder, name)),
    ),
  );
  const broken = documents.flatMap((file) =>
    [...readFileSync(file, "utf8").matchAll(/\]\(([^)#\s"\\]+)/g)]
      .map(([, link]) => link)
      .filter((link) => !/^(https?|attachment|mailto):/.test(link) && !existsSync(join(dirname(file), link)))
      .map((link) => `${file}: ${link}`),
  );
  expect(broken).toEqual([]);
});

test("every figure in the notebooks has its picture, which code hosts show", () => {
  const files = readdirSync("notebooks").filter((name) => name.endsWith(".ipynb"));
  const without = files.filter((name) =>
    figureOutputs(JSON.parse(readFileSync(join("notebooks", name), "utf8"))).some(
      (data) => !String(data["text/html"]).includes('src="data:image/svg+xml;base64,') || !data["image/png"],
    ),
  );
  expect(without, "npm run promptsrc -- pictures notebooks/<name> adds them").toEqual([]);
});
