/**
 * The command line: `npm run promptsrc -- <command> ...`. Results go to standard output, progress to standard error.
 */
import { existsSync } from "node:fs";
import { materialise } from "../datasets/embedded/materialise";
import { terminalScreen } from "../experiments/progress";
import { addPictures } from "../notebook/pictures";
import { parity } from "../parity/replay";
import { resultsFolder, ship, shippedFolder } from "../results/store";
import { oneOf, UsageError } from "../util/errors";
import { check } from "./check";
import { convert, convertHelp } from "./convert";
import { evaluate, evaluateHelp } from "./evaluate";
import { exportFigures, exportHelp } from "./exportFigures";
import { listNames } from "./list";
import { fromHere } from "./options";
import { predictCommand, predictHelp } from "./predict";
import { reproduce, reproduceHelp } from "./reproduce";
import { runCommand, runHelp } from "./run";
import { listSettings } from "./settings";
import { train, trainHelp } from "./train";
import { endWithParent } from "./workers";

const help = `npm run promptsrc -- <command>

${runHelp}
${reproduceHelp}
${trainHelp}
${evaluateHelp}
${predictHelp}
${convertHelp}
${exportHelp}
  check <path>...     what a path is (model, prompts, data root, dataset, picture, result), and what it lacks
  fetch <name>...     download a model of Hugging Face into the user's cache, such as openai/clip-vit-base-patch16
  settings [method]   the settings that each method has: meaning, range, value in the paper
  parity <folder>     replay reference vectors through the code that trains
  data                draw the embedded benchmark's pictures (set-up does this)
  pictures <notebook> add still pictures of its figures to an executed notebook
  ship <folder>       add the runs of a results folder to those that the kit brings along (for maintainers)
  help                this text

PROMPTSRC_ENGINE=native|wasm|cpu forces an engine.`;

async function replay([folder, ...rest]: string[]): Promise<number> {
  if (folder === undefined || rest.length > 0) throw new UsageError("parity needs one folder of reference vectors");
  const path = fromHere(folder);
  if (!existsSync(path)) throw new UsageError(`there is no folder ${folder}`);
  const { failed } = await parity(path, console.log);
  return failed === 0 ? 0 : 1;
}

/** Fetches models by their names on Hugging Face. The library for it is loaded here alone. */
async function fetchCommand(names: string[]): Promise<number> {
  if (names.length === 0) throw new UsageError("fetch which model? Such as openai/clip-vit-base-patch16");
  const { fetchModel } = await import("../clip/fetchModel");
  const screen = terminalScreen();
  for (const name of names) {
    const folder = await fetchModel(name, (file, done, total) =>
      screen.update(`${name} \u00b7 ${file} \u00b7 ${(done / 1e6).toFixed(0)} of ${(total / 1e6).toFixed(0)} MB`),
    );
    screen.clear();
    console.log(`${name} is in ${folder}; use it with --model ${name}`);
  }
  return 0;
}

async function drawData(): Promise<number> {
  const screen = terminalScreen();
  await materialise((line) => screen.update(line));
  screen.clear();
  return 0;
}

async function stillPictures([notebook]: string[]): Promise<number> {
  if (notebook === undefined || !existsSync(fromHere(notebook)))
    throw new UsageError("pictures needs an executed notebook");
  console.log(`${await addPictures(fromHere(notebook))} figures drawn`);
  return 0;
}

const commands: Record<string, (args: string[]) => Promise<number>> = {
  run: (args) => runCommand(args),
  check,
  reproduce,
  list: listNames,
  settings: listSettings,
  train,
  evaluate,
  predict: predictCommand,
  convert,
  export: exportFigures,
  fetch: fetchCommand,
  parity: replay,
  data: drawData,
  pictures: stillPictures,
  async ship([folder = resultsFolder]) {
    console.log(`${ship(fromHere(folder))} runs are in ${shippedFolder}`);
    return 0;
  },
  async help() {
    console.log(help);
    return 0;
  },
};

async function main([command = "help", ...rest]: string[]): Promise<number> {
  if (command === "--help" || command === "-h" || rest.includes("--help")) return commands.help([]);
  return commands[oneOf("command", command, Object.keys(commands))](rest);
}

// A reader that has seen enough, such as `head`, is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

endWithParent();
main(process.argv.slice(2)).then(
  (status) => process.exit(status),
  (error: Error) => {
    console.error(process.env.PROMPTSRC_DEBUG ? error : `error: ${error.message}`);
    process.exit(error instanceof UsageError ? 2 : 1);
  },
);
