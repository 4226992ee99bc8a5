/**
 * The bench's Python environment bench/.venv: PyTorch and its dependencies, about 5 GB. `rm -r bench/.venv` deletes it.
 */
import { existsSync, readFileSync, statfsSync } from "node:fs";
import { locked } from "../bin/setup/lock.mjs";
import { install, makeEnvironment } from "../bin/setup/python.mjs";
import { hash, path, readJson, reporter, root, SetupError, writeWhole } from "../bin/setup/tools.mjs";

const folder = path("bench", ".venv");
const python = path("bench", ".venv", "bin", "python");
const requirements = path("bench", "requirements.txt");
const stamp = path("bench", ".venv", "made.json");
const gigabytes = 8;

/** @returns `python`, the path of a Python that has PyTorch, or `missing`, the reason why there is none */
export async function torchPython() {
  const key = hash(root, readFileSync(requirements));
  if (existsSync(python) && readJson(stamp)?.key === key) return { python };
  try {
    const { bavail, bsize } = statfsSync(root);
    if (bavail * bsize < gigabytes * 2 ** 30)
      throw new SetupError(`PyTorch needs ${gigabytes} GB of free disk space while it is being installed`);
    const say = reporter("PyTorch, for comparison (skip it with --no-peer):");
    await locked(async () => {
      await makeEnvironment(folder, say);
      await say.during("pip installs PyTorch (downloads about 3 GB)", install(python, requirements));
      writeWhole(stamp, JSON.stringify({ key }));
    });
    return { python };
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    return { missing: error.message };
  }
}
