/** What the fuzzer found, each input with the error that it gives now. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { readOpenClipConfig } from "../../src/clip/config";
import { loadDataset } from "../../src/datasets/split";
import { openTensors } from "../../src/io/openTensors";
import { readJson } from "../../src/io/readJson";
import { storedOutputs } from "../../src/notebook/storedOutputs";
import { temporaryFolder } from "../temporary";
import { zipOf } from "../zipOf";

const folder = temporaryFolder("findings");

test.each([
  ["open.json", "[".repeat(100_000), readJson, /open\.json: not valid JSON .* the file ends/],
  ["deep.json", `${"[".repeat(100_000)}${"]".repeat(100_000)}`, readJson, /deep\.json: .*nest/],
  ["table/photos.csv", "path,label\na\0b.png,cat\n", loadDataset, /photos\.csv/],
  [
    "set/split_renders.json",
    JSON.stringify({ train: [[`${"x".repeat(5000)}.png`, 0, "cat"]], val: [], test: [] }),
    (file: string) => loadDataset(dirname(file), "renders"),
    /split_renders\.json|set/,
  ],
  ["cells.ipynb", JSON.stringify({ cells: [{ outputs: [null] }] }), storedOutputs, /cells\.ipynb is no notebook/],
  [
    "open_clip/open_clip_config.json",
    JSON.stringify({ model_cfg: { embed_dim: 32, vision_cfg: { layers: 2 ** 31 }, text_cfg: {} } }),
    readOpenClipConfig,
    /open_clip_config\.json: vision_cfg\.layers is 2147483648, expected a whole number from 1 to 1000/,
  ],
  [
    "long.pt",
    zipOf({ name: `\u0007/../${"x".repeat(10_000)}`, content: Buffer.from("a") }),
    openTensors,
    /long\.pt .*"\ufffd\/\.\.\/x{70,80}\.\.\./,
  ],
  ["none.ipynb", "null", storedOutputs, /none\.ipynb is no notebook/],
])("%s is refused by name", (name, content: string | Buffer, read: (file: string) => unknown, message) => {
  const file = join(folder, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  let refusal: unknown;
  try {
    read(file);
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toBeInstanceOf(Error);
  expect(refusal).not.toBeInstanceOf(TypeError);
  expect(refusal).not.toBeInstanceOf(RangeError);
  expect((refusal as Error).message).toMatch(message);
  expect((refusal as Error).message).not.toMatch(/ENAMETOOLONG|ERR_INVALID/);
});
