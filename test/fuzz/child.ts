/**
 * Reads damaged files, one after the other, and reports as lines of JSON on standard output: the input that is about
 * to be read, and what was found. It runs in a process of its own (fuzz.ts), which ends where a reader hangs or crashes.
 *
 *   child.ts <seed> <first input> <number of inputs> <seconds>
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { UsageError } from "../../src/util/errors";
import { seeded } from "../../src/util/random";
import { damaged } from "./mutate";
import { readers } from "./readers";

/** Bytes by which the heap and the libraries grow and shrink on their own. */
const noise = 48 * 2 ** 20;
/** Seconds of the processor that one input may take, whatever else the machine does. */
const longest = 2;

const folder = process.env.PROMPTSRC_FUZZ as string;
const [seed, first, count, seconds] = process.argv.slice(2).map(Number);
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** What is wrong with an error; undefined for one that is a clear message. */
export function complaint(error: unknown, path: string): string | undefined {
  const { constructor: kind, message, stack } = error as Error;
  const isOwn = kind === Error || kind === UsageError;
  if (!isOwn) return stack?.split("\n").slice(0, 3).join(" | ") ?? String(error);
  if ((error as NodeJS.ErrnoException).code !== undefined) return `error of the system: ${message}`;
  if (![basename(path), dirname(path)].some((place) => message.includes(place))) return `names no file: ${message}`;
  if (message.length > 1500) return `a message of ${message.length} characters: ${message.slice(0, 80)}`;
  return undefined;
}

async function main(): Promise<void> {
  const all = readers();
  const paths = all.map(({ file }, k) => join(folder, `${k}`, file));
  for (const [k, path] of paths.entries()) {
    mkdirSync(dirname(path), { recursive: true });
    all[k].prepare?.(join(folder, `${k}`));
  }
  const end = Date.now() + 1000 * seconds;
  let last = first;
  for (; last < first + count && Date.now() < end; last++) {
    const k = last % all.length;
    const { name, corpus, read, allowance = 0 } = all[k];
    const bytes = damaged(corpus, seeded("fuzz", seed, last));
    writeFileSync(paths[k], bytes);
    say({ input: last });
    const memory = process.resourceUsage().maxRSS * 1024;
    const start = process.cpuUsage();
    let problem: string | undefined;
    try {
      await read(paths[k]);
    } catch (error) {
      problem = complaint(error, paths[k]);
    }
    const { user, system } = process.cpuUsage(start);
    const taken = (user + system) / 1e6;
    const grown = process.resourceUsage().maxRSS * 1024 - memory;
    if (taken > longest) problem ??= `took ${taken.toFixed(1)} s`;
    if (grown > 4 * bytes.length + allowance + noise) problem ??= `took ${grown} bytes for a file of ${bytes.length}`;
    if (problem)
      say({ finding: { input: last, reader: name, problem, file: bytes.toString("base64").slice(0, 4000) } });
  }
  say({ done: last - first });
}

main().then(() => process.exit(0));
