/**
 * The command line: `npm run promptsrc -- <command> ...`. Results go to standard output, progress to standard error.
 */
import { existsSync } from "node:fs";
import { terminalScreen } from "../experiments/progress";
import { resultsFolder, ship, shippedFolder } from "../results/store";
import { oneOf, UsageError } from "../util/errors";
import { fromHere } from "./options";
import { endWithParent } from "./workers";

async function replay([folder, ...rest]: string[]): Promise<number> {
  if (folder === undefined || rest.length > 0) throw new UsageError("parity needs one folder of reference vectors");
  const path = fromHere(folder);
  if (!existsSync(path)) throw new UsageError(`there is no folder ${folder}`);
  const { parity } = await import("../parity/replay");
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
  const { materialise } = await import("../datasets/embedded/materialise");
  const screen = terminalScreen();
  const written = await materialise(
    (set, done, total) => screen.update(`${set} \u00b7 ${done} of ${total} pictures drawn`),
    undefined,
    true,
  );
  screen.clear();
  console.log(
    written.length === 0
      ? "every picture is there, as it was drawn"
      : `${written.length} files were missing or damaged, and are there again: ${written.slice(0, 3).join(", ")}${written.length > 3 ? ", ..." : ""}`,
  );
  return 0;
}

async function stillPictures([notebook]: string[]): Promise<number> {
  if (notebook === undefined || !existsSync(fromHere(notebook)))
    throw new UsageError("pictures needs an executed notebook");
  const { addPictures } = await import("../notebook/pictures");
  console.log(`${await addPictures(fromHere(notebook))} figures drawn`);
  return 0;
}

async function help(): Promise<number> {
  const texts = [
    (await import("./run")).runHelp,
    (await import("./reproduce")).reproduceHelp,
    (await import("./train")).trainHelp,
    (await import("./evaluate")).evaluateHelp,
    (await import("./predict")).predictHelp,
    (await import("./convert")).convertHelp,
    (await import("./exportFigures")).exportHelp,
  ];
  console.log(`npm run promptsrc -- <command>

${texts.join("\n")}
  check <path>...     what a path is (model, prompts, data root, dataset, picture, result), and what it lacks
  fetch <name>...     download a model of Hugging Face into the user's cache, such as openai/clip-vit-base-patch16
  settings [method]   the settings that each method has: meaning, range, value in the paper
  parity <folder>     replay reference vectors through the code that trains
  data                draw the embedded benchmark's pictures (set-up does this), and replace those that are damaged
  pictures <notebook> add still pictures of its figures to an executed notebook
  ship <folder>       add the runs of a results folder to those that the kit brings along (for maintainers)
  help                this text

PROMPTSRC_ENGINE=native|wasm|cpu forces an engine.`);
  return 0;
}

/** Each command loads its own modules: all together take two seconds. */
const commands: Record<string, (args: string[]) => Promise<number>> = {
  run: async (args) => (await import("./run")).runCommand(args),
  check: async (args) => (await import("./check")).check(args),
  reproduce: async (args) => (await import("./reproduce")).reproduce(args),
  list: async (args) => (await import("./list")).listNames(args),
  settings: async (args) => (await import("./settings")).listSettings(args),
  train: async (args) => (await import("./train")).train(args),
  evaluate: async (args) => (await import("./evaluate")).evaluate(args),
  predict: async (args) => (await import("./predict")).predictCommand(args),
  convert: async (args) => (await import("./convert")).convert(args),
  export: async (args) => (await import("./exportFigures")).exportFigures(args),
  fetch: fetchCommand,
  parity: replay,
  data: drawData,
  pictures: stillPictures,
  async ship([folder = resultsFolder]) {
    console.log(`${ship(fromHere(folder))} runs are in ${shippedFolder}`);
    return 0;
  },
  help,
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
