/**
 * Gives damaged files to every reader of files that come from elsewhere (readers.ts). Each must be read, or refused by
 * an error of the kit that names the file: no hang, no crash, no error from inside, no more memory than four times the
 * file.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

export type Finding = { input: number; reader: string; problem: string; file?: string };
export type FuzzResult = { inputs: number; seconds: number; findings: Finding[] };

/** Milliseconds without a new input after which a reader hangs. */
const hangs = 20_000;

/**
 * Reads inputs 0, 1, ... of a seed until `count` of them are read or the time is over. A process that hangs or crashes is
 * a finding, and another one goes on behind that input.
 */
export async function fuzz(seed: number, count: number, seconds: number): Promise<FuzzResult> {
  const start = Date.now();
  const findings: Finding[] = [];
  let next = 0;
  for (;;) {
    const left = seconds - (Date.now() - start) / 1000;
    if (next >= count || left <= 0) break;
    const folder = mkdtempSync(join(tmpdir(), "promptsrc-fuzz-"));
    try {
      const { input, ended, reason } = await inChild(folder, [seed, next, count - next, left], (finding) =>
        findings.push(finding),
      );
      next = input + 1;
      if (ended) break;
      findings.push({ input, reader: "?", problem: reason });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return { inputs: next, seconds: (Date.now() - start) / 1000, findings };
}

function inChild(
  folder: string,
  args: number[],
  found: (finding: Finding) => void,
): Promise<{ input: number; ended: boolean; reason: string }> {
  const loader = pathToFileURL("node_modules/tsx/dist/loader.mjs").href;
  const child = spawn(process.execPath, ["--import", loader, "test/fuzz/child.ts", ...args.map(String)], {
    env: { ...process.env, PROMPTSRC_FUZZ: folder },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let input = args[1] - 1;
  let ended = false;
  let rest = "";
  let errors = "";
  let timer = setTimeout(() => child.kill("SIGKILL"), hangs);
  child.stderr.on("data", (data) => {
    errors = (errors + data).slice(-2000);
  });
  child.stdout.on("data", (data) => {
    clearTimeout(timer);
    timer = setTimeout(() => child.kill("SIGKILL"), hangs);
    const lines = (rest + data).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const message = JSON.parse(line);
      if (message.input !== undefined) input = message.input;
      if (message.finding) found(message.finding);
      if (message.done !== undefined) ended = true;
    }
  });
  return new Promise((resolve) =>
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      const reason =
        signal === "SIGKILL" ? "hangs, or was killed for its memory" : `crashed (${code ?? signal}): ${errors}`;
      resolve({ input, ended, reason });
    }),
  );
}

/** `npm run fuzz -- --seconds 600 --seed 2`. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { seconds: { type: "string", default: "60" }, seed: { type: "string", default: "1" } },
  });
  const result = await fuzz(Number(values.seed), Number.POSITIVE_INFINITY, Number(values.seconds));
  for (const { input, reader, problem, file } of result.findings)
    console.log(JSON.stringify({ input, reader, problem, file }));
  console.log(`${result.inputs} inputs in ${result.seconds.toFixed(0)} s, ${result.findings.length} findings`);
  process.exitCode = result.findings.length > 0 ? 1 : 0;
}

if (process.argv[1]?.endsWith("fuzz.ts")) main();
