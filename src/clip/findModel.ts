/**
 * Where a model is: a path, or the name of a model on Hugging Face, which is looked for in the user's cache (as
 * huggingface_hub lays it out: models--<org>--<name>/snapshots/<commit>) and in `weights/`.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../util/errors";

/** The cache of huggingface_hub, as its environment variables place it. */
export const huggingFaceCache = (env: NodeJS.ProcessEnv = process.env): string =>
  env.HF_HUB_CACHE || join(env.HF_HOME || join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface"), "hub");

const isName = (text: string) => /^[\w.-]+\/[\w.-]+$/.test(text);

/**
 * The path of a model.
 * @param path resolves a path that a user wrote
 * @throws UsageError where there is neither such a path nor such a model on this machine, with the command that fetches
 *   it
 */
export function findModel(name: string, path: (text: string) => string = (text) => text): string {
  const direct = path(name);
  if (existsSync(direct)) return direct;
  if (!isName(name))
    throw new UsageError(
      `there is no model ${direct}, and ${name} is no name of a model such as openai/clip-vit-base-patch16`,
    );
  const [org, model] = name.split("/");
  const cached = cachedSnapshot(join(huggingFaceCache(), `models--${org}--${model}`));
  const places = [cached, join("weights", name), join("weights", model), join("weights", `${org}--${model}`)];
  const found = places.find((place) => place !== undefined && existsSync(place));
  if (found) return found;
  throw new UsageError(
    `the model ${name} is neither in ${huggingFaceCache()} nor in weights/; where there is a network, fetch it by: ` +
      `npm run promptsrc -- fetch ${name} (or, with Python's huggingface_hub: hf download ${name}; ` +
      `in older versions: huggingface-cli download ${name})`,
  );
}

/** The snapshot that `refs/main` names, else the only one there is. */
function cachedSnapshot(folder: string): string | undefined {
  const snapshots = join(folder, "snapshots");
  if (!existsSync(snapshots)) return undefined;
  const ref = join(folder, "refs", "main");
  const names = readdirSync(snapshots);
  const chosen = existsSync(ref) ? readFileSync(ref, "utf8").trim() : names.length === 1 ? names[0] : undefined;
  return chosen !== undefined && names.includes(chosen) ? join(snapshots, chosen) : undefined;
}
