/**
 * Starts the engine before each test file. `PROMPTSRC_ENGINE=wasm npx vitest run ...` runs tests on the WASM engine.
 */
import { startEngine } from "../src/engine/tf";

await startEngine();
