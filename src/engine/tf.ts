/**
 * The one import of TensorFlow. Three engines run the same operations:
 * - native: libtensorflow from the TensorFlow wheel, through the binding that set-up builds (CPU, or CUDA where it was
 *   set up);
 * - wasm:   @tensorflow/tfjs-backend-wasm with the kit's own kernels (docs/engine.md has its speed), without the kernels
 *   LogSoftmax and UnsortedSegmentSum;
 * - cpu:    plain JavaScript, for checks only.
 * `startEngine()` takes the first that works, or the one that PROMPTSRC_ENGINE names. PROMPTSRC_THREADS sets the
 * number of threads, gpu.ts has the settings of a GPU.
 *
 * Packages are loaded by `require` from the root of the clone, so that the tslab kernel, tsx and vitest share one copy
 * of TensorFlow.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, cpus } from "node:os";
import { dirname, join } from "node:path";
import type * as TensorFlow from "@tensorflow/tfjs";
import { UsageError } from "../util/errors";
import { applyGpuSettings, findGpu, usesTf32 } from "./gpu";
import { startKernels } from "./wasmKernels";

export type {
  NamedTensorMap,
  Rank,
  Scalar,
  Tensor,
  Tensor1D,
  Tensor2D,
  Tensor3D,
  Tensor4D,
  TensorLike,
} from "@tensorflow/tfjs";

export type EngineKind = "native" | "wasm" | "cpu";

/**
 * `version` is that of the library that computes: TensorFlow's for native, else tfjs's. `device` is the processor's or
 * GPU's own name.
 */
export type Engine = { kind: EngineKind; version: string; device: string; threads: number };

const kinds: EngineKind[] = ["native", "wasm", "cpu"];
const load = createRequire(join(process.cwd(), "package.json"));

/** TensorFlow.js's namespace, the same object whichever engine runs. */
export const tf: typeof TensorFlow = load("@tensorflow/tfjs");
tf.enableProdMode(); // only silences tfjs's advertisements: the flag guards nothing but console.warn

/** What console.log says of a tensor: its type, its shape, and its first values. */
(tf.Tensor.prototype as any)[Symbol.for("nodejs.util.inspect.custom")] = function (this: TensorFlow.Tensor): string {
  const shown = 8;
  const head = `Tensor ${this.dtype} [${this.shape}]`;
  if (this.isDisposed) return `${head}, disposed`;
  const values = [...this.dataSync().slice(0, shown)].map((value) =>
    Number.isInteger(value) ? value : value.toPrecision(6),
  );
  return `${head}: ${values.join(", ")}${this.size > shown ? ", ..." : ""}`;
};

/** The classes of TensorFlow's messages (protocol buffers), which come with the native engine. */
export const tensorflowMessages = () => load("@tensorflow/tfjs-node-gpu/dist/proto/api_pb.js");

let started: Promise<Engine> | undefined;

/**
 * Starts the engine once per process; later calls return the same record.
 * @throws when PROMPTSRC_ENGINE names an engine that does not exist or cannot run here, or PROMPTSRC_THREADS is not a
 *   whole number >= 1.
 */
export function startEngine(): Promise<Engine> {
  started ??= start();
  return started;
}

/** Whether the engine computes on a GPU. */
export const usesGpu = (): boolean => (tf.backend() as { isUsingGpuDevice?: boolean }).isUsingGpuDevice === true;

/** @throws UsageError where TF32 is asked and no GPU computes: results would be stored as what they are not */
export function checkPrecision(): void {
  if (usesTf32() && !usesGpu())
    throw new UsageError("TF32 (--tf32, PROMPTSRC_TF32) needs a GPU; a processor computes in float32");
}

/** First line of every run, e.g. `engine native, TensorFlow 2.21.0, Intel Xeon, 2 threads`. */
export function engineLine(engine: Engine): string {
  const library = engine.kind === "native" ? "TensorFlow" : "TensorFlow.js";
  return `engine ${engine.kind}, ${library} ${engine.version}, ${engine.device}, ${engine.threads} thread${engine.threads === 1 ? "" : "s"}`;
}

