/** The peer's own environment, bench/.venv: PyTorch and what it needs, about 5 GB. Throw it away with `rm -r bench/.venv`. */
import { existsSync, readFileSync, statfsSync } from "node:fs";
import { install, makeEnvironment } from "../bin/setup/python.mjs";
import { hash, locked, path, readJson, reporter, root, SetupError, writeWhole } from "../bin/setup/tools.mjs";

const folder = path("bench", ".venv");
const python = path("bench", ".venv", "bin", "python");
const requirements = path("bench", "requirements.txt");
const stamp = path("bench", ".venv", "made.json");
const gigabytes = 8;

/** Path of a Python that has PyTorch, or why there is none. */
export async function torchPython() {
  const key = hash(root, readFileSync(requirements));
  if (existsSync(python) && readJson(stamp)?.key === key) return { python };
  try {
    const { bavail, bsize } = statfsSync(root);
    if (bavail * bsize < gigabytes * 2 ** 30)
      throw new SetupError(`PyTorch needs ${gigabytes} GB of free disk for a moment`);
    const say = reporter("PyTorch, for comparison (--no-peer goes without):");
    await locked(async () => {
      await makeEnvironment(folder, say);
      await say.during("pip installs it, about 3 GB to fetch", install(python, requirements));
      writeWhole(stamp, JSON.stringify({ key }));
    });
    return { python };
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    return { missing: error.message };
  }
}
