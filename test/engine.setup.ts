/** Starts the engine before each test file; `PROMPTSRC_ENGINE=wasm npx vitest run ...` repeats a file on the fallback. */
import { startEngine } from "../src/engine/tf";

await startEngine();
