/**
 * The compiled modules of src/ in a session (bin/library.cjs), in a small clone: types come from declarations, errors
 * point into the sources, and a changed module is taken when its import runs again.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { temporaryFolder } from "../temporary";

let clone: string;
beforeAll(() => {
  clone = temporaryFolder("library");
  mkdirSync(join(clone, "bin"));
  mkdirSync(join(clone, "src", "deep"), { recursive: true });
  for (const name of ["cells.cjs", "compiler.cjs", "library.cjs", "packageTypes.cjs"])
    copyFileSync(join("bin", name), join(clone, "bin", name));
  copyFileSync("package-lock.json", join(clone, "package-lock.json"));
  symlinkSync(join(process.cwd(), "node_modules"), join(clone, "node_modules"));
  writeFileSync(join(clone, "src", "kit.ts"), 'export { twice } from "./deep/twice";\n');
  writeFileSync(
    join(clone, "src", "deep", "twice.ts"),
    'import { factor } from "./factor";\n\nexport function twice(x: number): number {\n  if (x < 0) throw new RangeError("negative");\n  return factor * x;\n}\n',
  );
  writeFileSync(join(clone, "src", "deep", "factor.ts"), "export const factor = 2;\n");
});

/** Runs cells one after the other in a new session; `{ write: [file, text] }` changes a source between them. */
function session(cells: (string | { write: [string, string] })[]): unknown[] {
  const code = `
    const { writeFileSync } = require("node:fs");
    const { createSession, exitProcess } = require("./bin/cells.cjs");
    (async () => {
      const session = createSession();
      const answers = [];
      console.log = (...values) => answers.push(values.join(" "));
      console.error = () => {};
      for (const cell of ${JSON.stringify(cells)}) {
        if (typeof cell === "string") {
          const failure = await session.execute(cell);
          if (failure) answers.push(failure.traceback.join("\\n").replace(/\\u001b\\[\\d+m/g, ""));
        } else writeFileSync(...cell.write);
      }
      process.stdout.write(JSON.stringify(answers));
      exitProcess(0);
    })();`;
  const { stdout, stderr } = spawnSync(process.execPath, ["-e", code], { cwd: clone, encoding: "utf8" });
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout);
}

const importCell = 'import { twice } from "./src/kit";';

it("knows the types of the modules, and says where in a source an error was thrown", () => {
  const [value, wrong, thrown] = session([importCell, "twice(4)", 'twice("4")', "twice(-1)"]);
  expect(value).toBe("8");
  expect(wrong).toContain("Argument of type 'string' is not assignable to parameter of type 'number'");
  expect(thrown).toContain("RangeError: negative\n    at twice (src/deep/twice.ts:4:20)");
});

it("takes the new code of a module, and of those that import it, when the import runs again", () => {
  const write: [string, string] = ["src/deep/factor.ts", "export const factor = 3;\n"];
  expect(session([importCell, "twice(4)", { write }, "twice(4)", importCell, "twice(4)"])).toEqual(["8", "8", "12"]);
});

it("is built anew by a session that starts after a change, with the new types", () => {
  writeFileSync(join(clone, "src", "deep", "factor.ts"), 'export const factor = 5;\nexport const unit = "m";\n');
  writeFileSync(
    join(clone, "src", "kit.ts"),
    'export { twice } from "./deep/twice";\nexport { unit } from "./deep/factor";\n',
  );
  expect(session(['import { twice, unit } from "./src/kit";', "twice(4) + unit"])).toEqual(["20m"]);
});

it("is built anew where one of its files was damaged", () => {
  const compiled = join(clone, ".kernel", "src", "deep", "factor.js");
  const code = readFileSync(compiled, "utf8");
  writeFileSync(compiled, code.replace("factor = 5", "factor = 6"));
  expect(session([importCell, "twice(4)"])).toEqual(["20"]);
  expect(readFileSync(compiled, "utf8")).toBe(code);
});
