/** Every Python package that set-up, bench or pretraining installs is pinned to an exact version and to file hashes. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const wheels = join("bin", "setup", "wheels");
const lists = ["requirements.txt", "bench/requirements.txt", "pretrain/requirements.txt", "test/cross/lief.txt"].concat(
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

test("the wheel lists of all builds have the same TensorFlow version", () => {
  const versions = readdirSync(wheels).flatMap(
    (name) => /^tensorflow(?:-cpu)?==(\S+)/m.exec(readFileSync(join(wheels, name), "utf8"))?.slice(1) ?? [],
  );
  expect(versions).toHaveLength(3);
  expect(new Set(versions).size).toBe(1);
});
