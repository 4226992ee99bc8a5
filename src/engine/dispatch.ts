/** Which backend runs: the one of the engine that startEngine (tf.ts) chose. */
import type { Backend } from "./backend";
import { nativeBackend } from "./nativeBackend";
import { tf } from "./tf";
import { tfjsBackend } from "./tfjsBackend";
import { wasmBackend } from "./wasmBackend";

const backends: Record<string, Backend> = { tensorflow: nativeBackend, wasm: wasmBackend, cpu: tfjsBackend };

export const backend = (): Backend => backends[tf.getBackend()];
