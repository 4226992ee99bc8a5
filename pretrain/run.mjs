/**
 * `npm run pretrain`: recreates the mini-CLIP of weights/mini-clip and the drawings of data/atlas, from locked
 * packages, with fixed seeds and a fixed number of steps. Options are passed on to train.py (`-- --steps 100` for a
 * trial).
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { path, root, SetupError } from "../bin/setup/tools.mjs";
import { launch, setup } from "../bin/setup.mjs";

const folder = path("pretrain");
const python = path("pretrain", ".venv", "bin", "python");

const step = (title, program, args) =>
  new Promise((resolve, reject) => {
    console.log(`pretrain: ${title}`);
    spawn(program, args, { cwd: root, stdio: "inherit" })
      .on("error", (error) =>
        reject(new SetupError(`${program}, needed for ${title}, cannot be started: ${error.message}`)),
      )
      .on("exit", (code) =>
        code === 0
          ? resolve()
          : reject(new SetupError(`${title}: failed with exit status ${code}; see the message above`)),
      );
  });

await launch(async () => {
  await setup();
  await step("the drawings (npm packages @iconify-json/*)", "npm", ["ci", "--ignore-scripts", "--prefix", folder]);
  if (!existsSync(python))
    await step("a Python environment", path(".venv", "bin", "python"), ["-m", "venv", path("pretrain", ".venv")]);
  const pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"];
  await step("PyTorch and tokenizers", python, [...pip, "-r", path("pretrain", "requirements.txt")]);
  await step("the atlas of the benchmark's drawings", process.execPath, ["--import", "tsx", "pretrain/atlas.mts"]);
  await step("the training", python, ["pretrain/train.py", "weights/mini-clip", ...process.argv.slice(2)]);
});
