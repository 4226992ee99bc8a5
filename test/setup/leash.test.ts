/** Programs of set-up end even where the process that guards them (bin/setup/leash.mjs) is killed. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";

const program = `
import { readFileSync } from "node:fs";
import { run } from ${JSON.stringify(pathToFileURL(join("bin", "setup", "programs.mjs")).href)};
const failure = run("sh", ["-c", "sleep 60 & echo $!; sleep 60"]).catch((error) => error.message);
setTimeout(() => {
  const leash = readFileSync(\`/proc/\${process.pid}/task/\${process.pid}/children\`, "utf8").trim();
  process.kill(Number(leash), "SIGKILL");
}, 1000);
console.log(await failure);
`;

test.skipIf(!existsSync("/proc"))("a killed guard is an error, and leaves nothing running", () => {
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
    timeout: 30_000,
  });
  expect(stdout).toContain("ended with SIGKILL");
  const sleep = Number(/^\d+$/m.exec(stdout)?.[0]);
  expect(() => process.kill(sleep, 0)).toThrow(/ESRCH/);
});
