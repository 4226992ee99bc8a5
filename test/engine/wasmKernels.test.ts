/** The kernels of the WebAssembly engine. That blocks and methods are right with them, test/parity shows. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
// @ts-expect-error: the scripts have no declarations
import { sourceHash } from "../../bin/wasm.mjs";

test("kernels.wasm was compiled from the sources beside it (else: node bin/wasm.mjs)", async () => {
  const { WebAssembly } = globalThis as any;
  const compiled = await WebAssembly.compile(readFileSync("src/engine/wasm/kernels.wasm"));
  const [section] = WebAssembly.Module.customSections(compiled, "sources");
  expect(Buffer.from(section).toString()).toBe(sourceHash());
});

const program = `
  import("./src/engine/tf.ts").then(async (module) => {
    const { startEngine, tf } = module.default ?? module;
    const { threads } = await startEngine();
    const random = (shape, seed) => tf.randomNormal(shape, 0, 1, "float32", seed);
    const results = [];
    let worst = 0;
    // Batches, of which one may be a single matrix; sizes that fill no tile, and a sum longer than a panel.
    for (const [left, right, R, n, m] of [
      [[], [], 1, 1, 1], [[], [], 13, 600, 11], [[3], [3], 7, 5, 9], [[2, 3], [2, 3], 50, 8, 17], [[4], [], 6, 3, 8],
      [[], [2, 2], 5, 4, 3], [[], [], 300, 16, 24],
    ])
      for (const transposeA of [false, true])
        for (const transposeB of [false, true]) {
          const a = random([...left, ...(transposeA ? [n, R] : [R, n])], 1);
          const b = random([...right, ...(transposeB ? [m, n] : [n, m])], 2);
          const y = tf.tidy(() => [...tf.matMul(a, b, transposeA, transposeB).dataSync()]);
          results.push(y);
          const [x, w] = [a.dataSync(), b.dataSync()];
          for (let at = 0; at < y.length; at++) {
            const [batch, i, j] = [Math.floor(at / (R * m)), Math.floor(at / m) % R, at % m];
            const [xs, ws] = [left.length ? batch * R * n : 0, right.length ? batch * n * m : 0];
            let sum = 0;
            for (let k = 0; k < n; k++)
              sum += x[xs + (transposeA ? k * R + i : i * n + k)] * w[ws + (transposeB ? j * n + k : k * m + j)];
            worst = Math.max(worst, Math.abs(sum - y[at]) / Math.sqrt(n));
          }
          tf.dispose([a, b]);
        }
    console.log(JSON.stringify({ threads, worst, results, tensors: tf.memory().numTensors }));
  });`;

function products(threads: number) {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ["--import", pathToFileURL("node_modules/tsx/dist/loader.mjs").href, "-e", program],
    {
      encoding: "utf8",
      maxBuffer: 1 << 26,
      env: { ...process.env, PROMPTSRC_ENGINE: "wasm", PROMPTSRC_THREADS: `${threads}` },
    },
  );
  expect(stderr).toBe("");
  return JSON.parse(stdout);
}

test("products are right in every size and order, and the same to the last digit with one thread and with three", () => {
  const [one, three] = [products(1), products(3)];
  expect([one.threads, three.threads]).toEqual([1, 3]);
  expect(one.worst).toBeLessThan(2e-6);
  expect(three.results).toEqual(one.results);
  expect(one.tensors).toBe(0);
});
