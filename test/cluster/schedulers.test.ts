/** The examples of docs/scale.md for other schedulers: GNU parallel is run, of the Kubernetes Job every index is. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { parse } from "yaml";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";

const folder = temporaryFolder("schedulers");
const programs = join(folder, "bin");
beforeAll(() => mkdirSync(programs));

const docs = readFileSync("docs/scale.md", "utf8");
const example = (language: string): string =>
  new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "ms").exec(docs.slice(docs.indexOf("## Other schedulers")))?.[1] ??
  "";

/** In place of npm, which would set up first: what follows `npm run promptsrc --` is given to `program`. */
const npm = (program: string) =>
  writeFileSync(
    join(programs, "npm"),
    `#!/bin/sh\n[ "$1 $2 $3" = "run promptsrc --" ] || exit 9\nshift 3\nexec ${program} "$@"\n`,
    { mode: 0o755 },
  );

function shell(command: string, env: Record<string, string> = {}) {
  const PATH = `${programs}:${process.env.PATH}`;
  const { status, stdout, stderr } = spawnSync("sh", ["-c", command], {
    encoding: "utf8",
    env: { ...process.env, PATH, PROMPTSRC_THREADS: "1", ...env },
  });
  return { status, out: stdout, err: stderr };
}

/** The accuracies and losses in a results folder, by file. */
const numbers = (results: string) =>
  Object.fromEntries(
    readdirSync(results, { recursive: true, encoding: "utf8" })
      .filter((name) => /^[^.].*\.json$/.test(name))
      .map((name) => {
        const { metrics, epochs } = JSON.parse(readFileSync(join(results, name), "utf8"));
        return [name, { metrics, epochs }];
      }),
  );

const noParallel = spawnSync("parallel", ["--version"]).error !== undefined;

it.skipIf(noParallel)(
  "GNU parallel computes the parts of a grid, with the numbers of one process",
  async () => {
    await drawShapes(join(folder, "data", "shapes"));
    npm(`'${process.execPath}' --import tsx src/cli/main.ts`);
    const grid = `run base-to-novel --model test/golden --data ${join(folder, "data")} --methods coop,ivlp --set epochs=2 --shots 1`;
    const command = example("sh")
      .replace("-S node1,node2,node3,node4", "")
      .replace("--workdir /shared/promptsrc", `--workdir ${process.cwd()}`)
      .replace("parallel.log", join(folder, "parallel.log"))
      .replace("run base-to-novel --seeds 1,2,3", grid)
      .replaceAll("64", "2")
      .replace("/shared/results", join(folder, "parts"));
    const { status, out, err } = shell(command);
    expect([status, out], err).toEqual([0, expect.stringMatching(/part 1 of 2: [\s\S]*part 2 of 2: /)]);
    expect(shell(`npm run promptsrc -- ${grid} --results ${join(folder, "whole")}`).status).toBe(0);
    expect(Object.keys(numbers(join(folder, "whole")))).toHaveLength(2);
    expect(numbers(join(folder, "parts"))).toEqual(numbers(join(folder, "whole")));
  },
  120_000,
);

it("the Kubernetes Job gives each of its indices, counted from 0, a part of its own, counted from 1", () => {
  npm("echo");
  const { apiVersion, kind, spec } = parse(example("yaml"));
  expect([apiVersion, kind, spec.completionMode]).toEqual(["batch/v1", "Job", "Indexed"]);
  const pod = spec.template.spec;
  expect(pod.restartPolicy).toBe("Never"); // as backoffLimitPerIndex and podFailurePolicy demand
  const [{ command, args, volumeMounts }] = pod.containers;
  expect(volumeMounts.map(({ name }: { name: string }) => name)).toEqual(
    pod.volumes.map(({ name }: { name: string }) => name),
  );
  expect(command).toEqual(["sh", "-c"]);
  const parts = Array.from(
    { length: spec.completions },
    (_, index) => shell(args.join(" "), { JOB_COMPLETION_INDEX: `${index}` }).out.match(/ --shard (\S+) /)?.[1],
  );
  expect(parts).toEqual(Array.from({ length: 64 }, (_, k) => `${k + 1}/64`));
});
