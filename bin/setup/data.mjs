/** The embedded benchmark's pictures, drawn from the committed atlas by `materialise()` of src/datasets/embedded/materialise.ts. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { hash, path, readJson, run, typescriptLoader, writeWhole } from "./tools.mjs";

const stamp = path(".setup", "data.json");
const program = path("src", "datasets", "embedded", "materialise.ts");

export const data = { name: "pictures", ready, make };

/** Everything that determines the pictures: the atlas and the code that draws it. */
function wanted() {
  const folders = [path("data", "atlas"), path("src", "datasets", "embedded")].filter((folder) => existsSync(folder));
  const files = folders.flatMap((folder) =>
    readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => `${folder}/${entry.name}`),
  );
  return hash(...files.sort().map((file) => readFileSync(file)));
}

/** Class folders of each dataset, counted: a picture folder that was removed is drawn again. */
function made() {
  return Object.fromEntries(
    readdirSync(path("data"), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && existsSync(path("data", entry.name, "images")))
      .map((entry) => [entry.name, readdirSync(path("data", entry.name, "images")).length]),
  );
}

function ready() {
  if (!existsSync(program)) return true;
  const before = readJson(stamp);
  return before?.key === wanted() && JSON.stringify(before.made) === JSON.stringify(made());
}

async function make(say) {
  const draw = `import(${JSON.stringify(pathToFileURL(program).href)}).then((module) => (module.materialise ?? module.default.materialise)(() => {}))`;
  await say.during(
    "drawing the embedded benchmark's pictures",
    run(process.execPath, ["--import", typescriptLoader, "-e", draw]),
  );
  writeWhole(stamp, JSON.stringify({ key: wanted(), made: made() }));
}
