import { execFileSync, spawnSync } from "node:child_process";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { engineLine, startEngine, tf } from "../../src/engine/tf";

const loader = pathToFileURL("node_modules/tsx/dist/loader.mjs").href;
const program = `
  import("./src/engine/tf.ts").then(async (module) => {
    const { startEngine, engineLine, tf } = module.default ?? module;
    const engine = await startEngine();
    const a = tf.tensor2d(Array.from({ length: 60 }, (_, i) => Math.sin(i)), [6, 10]);
    const gradient = tf.grad((x) => tf.sum(tf.softmax(tf.matMul(x, a, false, true).mul(0.5)).square()))(a);
    console.log(JSON.stringify({ engine, line: engineLine(engine), gradient: Array.from(gradient.dataSync()) }));
  });`;

function runInProcess(env: Record<string, string>) {
  const run = spawnSync(process.execPath, ["--import", loader, "-e", program], {
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  const last = run.stdout.trim().split("\n").pop();
  return { ...run, result: run.status === 0 && last ? JSON.parse(last) : undefined };
}

test("every engine that PROMPTSRC_ENGINE selects runs, prints no warnings, and computes the same numbers", () => {
  const cpu = runInProcess({ PROMPTSRC_ENGINE: "cpu" });
  for (const kind of ["native", "wasm", "cpu"]) {
    const { result, stderr, stdout } = runInProcess({ PROMPTSRC_ENGINE: kind });
    expect(result?.engine.kind, stderr).toBe(kind);
    expect(stderr + stdout.trim().split("\n").slice(0, -1).join("\n")).toBe("");
    const worst = Math.max(
      ...result.gradient.map((value: number, i: number) => Math.abs(value - cpu.result.gradient[i])),
    );
    expect(worst).toBeLessThan(1e-6);
  }
});

test("the engine's line names engine, version, device and threads", () => {
  const { result } = runInProcess({ PROMPTSRC_ENGINE: "native", PROMPTSRC_THREADS: "1" });
  expect(result.engine.threads).toBe(1);
  expect(result.line).toMatch(/^engine native, TensorFlow 2\.\d+\.\d+, .+, 1 thread$/);
});

test("for a wrong engine or number of threads, the error message names the setting", () => {
  expect(runInProcess({ PROMPTSRC_ENGINE: "abacus" }).stderr).toContain(
    'PROMPTSRC_ENGINE is "abacus"; use one of native, wasm, cpu',
  );
  expect(runInProcess({ PROMPTSRC_ENGINE: "native", PROMPTSRC_THREADS: "0.5" }).stderr).toContain(
    'PROMPTSRC_THREADS is "0.5"',
  );
});

test("the engine starts only once", async () => {
  const engine = await startEngine();
  expect(await startEngine()).toBe(engine);
  expect(engineLine(engine)).toContain(engine.version);
  expect(tf.getBackend()).toBe({ native: "tensorflow", wasm: "wasm", cpu: "cpu" }[engine.kind]);
});

test("Node without util.isArray and util.isNullOrUndefined (23 and later) runs the native engine", () => {
  const programWithoutUtil = `const util = require("node:util"); delete util.isArray; delete util.isNullOrUndefined; ${program}`;
  const output = execFileSync(process.execPath, ["--import", loader, "-e", programWithoutUtil], { encoding: "utf8" });
  expect(output).toContain('"gradient"');
});

test("a printed tensor shows its type, its shape and its first values", async () => {
  await startEngine();
  const [whole, long] = [tf.tensor2d([[1, 2.5]]), tf.range(0, 20, 1, "int32")];
  expect(inspect({ whole })).toContain("Tensor float32 [1,2]: 1, 2.50000");
  expect(inspect(long)).toBe("Tensor int32 [20]: 0, 1, 2, 3, 4, 5, 6, 7, ...");
  tf.dispose([whole, long]);
  expect(inspect(whole)).toBe("Tensor float32 [1,2], disposed");
});
