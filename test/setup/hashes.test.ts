/** Every Python package that set-up, bench or pretraining installs has an exact version and the hashes of its files. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const wheels = join("bin", "setup", "wheels");
const lists = ["requirements.txt", "bench/requirements.txt", "pretrain/requirements.txt"].concat(
  readdirSync(wheels).map((name) => join(wheels, name)),
);

test.each(lists)("%s names exact versions with hashes", (list) => {
  const lines = readFileSync(list, "utf8")
    .replace(/^#.*\n/gm, "")
    .replaceAll("\\\n", " ")
    .trim()
    .split("\n");
  const wrong = lines.filter((line) => !/^[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}( |$)/.test(line));
  expect(wrong).toEqual([]);
});

test("the processor's and the CUDA list name the same TensorFlow", () => {
  const version = (build: string) =>
    /^tensorflow(?:-cpu)?==(\S+)/m.exec(readFileSync(join(wheels, `tensorflow-${build}.txt`), "utf8"))?.[1];
  expect(version("cuda")).toBe(version("cpu"));
});
