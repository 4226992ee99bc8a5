/**
 * Set-up step: draws the pictures of the embedded benchmark from the committed atlas, with `materialise()` of
 * src/datasets/embedded/materialise.ts.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { run } from "./programs.mjs";
import { hash, path, readJson, typescriptLoader, writeWhole } from "./tools.mjs";

const stamp = path(".setup", "data.json");
const program = path("src", "datasets", "embedded", "materialise.ts");

export const data = { name: "pictures", ready, make };

/** Hash of everything that determines the pictures: the atlas and the code that draws them. */
function sourceHash() {
  const folders = [path("data", "atlas"), path("src", "datasets", "embedded")].filter((folder) => existsSync(folder));
  const files = folders.flatMap((folder) =>
    readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => `${folder}/${entry.name}`),
  );
  return hash(...files.sort().map((file) => readFileSync(file)));
}

/**
 * Number of pictures in each dataset. It shows whether one was removed; `npm run promptsrc -- data` also finds those
 * that are damaged.
 */
function pictureCounts() {
  return Object.fromEntries(
    readdirSync(path("data"), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && existsSync(path("data", entry.name, "images")))
      .map(({ name }) => [name, readdirSync(path("data", name, "images"), { recursive: true }).length]),
  );
}

function ready() {
  if (!existsSync(program)) return true;
  const stored = readJson(stamp);
  return stored?.key === sourceHash() && JSON.stringify(stored.made) === JSON.stringify(pictureCounts());
}

async function make(say) {
  const draw = `import(${JSON.stringify(pathToFileURL(program).href)}).then((module) => (module.materialise ?? module.default.materialise)(() => {}, undefined, true))`;
  await say.during(
    "drawing the embedded benchmark's pictures",
    run(process.execPath, ["--import", typescriptLoader, "-e", draw]),
  );
  writeWhole(stamp, JSON.stringify({ key: sourceHash(), made: pictureCounts() }));
}
