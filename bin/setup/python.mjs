/**
 * Set-up steps: the Python environment of the clone in .venv, with JupyterLab and the Plotly renderer, and the Jupyter
 * kernel that runs the notebooks. The environment's pip also downloads the TensorFlow library (engine.mjs).
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { ask, run } from "./programs.mjs";
import { hash, path, readJson, root, SetupError, writeWhole } from "./tools.mjs";

export const python = path(".venv", "bin", "python");
const stamp = path(".venv", "made.json");

export const environment = { name: "notebooks", ready, make };

const requirementsHash = () => hash(root, readFileSync(path("requirements.txt")));

function ready() {
  return existsSync(python) && readJson(stamp)?.key === requirementsHash();
}

async function make(say) {
  await makeEnvironment(path(".venv"), say);
  await say.during("pip installs JupyterLab and the Plotly renderer", install(python, "requirements.txt"));
  // Without this setting, JupyterLab checks the network for news at every start.
  writeWhole(
    path(".venv", "etc", "jupyter", "labconfig", "page_config.json"),
    `${JSON.stringify({ disabledExtensions: { "@jupyterlab/apputils-extension:announcements": true } }, null, 2)}\n`,
  );
  writeWhole(stamp, JSON.stringify({ key: requirementsHash() }));
}

/** Creates a Python virtual environment in a folder, unless it contains a working one already. */
export async function makeEnvironment(folder, say) {
  const environmentPython = join(folder, "bin", "python");
  if (existsSync(environmentPython) && (await hasPip(environmentPython))) return;
  const base = await findPython();
  rmSync(folder, { recursive: true, force: true });
  await say.during(
    `Python ${base.version} (${base.program}) creates ${relative(root, folder)}`,
    createEnvironment(base.program, folder, environmentPython),
  );
}

/**
 * Installs a requirements file of exact versions and hashes with pip. Dependencies are not resolved, so the file must
 * list all of them.
 * @param more further options of pip
 */
export function install(python, requirements, ...more) {
  const quiet = [
    "--quiet",
    "--no-input",
    "--disable-pip-version-check",
    "--no-deps",
    "--no-compile",
    "--require-hashes",
  ];
  return run(python, ["-m", "pip", "install", ...quiet, ...more, "-r", requirements]);
}

/** The first Python 3.10 to 3.13 on the PATH, else the first newer one. */
async function findPython() {
  const found = [];
  for (const program of ["python3", "python3.13", "python3.12", "python3.11", "python3.10", "python"]) {
    const version = await ask(program, ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]);
    if (version) found.push({ program, version, minor: version.startsWith("3.") ? Number(version.slice(2)) : 0 });
  }
  const best = found.find(({ minor }) => minor >= 10 && minor <= 13) ?? found.find(({ minor }) => minor > 13);
  if (best) return best;
  const problem =
    found.length > 0
      ? `only Python ${found.map(({ version }) => version).join(", ")} is installed`
      : "no Python is installed";
  throw new SetupError(`Python 3.10 or newer is needed for JupyterLab and the native engine, but ${problem}. Install it, on Debian or Ubuntu:
  sudo apt-get install python3 python3-venv`);
}

/** Creates a virtual environment with `python -m venv`, or with other tools where Debian omits that module. */
async function createEnvironment(program, folder, python) {
  const attempts = [
    () => run(program, ["-m", "venv", folder]),
    () => run(program, ["-m", "virtualenv", "--quiet", folder]),
    () => run("virtualenv", ["--quiet", "--python", program, folder]),
    () => run("uv", ["venv", "--quiet", "--seed", "--python", program, folder]),
    // For Debian's python3 with pip but without ensurepip: pip installs itself into the new environment.
    async () => {
      await run(program, ["-m", "venv", "--without-pip", folder]);
      await run(program, ["-m", "pip", "--python", python, "install", "--quiet", "pip"]);
    },
  ];
  const reasons = [];
  for (const attempt of attempts) {
    try {
      await attempt();
      if (await hasPip(python)) return;
      reasons.push("the created environment has no pip");
    } catch (error) {
      reasons.push(error.message.split("\n").slice(0, 3).join(" "));
    }
    rmSync(folder, { recursive: true, force: true });
  }
  throw new SetupError(`${program} cannot create a virtual environment. Install its venv module, on Debian or Ubuntu:
  sudo apt-get install python3-venv
What was tried:\n  ${reasons.join("\n  ")}`);
}

const hasPip = async (program) => (await ask(program, ["-m", "pip", "--version"])) !== undefined;

/** The Jupyter kernel "promptsrc", registered inside .venv only. */
export const kernel = {
  name: "kernel",
  ready: () => existsSync(kernelFile) && readFileSync(kernelFile, "utf8") === kernelSpec(),
  make: async (say) => {
    writeWhole(kernelFile, kernelSpec());
    say("TypeScript kernel registered in .venv");
  },
};

const kernelFile = path(".venv", "share", "jupyter", "kernels", "promptsrc", "kernel.json");

const kernelSpec = () =>
  `${JSON.stringify(
    {
      argv: [process.execPath, path("bin", "kernel.cjs"), "{connection_file}"],
      display_name: "PromptSRC (TypeScript)",
      language: "typescript",
      interrupt_mode: "signal",
      env: { TF_CPP_MIN_LOG_LEVEL: "2", TF_FORCE_GPU_ALLOW_GROWTH: "true" },
    },
    null,
    2,
  )}\n`;
