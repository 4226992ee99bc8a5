/** What a binding that was compiled for another platform must be. */
// @ts-expect-error: the package has no declarations
import { symbols } from "node-api-headers";

/** What readBinding.py says of a file. `imports`: the library of each imported function, null if the file has none. */
export type Binding = {
  format: string;
  processor: string;
  libraries: string[];
  runPaths: string[];
  signed?: boolean;
  exports: string[];
  imports: Record<string, string | null>;
};

export type Expected = Pick<Binding, "format" | "processor" | "libraries" | "runPaths"> & { exports: string[] };

/** The functions that Node itself has for bindings of its version 8 (node-api-headers). */
const nodeApi = new Set<string>([...symbols.v8.js_native_api_symbols, ...symbols.v8.node_api_symbols]);

/** @returns how many imports come from each library; those that Node has to provide are under "Node" */
export function origins({ imports }: Binding): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [name, library] of Object.entries(imports)) {
    const origin = library?.replace(/^GLIBC.*/, "the C library") ?? (nodeApi.has(name) ? "Node" : "nowhere");
    counts.set(origin, (counts.get(origin) ?? 0) + 1);
  }
  return counts;
}

/** @returns what keeps a binding from being loaded by Node on its platform, as far as the file tells; else nothing */
export function faults(binding: Binding, expected: Expected): string[] {
  const lacks = (what: string, found: string[], wanted: string[]) =>
    wanted
      .filter((name) => !found.includes(name))
      .map((name) => `no ${what} ${name}; there is ${found.join(", ") || "none"}`);
  const homeless = Object.entries(binding.imports).filter(([name, library]) => !library && !nodeApi.has(name));
  return [
    ...(["format", "processor"] as const)
      .filter((key) => binding[key] !== expected[key])
      .map((key) => `the ${key} is ${binding[key]}, wanted is ${expected[key]}`),
    ...lacks("library", binding.libraries, expected.libraries),
    ...lacks("run path", binding.runPaths, expected.runPaths),
    ...lacks("export", binding.exports, expected.exports),
    ...homeless.map(([name]) => `no library has ${name}`),
    ...(binding.signed === false ? ["there is no code signature, without which macOS on arm64 loads nothing"] : []),
  ];
}
