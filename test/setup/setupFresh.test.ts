/**
 * The set-up on a fresh clone: it is interrupted, continued by two processes at the same time, and repeated. The test
 * uses the caches of npm and pip, and takes about two minutes.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporaryFolder } from "../temporary";

const folder = realpathSync(temporaryFolder("fresh-clone"));
const clone = join(folder, "clone");
const home = join(folder, "home");
const running = new Set<ChildProcess>();

beforeAll(() => {
  // Copies the files that a commit of the working tree would contain.
  const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z"], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  for (const file of files.split("\0")) {
    if (!file || !existsSync(file)) continue;
    mkdirSync(dirname(join(clone, file)), { recursive: true });
    cpSync(file, join(clone, file));
  }
  mkdirSync(home);
});
afterAll(() => {
  for (const child of running) child.kill("SIGTERM");
});

/**
 * Environment variables of the set-up. HOME is an empty folder, so that the test can check that nothing is written
 * there; the caches and the settings of npm and pip are the user's.
 */
function environment(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, HOME: home };
  for (const name of Object.keys(env))
    if (/^(npm_|PROMPTSRC_|XDG_|VITEST|JUPYTER)/i.test(name) && name !== "npm_execpath") delete env[name];
  env.npm_config_cache = execFileSync("npm", ["config", "get", "cache"], { encoding: "utf8" }).trim();
  env.npm_config_userconfig = join(homedir(), ".npmrc");
  env.PIP_CACHE_DIR = execFileSync(join(".venv", "bin", "python"), ["-m", "pip", "cache", "dir"], {
    encoding: "utf8",
  }).trim();
  for (const file of [".config/pip/pip.conf", ".pip/pip.conf"])
    if (existsSync(join(homedir(), file))) env.PIP_CONFIG_FILE ??= join(homedir(), file);
  // The launchers of some version managers need the user's home: python3 may be pyenv's, and pip asks rustc for its
  // version.
  if (existsSync(join(homedir(), ".pyenv"))) env.PYENV_ROOT ??= join(homedir(), ".pyenv");
  env.RUSTUP_HOME ??= join(homedir(), ".rustup");
  return env;
}

type SetupResult = { status: number | null; output: string; seconds: number };

