/** Which backend runs: the one of the engine that startEngine (tf.ts) chose. */
import type { Backend } from "./backend";
import { nativeBackend } from "./nativeBackend";
import { tf } from "./tf";
import { tfjsBackend } from "./tfjsBackend";

export const backend = (): Backend => (tf.getBackend() === "tensorflow" ? nativeBackend : tfjsBackend);
