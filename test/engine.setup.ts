/**
 * Starts the engine before each test file, and removes its temporary folders after it. `PROMPTSRC_ENGINE=wasm npx vitest
 * run ...` runs tests on the WASM engine.
 */
import { afterAll } from "vitest";
import { startEngine } from "../src/engine/tf";
import { removeTemporaryFolders } from "./temporary";

await startEngine();
afterAll(removeTemporaryFolders);
