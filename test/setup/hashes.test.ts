/** Every Python package that set-up, bench or pretraining installs is pinned to an exact version and to file hashes. */
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
  const unpinned = lines.filter((line) => !/^[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}( |$)/.test(line));
  expect(unpinned).toEqual([]);
});

test("the wheel lists for CPU and for CUDA have the same TensorFlow version", () => {
  const version = (build: string) =>
    /^tensorflow(?:-cpu)?==(\S+)/m.exec(readFileSync(join(wheels, `tensorflow-${build}.txt`), "utf8"))?.[1];
  expect(version("cuda")).toBe(version("cpu"));
});
