/** Set-up step: compiles src/ for the notebooks' kernel (bin/library.cjs). */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { run } from "./programs.mjs";
import { path } from "./tools.mjs";

const { isCurrent } = createRequire(import.meta.url)(path("bin", "library.cjs"));

export const library = { name: "library", ready: () => !existsSync(path("src")) || isCurrent(), make };

async function make(say) {
  await say.during("compiling src/ for the notebooks", run(process.execPath, [path("bin", "library.cjs")]));
}
