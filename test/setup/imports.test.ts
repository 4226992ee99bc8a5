/** The scripts of bin/, bench/ and pretrain/, which no compiler checks: what they import of each other is there. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";

const scripts = ["bin", "bin/setup", "bench", "pretrain"].flatMap((folder) =>
  readdirSync(folder)
    .filter((name) => /\.mjs$/.test(name))
    .map((name) => join(folder, name)),
);

const namesIn = (list: string): string[] => list.split(",").flatMap((name) => name.trim().split(" ")[0] || []);

test("every name that a script imports of another is exported there", () => {
  const missing = scripts.flatMap((file) =>
    [...readFileSync(file, "utf8").matchAll(/^import \{([^}]+)\} from "(\.[^"]+\.mjs)"/gm)].flatMap(
      ([, list, from]) => {
        const source = readFileSync(join(dirname(file), from), "utf8");
        const isExported = (name: string) =>
          new RegExp(`^export (async )?(function\\*?|const|let|class) ${name}\\b`, "m").test(source);
        return namesIn(list)
          .filter((name) => !isExported(name))
          .map((name) => `${file}: ${name} of ${from}`);
      },
    ),
  );
  expect(missing).toEqual([]);
});
