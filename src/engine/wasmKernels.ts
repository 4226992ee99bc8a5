/**
 * The kit's own kernels for WebAssembly (src/engine/wasm), with threads. TensorFlow.js has the product of matrices in
 * scalar code where a factor is transposed or part of a batch, as in every backward pass and in attention, and one
 * thread in Node.
 *
 * The kernels work on a memory of their own, which all threads share: TensorFlow.js's cannot be shared. Inputs are
 * copied into it and results out of it, which takes a twentieth of a step.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";

/** What TensorFlow.js's kernels take and give: a tensor, or where one's values are. */
export type TensorInfo = { dataId: object; shape: number[]; dtype: string };
type TfjsBackend = {
  typedArrayFromHeap(tensor: TensorInfo): Float32Array | Int32Array;
  makeOutput(shape: number[], dtype: string): TensorInfo;
};
type Kernel = (...values: (number | boolean)[]) => void;
type Memory = { readonly buffer: SharedArrayBuffer; grow(pages: number): void };
type TensorFlow = { backend(): unknown; getKernel: any; registerKernel: any; unregisterKernel: any };
type Module = { tfjs: TfjsBackend; memory: Memory; kernels: Record<string, Kernel>; firstByte: number };

let started: Module | undefined;

/** Bytes of a thread's stack, which holds the intermediate arrays of its kernel. bin/wasm.mjs gives thread 0 as many. */
const stackBytes = 2 ** 24;
/** More than so many threads would take the addresses that arrays need. */
const mostThreads = 32;
const pageBytes = 2 ** 16;

/** What a thread runs: an instance of the module on the shared memory, until the process ends. */
const thread = `
  const { compiled, memory, stack, me } = require("node:worker_threads").workerData;
  const { exports } = new WebAssembly.Instance(compiled, { env: { memory } });
  exports.__stack_pointer.value = stack;
  exports.serve(me);`;

/**
 * Starts the kernels, and gives TensorFlow.js their product of matrices.
 * @param wanted number of threads, the calling one among them
 * @returns the number of threads, which is `wanted` or the most that there can be
 */
export async function startKernels(tf: TensorFlow, wanted: number): Promise<number> {
  const threads = Math.min(wanted, mostThreads);
  const file = join(process.cwd(), "src", "engine", "wasm", "kernels.wasm");
  const { WebAssembly } = globalThis as any; // TypeScript has its types only among those of a browser
  const compiled = await WebAssembly.compile(readFileSync(file));
  const memory: Memory = new WebAssembly.Memory({
    initial: 2 * (stackBytes / pageBytes),
    maximum: 2 ** 16,
    shared: true,
  });
  const { exports } = await WebAssembly.instantiate(compiled, { env: { memory } });
  const { __heap_base: end, setThreads, ...kernels } = exports;
  const firstByte = end.value + (threads - 1) * stackBytes;
  started = { tfjs: tf.backend() as TfjsBackend, memory, kernels, firstByte };
  reserve(firstByte);
  for (let me = 1; me < threads; me++) {
    const workerData = { compiled, memory, me, stack: end.value + me * stackBytes };
    new Worker(thread, { eval: true, execArgv: [], workerData }).unref();
  }
  setThreads(threads);
  replaceMatMul(tf);
  return threads;
}

/** Makes the memory at least so large. @throws beyond the 4 GB that WebAssembly can address */
function reserve(bytes: number): SharedArrayBuffer {
  const { memory } = started as Module;
  const missing = Math.ceil((bytes - memory.buffer.byteLength) / pageBytes);
  try {
    if (missing > 0) memory.grow(missing);
  } catch {
    throw new Error(
      `an operation needs ${Math.ceil(bytes / 2 ** 20)} MB of WebAssembly's memory, and there are no more than 4096: take smaller batches`,
    );
  }
  return memory.buffer;
}

/**
 * Runs a kernel on copies of the inputs. The kernel gets the addresses of inputs and outputs; that of an array that is
 * absent or empty is 0.
 */
export function call(
  inputs: (TensorInfo | undefined)[],
  outputs: number[][],
  kernel: (kernels: Module["kernels"], inputs: number[], outputs: number[]) => void,
): TensorInfo[] {
  const { tfjs, kernels, firstByte } = started as Module;
  let end = firstByte;
  const place = (bytes: number): number => {
    const address = bytes > 0 ? end : 0;
    end += Math.ceil(bytes / 64) * 64;
    return address;
  };
  const results = outputs.map((shape) => tfjs.makeOutput(shape, "float32"));
  // Views of TensorFlow.js's memory hold until it grows, which makeOutput may do.
  const sources = inputs.map((x) => x && tfjs.typedArrayFromHeap(x));
  const from = sources.map((source) => place(source?.byteLength ?? 0));
  const to = outputs.map((shape) => place(4 * size(shape)));
  const buffer = reserve(end + 64); // kernels read up to three numbers beyond an array
  sources.forEach((source, i) => {
    if (source) new Uint8Array(buffer, from[i], source.byteLength).set(bytesOf(source));
  });
  kernel(kernels, from, to);
  results.forEach((result, i) => {
    tfjs.typedArrayFromHeap(result).set(new Float32Array(buffer, to[i], size(outputs[i])));
  });
  return results;
}

/** @throws where a thread's stack would not hold so many intermediate numbers */
export function checkStack(operation: string, numbers: number): void {
  if (4 * numbers > 0.9 * stackBytes)
    throw new Error(
      `${operation} needs ${Math.ceil(numbers / 2 ** 18)} MB for a thread, and has ${stackBytes / 2 ** 20} on the WebAssembly engine: the native engine has no such limit`,
    );
}

export const size = (shape: number[]): number => shape.reduce((a, b) => a * b, 1);
const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Int32Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/**
 * TensorFlow.js's product of matrices, by the kit's kernel where one factor's batch is that of the other or a single
 * matrix. Thereby every tf.matMul has it, and its gradient.
 */
function replaceMatMul(tf: TensorFlow): void {
  const original = tf.getKernel("BatchMatMul", "wasm");
  const kernelFunc = (args: any) => {
    const { a, b } = args.inputs as Record<"a" | "b", TensorInfo>;
    const { transposeA, transposeB } = args.attrs as Record<"transposeA" | "transposeB", boolean>;
    const [rows, inner] = transposeA ? [-1, -2] : [-2, -1];
    const R = a.shape.at(rows) as number;
    const n = a.shape.at(inner) as number;
    const m = b.shape.at(transposeB ? -2 : -1) as number;
    const [batchA, batchB] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
    const [countA, countB] = [size(batchA), size(batchB)];
    const fits = `${batchA}` === `${batchB}` || countA === 1 || countB === 1;
    if (!fits || a.dtype !== "float32" || b.dtype !== "float32") return original.kernelFunc(args);
    const batch = batchA.length < batchB.length || countA < countB ? batchB : batchA;
    const step = (count: number, elements: number) => (count === 1 ? 0 : elements);
    return call([a, b], [[...batch, R, m]], (kernels, [x, y], [product]) => {
      const [stepA, stepB] = [step(countA, R * n), step(countB, n * m)];
      kernels.matMul(size(batch), R, n, m, x, stepA, transposeA, y, stepB, transposeB, product);
    })[0];
  };
  tf.unregisterKernel("BatchMatMul", "wasm");
  tf.registerKernel({ ...original, kernelFunc });
}
