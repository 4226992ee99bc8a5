/**
 * A computation of many kernels as one operation, as tf.function does it in Python. On a GPU a step is bound by the
 * host, which takes 25 to 35 microseconds to start a kernel through the binding; TensorFlow starts those of a function
 * itself. Nothing is said twice: a function is recorded from the kernels that the computation runs.
 */
import { LRUCache } from "lru-cache";
import type { RawTensor, RawTensors } from "./backend";
import { functionDef, isKnown, type KernelCall, type Made, type Source } from "./functionDef";
import {
  type Attribute,
  type Execute,
  execute,
  idOf,
  nativeBackend,
  observeKernels,
  runOnBytes,
  typeOf,
} from "./nativeBackend";
import { tf } from "./tf";

/** A result of a function: one of those it computes, one of its arguments, or nothing. */
type Result = { output: number } | { argument: number } | undefined;

/** A kernel that a function runs, for the profiler. */
export type RanKernel = { name: string; attributes: Attribute[]; inputs: RawTensor[]; result: RawTensor };

type Definition = {
  name: string;
  /** Which of the different arrays among the arguments are the function's. */
  parameters: number[];
  results: Record<string, Result>;
  outputs: number;
  kernels: RanKernel[];
};

/**
 * From this call with arguments of the same shapes on a computation is a function. Defining one takes some 10 ms, which
 * is what some ten calls save; and shapes that are met in a single pass through the 12 blocks of an encoder, such as
 * those of the groups of many texts, do not come again.
 */
const worthwhile = 16;

/**
 * Computations by name and shapes of their arguments, in order of last use. A training needs about thirty functions;
 * the least recently used are removed, so that a process with many trainings does not collect them.
 */
const known = new LRUCache<string, { calls: number; definition?: Definition }>({
  max: 128,
  dispose: ({ definition }) => {
    if (definition) runOnBytes("PromptsrcRemoveFunction", Buffer.from(definition.name));
  },
});

/** The kernels that a function runs, by the function's name. */
export const kernelsOf = (name: string): RanKernel[] =>
  [...known.values()].find(({ definition }) => definition?.name === name)?.definition?.kernels ?? [];

let defined = 0;
let tracing = false;

/** Functions are used where kernels of our own do not do the work of many (nativeBackend.ts): on a GPU. */
const usesFunctions = () => tf.getBackend() === "tensorflow" && !nativeBackend.fused && !tracing;

/**
 * `f`, as one operation from its 16th call with arguments of the same shapes on.
 * @param f runs operations of the backend (backend.ts) alone, on arrays of its arguments alone, and depends on nothing
 *   else: write it where it can see nothing else. Arguments are records of arrays, numbers, strings and truth values.
 */
export const compiled =
  <A extends object, R extends RawTensors>(name: string, f: (args: A) => R): ((args: A) => R) =>
  (args) => {
    if (!usesFunctions()) return f(args);
    const arrays: RawTensor[] = [];
    const key = `${name} ${describe(args, arrays, new Map())}`;
    let computation = known.get(key);
    if (!computation) known.set(key, (computation = { calls: 0 }));
    computation.calls += 1;
    if (computation.definition) return call(computation.definition, arrays);
    if (computation.calls < worthwhile) return f(args);
    const { results, definition } = trace(name, f, args, arrays);
    computation.definition = definition;
    return results;
  };

const isArray = (value: object): value is RawTensor => Array.isArray((value as RawTensor).shape);

/**
 * All that the kernels depend on but the numbers in the arrays; an array that occurs twice is named twice. Collects the
 * different arrays.
 */
function describe(value: unknown, arrays: RawTensor[], numbers: Map<number, number>): string {
  if (typeof value !== "object" || value === null)
    return typeof value === "string" ? JSON.stringify(value) : `${value}`;
  if (!isArray(value)) {
    let text = "{";
    for (const name in value) {
      const part = value[name as keyof typeof value];
      if (part !== undefined) text += `${name}:${describe(part, arrays, numbers)},`;
    }
    return `${text}}`;
  }
  const id = idOf(value);
  const number = numbers.get(id);
  if (number !== undefined) return `#${number}`;
  numbers.set(id, arrays.length);
  arrays.push(value);
  return `${typeOf(value)}[${value.shape}]`;
}

function call({ name, parameters, results, outputs }: Definition, arrays: RawTensor[]): any {
  const made = execute(
    name,
    [],
    parameters.map((i) => arrays[i]),
    outputs,
  );
  return mapValues(results, (result) => result && ("output" in result ? made[result.output] : arrays[result.argument]));
}

/** Runs `f`, and defines a function of the kernels that it runs. @throws where `f` uses an array that is no argument */
function trace<A extends object, R extends RawTensors>(name: string, f: (args: A) => R, args: A, arrays: RawTensor[]) {
  const kernels: KernelCall[] = [];
  const ran: RanKernel[] = [];
  const sources = new Map<number, Source>();
  const used = new Set<number>();
  arrays.forEach((array, argument) => {
    sources.set(idOf(array), { argument, dtype: typeOf(array) });
  });
  const refuse = (what: string): never => {
    throw new Error(`${name} cannot be one operation: ${what}`);
  };
  const record =
    (execute: Execute): Execute =>
    (kernel, attributes, inputs, outputs) => {
      if (!isKnown(kernel)) refuse(`engine/functionDef.ts does not have the kernel ${kernel}`);
      const from = inputs.map((input): Source => {
        if ("values" in input) return input as unknown as Source;
        const source = sources.get(idOf(input));
        if (source && "argument" in source) used.add(source.argument);
        return source ?? refuse(`an input [${input.shape}] of ${kernel} is neither an argument nor made from one`);
      });
      const made = execute(kernel, attributes, inputs, outputs);
      sources.set(idOf(made[0]), { kernel: kernels.length, dtype: typeOf(made[0]) });
      kernels.push({ name: kernel, attributes, inputs: from });
      const shapes = inputs.map(({ shape }) => ({ shape }));
      ran.push({ name: kernel, attributes, inputs: shapes, result: { shape: made[0].shape } });
      return made;
    };
  let results = {} as R;
  tracing = true;
  try {
    observeKernels(record, () => {
      results = f(args);
    });
  } finally {
    tracing = false;
  }

  const parameters = [...used];
  const outputs: Made[] = [];
  const plan = mapValues(results, (result, key): Result => {
    if (!result) return undefined;
    const source = sources.get(idOf(result));
    if (!source || "values" in source) return refuse(`its result "${key}" is neither an argument nor made from one`);
    if ("argument" in source) return source;
    if (!outputs.includes(source)) outputs.push(source);
    return { output: outputs.indexOf(source) };
  });
  const definition = { name: `${name}_${defined++}`, parameters, results: plan, outputs: outputs.length, kernels: ran };
  const renumbered = kernels.map(({ inputs, ...kernel }) => ({
    ...kernel,
    inputs: inputs.map((input) =>
      "argument" in input ? { ...input, argument: parameters.indexOf(input.argument) } : input,
    ),
  }));
  const types = parameters.map((i) => typeOf(arrays[i]));
  runOnBytes("PromptsrcAddFunction", functionDef(definition.name, types, renumbered, outputs));
  return { results, definition };
}

const mapValues = <T, U>(record: Record<string, T>, f: (value: T, key: string) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value, key)]));
