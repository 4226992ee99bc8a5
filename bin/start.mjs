#!/usr/bin/env node
import { isTaken, listenerOn } from "./setup/port.mjs";
import { foreground } from "./setup/programs.mjs";
/**
 * npm start: set-up, then JupyterLab with the first notebook. Options are passed on to JupyterLab, for example
 * `npm start -- --no-browser --port 8931`. Jupyter's settings, history and sockets are stored in .jupyter of this
 * clone.
 */
import { python } from "./setup/python.mjs";
import { path, root } from "./setup/tools.mjs";
import { launch, setup } from "./setup.mjs";

const firstNotebook = "notebooks/00-quickstart.ipynb";

/** JupyterLab would take the next free port without a word. */
async function sayIfTaken(args) {
  const given = /^--(?:ServerApp\.)?port[= ](\d+)/m.exec(args.join("\n").replaceAll("port\n", "port "));
  const port = Number(given?.[1] ?? 8888);
  if (await isTaken(port))
    console.log(`port ${port} is taken by ${listenerOn(port)}\nJupyterLab takes another, see below`);
}

await launch(async () => {
  await setup();
  const args = process.argv.slice(2);
  const jupyterFolder = (name) => path(".jupyter", name);
  const isRoot = process.getuid?.() === 0;
  if (isRoot)
    console.log("this is the user root: JupyterLab gets --allow-root, without which it would refuse to start");
  const options = [
    `--ServerApp.root_dir=${root}`,
    `--LabApp.default_url=/lab/tree/${firstNotebook}`,
    "--MultiKernelManager.default_kernel_name=promptsrc",
    "--ServerApp.ip=localhost", // whatever a configuration of the machine says; an option of the user's own comes later
    ...(isRoot ? ["--allow-root"] : []),
  ];
  await sayIfTaken(args);
  console.log(`JupyterLab opens ${firstNotebook}; press Ctrl-C twice to stop it`);
  return foreground(python, ["-m", "jupyterlab", ...options, ...args], {
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
});