async function start(): Promise<Engine> {
  const forced = process.env.PROMPTSRC_ENGINE || undefined;
  if (forced !== undefined && !kinds.includes(forced as EngineKind)) {
    throw new UsageError(`PROMPTSRC_ENGINE is "${forced}"; use one of ${kinds.join(", ")}, or leave it unset`);
  }
  // A wrong setting is an error, no reason for another engine.
  wantedThreads();
  applyGpuSettings();
  const reasons: string[] = [];
  for (const kind of forced ? [forced as EngineKind] : kinds) {
    try {
      const engine = await starters[kind]();
      if (reasons.length > 0)
        console.warn(`The native engine is missing: ${kind} runs instead, slower.\n${reasons.join("\n")}`);
      return engine;
    } catch (error) {
      reasons.push(`${kind}: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  throw new Error(
    `No TensorFlow engine starts${forced ? ` (PROMPTSRC_ENGINE=${forced})` : ""}: ${reasons.join("; ")}. Run: npm run setup`,
  );
}

const starters: Record<EngineKind, () => Promise<Engine>> = { native: startNative, wasm: startWasm, cpu: startCpu };

async function startNative(): Promise<Engine> {
  const binding = join(
    dirname(load.resolve("@tensorflow/tfjs-node-gpu/package.json")),
    "lib",
    "napi-v8",
    "tfjs_binding.node",
  );
  if (!existsSync(binding)) throw new Error("the native binding is not built (npm run setup builds it)");
  const threads = wantedThreads();
  // All of these are read when the library loads.
  process.env.TF_NUM_INTRAOP_THREADS = String(threads);
  process.env.TF_CPP_MIN_LOG_LEVEL ??= "2";
  process.env.TF_ENABLE_ONEDNN_OPTS ??= "1"; // attention's many small products run 2-4 times faster than with Eigen
  restoreUtilFunctions();
  load("@tensorflow/tfjs-node-gpu"); // registers the backend "tensorflow" and selects it
  const backend = tf.backend() as unknown as { binding: { TF_Version: string } };
  return {
    kind: "native",
    version: backend.binding.TF_Version,
    device: usesGpu() ? gpuName() : cpuName(),
    threads,
  };
}

async function startWasm(): Promise<Engine> {
  const wasm = load("@tensorflow/tfjs-backend-wasm");
  const folder = dirname(load.resolve("@tensorflow/tfjs-backend-wasm/package.json"));
  wasm.setWasmPaths(join(folder, "wasm-out/"));
  if (!(await tf.setBackend("wasm"))) throw new Error("the WebAssembly backend does not start");
  const threads = await startKernels(tf, wantedThreads());
  return { kind: "wasm", version: tf.version.tfjs, device: cpuName(), threads };
}

async function startCpu(): Promise<Engine> {
  if (!(await tf.setBackend("cpu"))) throw new Error("the JavaScript backend does not start");
  return { kind: "cpu", version: tf.version.tfjs, device: cpuName(), threads: 1 };
}

/** TensorFlow starts as many as it is told, and takes minutes for a hundred thousand. */
const mostThreads = 1024;

/** Threads of one operation: PROMPTSRC_THREADS, else all that this process may use. @throws UsageError */
export function wantedThreads(): number {
  const text = process.env.PROMPTSRC_THREADS;
  const threads = text ? Number(text) : availableParallelism();
  if (!Number.isInteger(threads) || threads < 1 || threads > mostThreads)
    throw new UsageError(`PROMPTSRC_THREADS is "${text}"; use a whole number from 1 to ${mostThreads}`);
  return threads;
}

/** tfjs-node 4.22 calls two functions of `util` that Node 22 warns about and Node 23 removed (tensorflow/tfjs#8609). */
function restoreUtilFunctions(): void {
  const util = load("node:util");
  util.isNullOrUndefined = (value: unknown) => value === null || value === undefined;
  util.isArray = Array.isArray;
}

function cpuName(): string {
  const model = cpus()[0]?.model.trim();
  return model && model !== "unknown" ? model.replace(/\s+/g, " ") : process.arch;
}

/** tfjs-node takes the last GPU listed (CUDA_VISIBLE_DEVICES chooses). Products in TF32 are part of the name. */
const gpuName = (): string => `${findGpu()?.name ?? "NVIDIA GPU"}${usesTf32() ? " with TF32" : ""}`;
