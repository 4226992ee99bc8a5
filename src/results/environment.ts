/** What a result was made with, for its file. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Engine, engineLine, tf } from "../engine/tf";

export type Environment = { engine: string; versions: Record<string, string> };

/** The engine's line and the versions of the kit, Node and TensorFlow. */
export function environment(engine: Engine): Environment {
  const { version } = JSON.parse(readFileSync(join(process.cwd(), "package.json"), "utf8")) as { version: string };
  const versions: Record<string, string> = { kit: version, node: process.versions.node, tfjs: tf.version.tfjs };
  if (engine.kind === "native") versions.tensorflow = engine.version;
  return { engine: engineLine(engine), versions };
}
