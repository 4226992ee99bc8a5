/** Rules for src/ that tslab's module loader sets (tslab/dist/executor.js), and our own: one import of TensorFlow, small files. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { expect, test } from "vitest";

const files = readdirSync("src", { recursive: true, encoding: "utf8" })
  .map((name) => join("src", name))
  .filter((name) => name.endsWith(".ts"));

/** The text without comments, so that prose may name what code may not. */
const code = (file: string) => readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*$/gm, "");
const imports = (file: string) => [...code(file).matchAll(/\b(?:from|import)\s*\(?\s*["']([^"']+)["']/g)].map((match) => match[1]);
const relatives = (file: string) => imports(file).filter((name) => name.startsWith("."));
const packages = Object.keys(JSON.parse(readFileSync("package.json", "utf8")).dependencies);

test("relative imports name a file without extension, no folder, and the file exists", () => {
  const wrong = files.flatMap((file) =>
    relatives(file)
      .filter((name) => !existsSync(`${join(dirname(file), name)}.ts`) || /\/$|\.(ts|js)$/.test(name))
      .map((name) => `${file}: ${name}`),
  );
  expect(wrong).toEqual([]);
});

test("no import cycles, types included", () => {
  const cycles: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, way: string[]) => {
    if (way.includes(file)) cycles.push([...way.slice(way.indexOf(file)), file].join(" -> "));
    if (way.includes(file) || done.has(file)) return;
    for (const name of relatives(file)) visit(`${join(dirname(file), name)}.ts`, [...way, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
  expect(cycles).toEqual([]);
});

test("file names have no dots and are no package's or Node module's name", () => {
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
  const wrong = files.filter((file) => {
    const name = basename(file, ".ts");
    return name.includes(".") || names.has(name) || name === "index";
  });
  expect(wrong).toEqual([]);
});

test("no import.meta, __dirname, `using`; top-level await only in the command line", () => {
  const wrong = files.filter((file) => /\bimport\.meta\b|\b__(dirname|filename)\b|^\s*(await )?using \w+ =/m.test(code(file)));
  expect(wrong).toEqual([]);
  expect(files.filter((file) => /^(const .*= )?await /m.test(code(file)))).toEqual([]);
});

test("only src/engine/tf.ts imports TensorFlow", () => {
  const wrong = files.filter(
    (file) => file !== join("src", "engine", "tf.ts") && imports(file).some((name) => name.startsWith("@tensorflow/")),
  );
  expect(wrong).toEqual([]);
});

test("every package that src imports is a locked dependency", () => {
  const name = (id: string) => (id.startsWith("@") ? id.split("/").slice(0, 2).join("/") : id.split("/")[0]);
  const foreign = files.flatMap((file) => imports(file).filter((id) => !id.startsWith(".") && !id.startsWith("node:")));
  expect([...new Set(foreign.map(name))].filter((id) => !packages.includes(id))).toEqual([]);
});

test("no file of src is longer than 300 lines", () => {
  const long = files.filter((file) => readFileSync(file, "utf8").split("\n").length > 301).map((file) => relative(".", file));
  expect(long).toEqual([]);
});

test("the lockfile names no registry and package.json pins exactly", () => {
  const lock = readFileSync("package-lock.json", "utf8");
  expect(lock).not.toMatch(/"resolved"/);
  const { dependencies, devDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
  const versions = Object.entries({ ...dependencies, ...devDependencies } as Record<string, string>);
  expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+/.test(version))).toEqual([]);
  expect(statSync(".npmrc").isFile()).toBe(true);
});
