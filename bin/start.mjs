#!/usr/bin/env node
/**
 * npm start: set-up, then JupyterLab with the first notebook. Options are passed on to JupyterLab, for example
 * `npm start -- --no-browser --port 8931`. Jupyter's settings, history and sockets are stored in .jupyter of this
 * clone.
 */
import { spawn } from "node:child_process";
import { python } from "./setup/python.mjs";
import { path, root } from "./setup/tools.mjs";
import { launch, setup } from "./setup.mjs";

const firstNotebook = "notebooks/00-quickstart.ipynb";

await launch(async () => {
  await setup();
  const jupyterFolder = (name) => path(".jupyter", name);
  const options = [
    `--ServerApp.root_dir=${root}`,
    `--LabApp.default_url=/lab/tree/${firstNotebook}`,
    "--MultiKernelManager.default_kernel_name=promptsrc",
    ...(process.getuid?.() === 0 ? ["--allow-root"] : []),
  ];
  console.log(`JupyterLab opens ${firstNotebook}; press Ctrl-C twice to stop it`);
  const lab = spawn(python, ["-m", "jupyterlab", ...options, ...process.argv.slice(2)], {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      JUPYTER_CONFIG_DIR: jupyterFolder("config"),
      JUPYTER_DATA_DIR: jupyterFolder("data"),
      JUPYTER_RUNTIME_DIR: jupyterFolder("runtime"),
      JUPYTERLAB_SETTINGS_DIR: jupyterFolder("settings"),
      JUPYTERLAB_WORKSPACES_DIR: jupyterFolder("workspaces"),
      IPYTHONDIR: jupyterFolder("ipython"),
      JUPYTER_PLATFORM_DIRS: "0",
    },
  });
  process.on("SIGINT", () => {}); // the terminal sends SIGINT to JupyterLab too, which asks for confirmation
  process.on("SIGTERM", () => lab.kill("SIGTERM"));
  return new Promise((resolve) => {
    lab.on("exit", (code, signal) => resolve(signal ? 1 : code));
  });
});
