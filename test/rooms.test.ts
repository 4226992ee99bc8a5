/** Rules for src/ that tslab's module loader sets (tslab/dist/executor.js), and our own: one import of TensorFlow, rooms in an order. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { expect, test } from "vitest";

const files = readdirSync("src", { recursive: true, encoding: "utf8" })
  .map((name) => join("src", name))
  .filter((name) => name.endsWith(".ts"));

/** The text without comments, so that prose may name what code may not. */
const code = (file: string) => readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*$/gm, "");
const imports = (file: string) =>
  [...code(file).matchAll(/\b(?:from|import)\s*\(?\s*["']([^"']+)["']/g)].map((match) => match[1]);
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

test("no import.meta, __dirname, `using` or top-level await", () => {
  const wrong = files.filter((file) =>
    /\bimport\.meta\b|\b__(dirname|filename)\b|^\s*(await )?using \w+ =/m.test(code(file)),
  );
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

/** The rooms of src from the ground up: a room imports from those before it, and from no other. */
const floors = [
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
  ["benchmarks", "analysis"],
  ["figures"],
  ["notebook", "parity"],
  ["cli", "kit.ts"],
];

/** What would be possible by the floors, and would still be wrong. */
const forbidden = [
  ["methods", "datasets"], // a method sees pixels, not files
  ["figures", "training"], // a figure is made of results
  ["results", "engine"], // a result is data
  ["results", "methods"],
];

test("imports between rooms go one way only", () => {
  const roomOf = (file: string) => file.split("/")[1];
  const floorOf = (room: string) => floors.findIndex((rooms) => rooms.includes(room));
  expect([...new Set(files.map(roomOf))].filter((room) => floorOf(room) < 0)).toEqual([]);
  const wrong = files.flatMap((file) =>
    relatives(file)
      .map((name) => join(dirname(file), name))
      .filter((target) => {
        const [from, to] = [roomOf(file), roomOf(`${target}.ts`)];
        const banned = forbidden.some(([a, b]) => a === from && b === to);
        return from !== to && (floorOf(to) >= floorOf(from) || banned);
      })
      .map((target) => `${file} -> ${target}`),
  );
  expect(wrong).toEqual([]);
});

test("neither src nor bench imports from test, and src not from bench", () => {
  const bench = readdirSync("bench")
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join("bench", name));
  const outside = (file: string) => relatives(file).map((name) => join(dirname(file), name).split("/")[0]);
  expect(files.filter((file) => outside(file).some((root) => root !== "src"))).toEqual([]);
  expect(bench.filter((file) => outside(file).includes("test"))).toEqual([]);
});

test("the lockfile names no registry and package.json pins exactly", () => {
  const lock = readFileSync("package-lock.json", "utf8");
  expect(lock).not.toMatch(/"resolved"/);
  const { dependencies, devDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
  const versions = Object.entries({ ...dependencies, ...devDependencies } as Record<string, string>);
  expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+/.test(version))).toEqual([]);
  expect(statSync(".npmrc").isFile()).toBe(true);
});
