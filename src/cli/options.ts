/** What the commands share: paths, options, lists and numbers as a person writes them, the model, and Ctrl-C. */
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { type ParseArgsConfig, parseArgs } from "node:util";
import { findModel } from "../clip/findModel";
import { loadClip } from "../clip/load";
import type { Clip } from "../clip/model";
import { type Engine, engineLine, startEngine } from "../engine/tf";
import { oneOf, UsageError } from "../util/errors";

/**
 * Paths that a person names are meant from where the command was given; `own`, if none was named, from the root of the
 * clone.
 */
export const fromHere = (path: string | undefined, own = ""): string =>
  path === undefined ? own : resolve(process.env.INIT_CWD || process.cwd(), path);

/** Parses arguments. @throws UsageError for an unknown option, with near names, or for one that lacks its value */
export function parseOptions<const O extends NonNullable<ParseArgsConfig["options"]>>(
  args: string[],
  options: O,
): ReturnType<typeof parseArgs<{ args: string[]; options: O; allowPositionals: true }>> {
  const known = Object.keys(options).map((name) => `--${name}`);
  for (const arg of args) if (arg.startsWith("--")) oneOf("option", arg.split("=")[0], known);
  // A number below zero is a value, and refused as one, not an option.
  const joined: string[] = [];
  for (const arg of args) {
    const before = joined[joined.length - 1];
    if (/^-\d/.test(arg) && /^--[^=]+$/.test(before ?? "")) joined[joined.length - 1] = `${before}=${arg}`;
    else joined.push(arg);
  }
  try {
    return parseArgs({ args: joined, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message.split("\n")[0]);
  }
}

/** The arguments without these options and their values, and without these flags. */
export const without = (args: string[], options: string[], flags: string[] = []): string[] =>
  args.filter((arg, k) => ![...options, ...flags].includes(arg.split("=")[0]) && !options.includes(args[k - 1] ?? ""));

/** The parts of a list with commas, each once. @throws UsageError naming the option where there are none */
export function list(option: string, text: string): string[] {
  const parts = [...new Set(text.split(",").map((part) => part.trim()))].filter((part) => part !== "");
  if (parts.length === 0) throw new UsageError(`--${option} "${text}": expected names or numbers with commas between`);
  return parts;
}

/** Whole numbers from 1. @throws UsageError naming the option */
export function wholeNumbers(option: string, text: string): number[] {
  const parts = list(option, text);
  const numbers = parts.map(Number);
  if (parts.some((part, k) => !/^\d+$/.test(part) || !Number.isSafeInteger(numbers[k]) || numbers[k] < 1))
    throw new UsageError(`--${option} ${text}: expected whole numbers from 1, such as 1,2,3`);
  return numbers;
}

/** One whole number from 1. @throws UsageError naming the option and its range */
export function wholeNumber(option: string, text: string, most = Number.MAX_SAFE_INTEGER): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 1 && number <= most) return number;
  const range = most < Number.MAX_SAFE_INTEGER ? `from 1 to ${most}` : "from 1";
  throw new UsageError(`--${option} ${text}: expected a whole number ${range}`);
}

/** `--processes`: at most four for each processor, each with a model of its own in memory. @throws UsageError */
export const processesOf = (text: string): number => wholeNumber("processes", text, 4 * availableParallelism());

/** Where the model of `--model` lies; the embedded one if none was named. */
export const modelPath = (name: string | undefined): string =>
  name === undefined ? join("weights", "mini-clip") : findModel(name, fromHere);

/** Starts the engine and loads a model, and says what both are. */
export async function startModel(path: string, print: (line: string) => void): Promise<{ engine: Engine; clip: Clip }> {
  const engine = await startEngine();
  print(engineLine(engine));
  const clip = await loadClip(path);
  for (const note of clip.notes) print(note);
  return { engine, clip };
}

/**
 * The first Ctrl-C, a closed terminal, a request to end (SIGTERM), or a batch system's notice that the time is over
 * (SIGUSR1) ends the work after the present step; the second ends the process. The reason's message is the signal's name.
 */
export function onInterrupt(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGHUP", "SIGTERM", "SIGUSR1"] as const)
    process.once(signal, () => controller.abort(new Error(signal)));
  return controller.signal;
}
