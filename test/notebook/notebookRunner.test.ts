import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../temporary";

const folder = temporaryFolder("runner");

/** Writes a notebook of code cells; the first is tagged `parameters`. */
function notebook(name: string, sources: string[]): string {
  const file = join(folder, name);
  const cells = sources.map((source, i) => ({
    cell_type: "code",
    metadata: { ...(i === 0 ? { tags: ["parameters"] } : {}), execution: { "iopub.execute_input": "2026-01-01" } },
    execution_count: 40 + i,
    outputs: [],
    source,
  }));
  writeFileSync(file, JSON.stringify({ cells, metadata: { widgets: {} }, nbformat: 4, nbformat_minor: 5 }));
  return file;
}

function run(...args: string[]) {
  return spawnSync(process.execPath, ["bin/run-notebook.cjs", ...args], { encoding: "utf8" });
}

const cellsOf = (file: string) => JSON.parse(readFileSync(file, "utf8")).cells;
/** What the cells of a notebook printed. */
const textsOf = (file: string): string[] =>
  cellsOf(file).flatMap((cell: any) => cell.outputs.flatMap((output: any) => output.text ?? []));

test("stores parameters, streams, updated displays and rich last values; a second run writes the same bytes", () => {
  const file = notebook("good.ipynb", [
    'let steps = 1;\nlet name = "a";',
    'import * as tslab from "tslab";\nconst view = tslab.newDisplay();\nview.text("0 %");\nconsole.log(steps + 1, name);\nprocess.stdout.write("10 %\\r20 %\\n");\nlet end = 0;',
    'view.html("<b>100 %</b>\\n<i>done</i>");',
    '({ [Symbol.for("Jupyter.display")]: () => ({ "application/json": { a: 1 }, "text/plain": "a" }) })',
  ]);
  const [first, second] = [join(folder, "first.ipynb"), join(folder, "second.ipynb")];
  const firstRun = run(file, "steps=5", "name=flowers", "--out", first);
  expect(firstRun.status, firstRun.stdout + firstRun.stderr).toBe(0);
  expect(run(first, "steps=5", "name=flowers", "--out", second).status).toBe(0);
  expect(readFileSync(second, "utf8")).toBe(readFileSync(first, "utf8"));

  const cells = cellsOf(first);
  expect(cells.map((cell: any) => cell.execution_count)).toEqual([1, 2, 3, 4, 5]);
  expect(cells[1].source).toEqual(["steps = 5;\n", 'name = "flowers";']);
  expect(cells[1].metadata).toEqual({ tags: ["injected-parameters"] });
  expect(cells[2].outputs).toEqual([
    { output_type: "display_data", data: { "text/html": ["<b>100 %</b>\n", "<i>done</i>"] }, metadata: {} },
    { output_type: "stream", name: "stdout", text: ["6 flowers\n", "20 %\n"] },
  ]);
  expect(cells[4].outputs[0].data).toEqual({ "application/json": { a: 1 }, "text/plain": ["a"] });
  expect(readFileSync(first, "utf8")).not.toContain("2026-01-01");
});

test("shorthand properties can refer to variables of earlier cells", () => {
  const file = notebook("shorthand.ipynb", [
    'let n = 1;\nlet name = "é";',
    "function f({ n, name }: { n: number; name: string }) { return n + name; }",
    'const made = { n, nested: { name }, text: f({ n, name }) };\nconsole.log(JSON.stringify(made));\n({ n, name } = { n: 5, name: "five" });',
    "console.log(n, name);",
  ]);
  const out = join(folder, "shorthand.out.ipynb");
  const result = run(file, "--out", out);
  expect(result.status, result.stdout).toBe(0);
  expect(textsOf(out)).toContain('{"n":1,"nested":{"name":"é"},"text":"1é"}\n');
});

test("a cell may begin with `for await`, and import a module of Node by `await import`", () => {
  const file = notebook("await.ipynb", [
    "let n = 0;",
    "for await (const v of [1, 2]) n += v;",
    'const fs = await import("node:fs");\nconsole.log(n, typeof fs.readFileSync);',
    'console.log(fs.existsSync("package.json"));',
  ]);
  const out = join(folder, "await.out.ipynb");
  const result = run(file, "--out", out);
  expect(result.status, result.stdout).toBe(0);
  expect(textsOf(out)).toEqual(["3 function\n", "true\n"]);
});

test("a cell that calls process.exit fails like any other, and what was run is written", () => {
  const file = notebook("exit.ipynb", ["console.log('one');\nprocess.exit(0);", "console.log('two');"]);
  const out = join(folder, "exit.out.ipynb");
  const result = run(file, "--out", out);
  expect([result.status, result.stdout.includes("a cell called process.exit(0)")]).toEqual([1, true]);
  const [first, second] = cellsOf(out);
  expect([first.outputs[0].text, second.outputs]).toEqual([["one\n"], []]);
});

test("a failed cell ends the run with status 1 and its error as output; --in-place leaves the file unchanged", () => {
  const file = notebook("bad.ipynb", [
    "let n = 1;",
    'throw new RangeError("n is " + n);',
    'console.log("not reached");',
  ]);
  const before = readFileSync(file, "utf8");
  const inPlace = run(file, "--in-place");
  expect(inPlace.status).toBe(1);
  expect(inPlace.stdout).toContain("RangeError");
  expect(readFileSync(file, "utf8")).toBe(before);
  const out = join(folder, "bad.out.ipynb");
  expect(run(file, "--out", out).status).toBe(1);
  const cells = cellsOf(out);
  expect(cells[1].outputs[0]).toMatchObject({ output_type: "error", ename: "RangeError", evalue: "n is 1" });
  expect(cells[2].execution_count).toBe(null);
});

test("type errors, rejected promises and late errors also fail the run", () => {
  for (const source of [
    "const text: string = n;",
    'await Promise.reject(new Error("rejected"));',
    'setTimeout(() => { throw new Error("late"); }, 5);\nawait new Promise((resolve) => setTimeout(resolve, 100));',
    'Promise.reject(new Error("forgotten"));\nawait new Promise((resolve) => setTimeout(resolve, 50));',
  ]) {
    expect(run(notebook("fails.ipynb", ["let n = 1;", source])).status, source).toBe(1);
  }
});

test("error messages explain wrong arguments", () => {
  const file = notebook("plain.ipynb", ["let n = 1;"]);
  expect(run().stderr).toContain("usage:");
  expect(run(file, "n").stderr).toContain('"n" is not of the form key=value');
  expect(run(join(folder, "absent.ipynb")).stderr).toContain("is not a notebook");
});