/** Runs the set-up in the clone. It gets a signal as soon as its output matches `until`. */
function setup(until?: RegExp, signal: NodeJS.Signals = "SIGTERM"): Promise<SetupResult> {
  const startTime = Date.now();
  const child = spawn(process.execPath, [join(clone, "bin", "setup.mjs")], {
    cwd: folder,
    env: environment(),
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  let output = "";
  const collect = (data: Buffer) => {
    output += data;
    if (!until?.test(output)) return;
    until = undefined;
    setTimeout(() => child.kill(signal), 1000);
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  return new Promise((resolve) => {
    child.on("close", (status) => {
      running.delete(child);
      resolve({ status, output, seconds: (Date.now() - startTime) / 1000 });
    });
  });
}

test("after kill -9, the repeated command installs the packages; interrupted, it prints a message and leaves no lock", async () => {
  const killed = await setup(/npm installs/, "SIGKILL");
  expect([killed.status, existsSync(join(clone, ".setup", "lock"))]).toEqual([null, true]);
  const { status, output } = await setup(/pip installs JupyterLab/);
  expect(output).toContain("npm installs");
  expect(output).toContain("goes on from here");
  expect(status).toBe(130);
  expect(existsSync(join(clone, ".setup", "lock"))).toBe(false);
}, 600_000);

test("of two concurrent set-ups, one waits; a stale lock is ignored, and finished steps are not repeated", async () => {
  writeFileSync(join(clone, ".setup", "lock"), JSON.stringify({ pid: 2 ** 22 + 1, host: hostname() }));
  const [first, second] = await Promise.all([setup(), setup()]);
  expect([first.status, second.status], first.output + second.output).toEqual([0, 0]);
  const allOutput = first.output + second.output;
  expect(allOutput).not.toContain("npm installs");
  expect(allOutput.match(/another set-up is at work here/g)).toHaveLength(1);
  expect(allOutput.match(/installs JupyterLab and the Plotly renderer: /g)?.length).toBeGreaterThan(0);
  console.log(`set-up of a fresh clone after its interrupt: ${Math.max(first.seconds, second.seconds).toFixed(0)} s`);
}, 900_000);

test("everything is installed inside the clone", () => {
  const kernel = JSON.parse(
    readFileSync(join(clone, ".venv", "share", "jupyter", "kernels", "promptsrc", "kernel.json"), "utf8"),
  );
  expect(kernel.argv).toEqual([process.execPath, join(clone, "bin", "kernel.cjs"), "{connection_file}"]);
  for (const extension of ["jupyterlab-plotly", "promptsrc-figures"])
    expect(existsSync(join(clone, ".venv", "share", "jupyter", "labextensions", extension))).toBe(true);
  expect(readdirSync(home)).toEqual([]);
});

test("the installed native engine runs; without it, the WASM engine runs and prints a message", () => {
  const loader = join(clone, "node_modules", "tsx", "dist", "loader.mjs");
  const program =
    'import("./src/engine/tf.ts").then((m) => (m.default ?? m).startEngine()).then((engine) => console.log(engine.kind))';
  const start = () =>
    spawnSync(process.execPath, ["--import", loader, "-e", program], {
      cwd: clone,
      encoding: "utf8",
      env: environment(),
    });
  expect(start().stdout.trim()).toBe("native");
  rmSync(join(clone, "node_modules", "@tensorflow", "tfjs-node-gpu", "lib"), { recursive: true });
  const fallback = start();
  expect(fallback.stdout.trim()).toBe("wasm");
  expect(fallback.stderr).toContain("The native engine is missing: wasm runs instead");
});

test("a part that was removed is created again", async () => {
  const { status, output } = await setup();
  expect(status).toBe(0);
  expect(output).toContain("native engine");
  expect(output).not.toMatch(/npm installs|pip /);
});

test("the second run takes under 3 seconds", async () => {
  const { status, output, seconds } = await setup();
  expect(status).toBe(0);
  expect(output).toMatch(/^everything is in place \([\d.]+ s\)\n$/);
  expect(seconds).toBeLessThan(3);
});

test("JupyterLab needs its token, names what has its port, and ends with a start that is killed", async () => {
  const port = 18_000 + (process.pid % 1000);
  const start = () => {
    const child = spawn(process.execPath, [join(clone, "bin", "start.mjs"), "--no-browser", `--port=${port}`], {
      env: environment(),
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(child);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (output += data));
    const until = async (wanted: RegExp) => {
      for (let k = 0; k < 300 && !wanted.test(output); k++) await new Promise((resolve) => setTimeout(resolve, 100));
      expect(output).toMatch(wanted);
    };
    return { child, until };
  };
  const statusOf = () =>
    fetch(`http://127.0.0.1:${port}/api/kernels`).then(
      ({ status }) => status,
      () => undefined,
    );
  const first = start();
  await first.until(/127\.0\.0\.1:\d+\/lab.*token=/);
  expect(await statusOf()).toBe(403);
  const second = start();
  await second.until(new RegExp(`port ${port} is taken by `));
  second.child.kill("SIGTERM");
  first.child.kill("SIGKILL");
  const untilNobodyAnswers = async () => {
    for (let k = 0; k < 150 && (await statusOf()) !== undefined; k++) await new Promise((r) => setTimeout(r, 100));
    expect(await statusOf()).toBeUndefined();
  };
  await untilNobodyAnswers();
  if (!existsSync("/proc")) return;
  const third = start(); // of this one, the process that guards JupyterLab is killed
  await third.until(/127\.0\.0\.1:\d+\/lab.*token=/);
  const children = readFileSync(`/proc/${third.child.pid}/task/${third.child.pid}/children`, "utf8").trim().split(" ");
  for (const pid of children) process.kill(Number(pid), "SIGKILL");
  await untilNobodyAnswers();
}, 180_000);
