/** The provenance of a result: what it was computed with, as its file records it. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { backend } from "../engine/dispatch";
import { type Engine, engineLine, tf } from "../engine/tf";
import type { Provenance } from "../results/store";
import { numericsVersion } from "../util/numerics";

/**
 * The kit's version and commit, the engine, whether the fused kernels do the arithmetic, and the numerics version.
 * The engine must already be running.
 */
export function provenance(engine: Engine): Provenance {
  const { version } = JSON.parse(readFileSync(join(process.cwd(), "package.json"), "utf8")) as { version: string };
  const versions: Record<string, string> = { node: process.versions.node, tfjs: tf.version.tfjs };
  if (engine.kind === "native") versions.tensorflow = engine.version;
  const [fusedKernels, numerics] = [backend().fused !== undefined, numericsVersion()];
  return {
    kit: version,
    ...commit(),
    engine: engineLine(engine),
    threads: engine.threads,
    fusedKernels,
    numerics,
    versions,
  };
}

/**
 * The current commit, and whether the sources have changed since. Empty if git is missing or the kit is not a clone.
 */
function commit(): Pick<Provenance, "commit" | "changed"> {
  const git = (...args: string[]) =>
    execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    return {
      commit: git("rev-parse", "--short=12", "HEAD"),
      changed: git("status", "--porcelain", "--", "src", "package-lock.json") !== "",
    };
  } catch {
    return {};
  }
}
