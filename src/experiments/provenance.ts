/** What a result was made with, for its file. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { backend } from "../engine/dispatch";
import { type Engine, engineLine, tf } from "../engine/tf";
import type { Provenance } from "../results/store";
import { numericsVersion } from "../util/numerics";

/** The kit's version and commit, the engine, the path of the arithmetic, and the numerics version. The engine has to run already. */
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

/** Nothing where there is no git, or the kit is no clone. */
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
