/** Runs in the emulation: the parity check of a folder, and whether the kit's own kernels take part. */
import { backend } from "../../src/engine/dispatch";
import { parity } from "../../src/parity/replay";

const { failed } = await parity(process.argv[2], console.log);
const hasKernels = backend().fused !== undefined;
console.log(`the kit's own kernels: ${hasKernels ? "used" : "not registered"}`);
process.exitCode = failed === 0 && hasKernels ? 0 : 1;
