/** The set-up on a fresh clone: interrupted, taken up again by two at once, and repeated. Uses npm's and pip's caches; takes about two minutes. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir, hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "fresh-clone-")));
const clone = join(folder, "clone");
const home = join(folder, "home");
const running = new Set<ChildProcess>();

beforeAll(() => {
  // What a commit of the working tree would hold.
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
  rmSync(folder, { recursive: true, force: true });
});

/** An empty home shows what is written there; only the caches and the clients' own settings are the user's. */
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
  // Version managers whose launchers look into the home: python3 may be pyenv's, and pip asks rustc for its version.
  if (existsSync(join(homedir(), ".pyenv"))) env.PYENV_ROOT ??= join(homedir(), ".pyenv");
  env.RUSTUP_HOME ??= join(homedir(), ".rustup");
  return env;
}

type Ended = { status: number | null; output: string; seconds: number };

/** Runs the set-up in the clone; `until` interrupts it as soon as its output matches. */
function setup(until?: RegExp): Promise<Ended> {
  const since = Date.now();
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
    child.kill("SIGTERM");
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  return new Promise((resolve) => {
    child.on("close", (status) => {
      running.delete(child);
      resolve({ status, output, seconds: (Date.now() - since) / 1000 });
    });
  });
}

test("an interrupted set-up says so and leaves no lock", async () => {
  const { status, output } = await setup(/pip installs JupyterLab/);
  expect(output).toContain("npm installs");
  expect(output).toContain("goes on from here");
  expect(status).toBe(130);
  expect(existsSync(join(clone, ".setup", "lock"))).toBe(false);
}, 600_000);

test("it goes on from there, past a dead one's lock, one at a time", async () => {
  writeFileSync(join(clone, ".setup", "lock"), JSON.stringify({ pid: 2 ** 22 + 1, host: hostname() }));
  const [first, second] = await Promise.all([setup(), setup()]);
  expect([first.status, second.status], first.output + second.output).toEqual([0, 0]);
  const all = first.output + second.output;
  expect(all).not.toContain("npm installs");
  expect(all.match(/another set-up is at work here/g)).toHaveLength(1);
  expect(all.match(/installs JupyterLab and the Plotly renderer: /g)?.length).toBeGreaterThan(0);
  console.log(
    `set-up of a fresh clone, without its interrupted beginning: ${Math.max(first.seconds, second.seconds).toFixed(0)} s`,
  );
}, 900_000);

test("everything lies inside the clone", () => {
  const kernel = JSON.parse(
    readFileSync(join(clone, ".venv", "share", "jupyter", "kernels", "promptsrc", "kernel.json"), "utf8"),
  );
  expect(kernel.argv).toEqual([process.execPath, join(clone, "bin", "kernel.cjs"), "{connection_file}"]);
  expect(existsSync(join(clone, ".venv", "share", "jupyter", "labextensions", "jupyterlab-plotly"))).toBe(true);
  expect(readdirSync(home)).toEqual([]);
});

test("the engine that was set up there runs there; without it WASM does, and says so", () => {
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

test("a part that was removed is made again", async () => {
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
