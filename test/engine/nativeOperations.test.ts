/**
 * The native operations refuse what does not fit: every shape, length and number that they are given is checked before
 * memory is read, and the error names the operation and the shapes. `npm run sanitize` runs this file with the
 * operations compiled under AddressSanitizer, which would also find a read beyond an array in those calls that fit.
 */
import { describe, expect, test } from "vitest";
import type { FusedAttentionInputs, FusedKernels, RawTensor } from "../../src/engine/backend";
import { backend } from "../../src/engine/dispatch";
import { tf } from "../../src/engine/tf";

const array = (...shape: number[]): RawTensor => tf.randomNormal(shape, 0, 1, "float32", 1);
const ints = (...values: number[]): RawTensor => tf.tensor1d(values, "int32");
const fused = () => backend().fused as FusedKernels;

/** The values of what an operation gives; all other arrays are freed. */
const values = (operation: () => RawTensor | Record<string, RawTensor | undefined>): number[] =>
  tf.tidy(() => {
    const results = backend().runRaw(() => {
      const result = operation();
      const isArray = Array.isArray((result as RawTensor).shape);
      const named = isArray ? { result: result as RawTensor } : (result as Record<string, RawTensor>);
      return Object.fromEntries(Object.entries(named).filter(([, value]) => value));
    });
    return Object.values(results).flatMap((result) => [...result.dataSync()]);
  });

/** Inputs by name, as functions, so that a case replaces one and every call makes its own arrays. */
type Inputs = Record<string, unknown>;
type Operation = { name: string; inputs: Inputs; run(inputs: any): any; wrong: Record<string, unknown[]> };

/** Sequences of 2 and 3 tokens with 2 prompts of their own, a prefix of 1, and a mask; width 4, 2 heads. */
const attention = {
  tokens: () => array(5, 12),
  promptKV: () => array(4, 8),
  prefixKV: () => array(1, 8),
  mask: () => array(3, 6),
  rowSplits: () => ints(0, 2, 5),
  heads: 2,
  sequences: 2,
  promptSets: 2,
};
/** The same sequences, of which one token of each is asked for. */
const oneQuery = { ...attention, tokens: () => array(5, 8), queries: () => array(2, 4), mask: () => array(2, 1, 6) };

const wrongAttention = {
  tokens: [() => array(5, 11), () => array(4, 12), () => array(0, 12), () => array(60)],
  promptKV: [() => array(3, 8), () => array(4, 7), () => array(32), () => array(0, 7)],
  prefixKV: [() => array(1, 7), () => array(8)],
  mask: [() => array(3, 5), () => array(2, 6), () => array(3, 0), () => array(18), () => array(2, 1, 6)],
  rowSplits: [
    () => ints(0, 5),
    () => ints(0, 2, 4),
    () => ints(1, 2, 5),
    () => ints(0, 6, 5),
    () => ints(0, -1, 5),
    () => ints(0, 0, 5),
    () => array(3),
    undefined,
  ],
  heads: [0, -1, 3, 2 ** 30],
  sequences: [0, -2, 1, 3, 2 ** 31 - 1],
  promptSets: [0, -1, 3],
};

const residualBias = { kind: "residualBias", residual: () => array(3, 4), bias: () => array(4) };
const backward = { kind: "layerNormBackward", input: () => array(3, 4), residual: () => array(3, 4), epsilon: 1e-5 };
const mlp = { x: () => array(3, 4), up: () => array(4, 8), down: () => array(8, 4), bias: () => array(4) };
const wrongMlp = {
  x: [() => array(3, 5), () => array(12), () => array(3, 0)],
  up: [() => array(5, 8), () => array(4, 7), () => array(32)],
  down: [() => array(8, 5), () => array(4, 8), () => array(32)],
  bias: [() => array(5), () => array(1, 4), () => array(0)],
};

const operations: Operation[] = [
  {
    name: "LayerNorm",
    inputs: { x: () => array(3, 4) },
    run: ({ x }) => fused().layerNorm(x, 1e-5, 1),
    wrong: { x: [() => array(3, 0), () => tf.scalar(1), () => ints(1, 2)] },
  },
  {
    name: "LayerNormBackward",
    inputs: { dy: () => array(3, 4), x: () => array(3, 4), residual: () => array(3, 4) },
    run: ({ dy, x, residual }) => fused().layerNormBackward(dy, x, 1e-5, residual),
    wrong: {
      dy: [() => array(2, 4), () => array(4, 3), () => array(12)],
      x: [() => array(3, 0), () => array(4, 4)],
      residual: [() => array(2, 4), () => array(1, 4), () => array(0, 4)],
    },
  },
  {
    name: "SiluBackward",
    inputs: { a: () => array(600), dy: () => array(600) },
    run: ({ a, dy }) => fused().siluBackward(a, dy),
    wrong: { a: [() => array(599), () => ints(1)], dy: [() => array(601), () => array(2, 300)] },
  },
  {
    name: "ResidualBias",
    inputs: { x: () => array(3, 4), z: () => array(3, 4), bias: () => array(4) },
    run: ({ x, z, bias }) => fused().residualBias(x, z, bias),
    wrong: {
      x: [() => array(3, 0), () => array(2, 4), () => tf.scalar(1)],
      z: [() => array(4), () => array(4, 3)],
      bias: [() => array(3), () => array(0), () => array(5)],
    },
  },
  ...[undefined, residualBias, backward].map((epilogue) => ({
    name: "Linear",
    inputs: { x: () => array(3, 5), weight: () => array(5, 9), begin: 2, count: 4, ...epilogue },
    run: ({ x, weight, begin, count, ...own }: any) =>
      fused().linear(x, weight, { begin, count }, { layerNorm: { epsilon: 1e-5 }, epilogue: epilogue && own }),
    wrong: {
      x: [() => array(3, 4), () => array(3, 0), () => array(15), ...(epilogue ? [() => array(2, 5)] : [])],
      weight: [() => array(4, 9), () => array(5, 5), () => array(45)],
      begin: [-1, 6, 2 ** 31 - 2],
      count: [-1, 8, 2 ** 31 - 1, ...(epilogue ? [3] : [])],
      ...(epilogue && { residual: [() => array(3, 3), () => array(2, 4), () => array(12)] }),
      ...(epilogue === residualBias && { bias: [() => array(3), () => array(0)] }),
      ...(epilogue === backward && { input: [() => array(3, 3), () => array(2, 4), () => array(0)] }),
    },
  })),
  {
    name: "Linear",
    inputs: { x: () => array(3, 4), weight: () => array(5, 9), begin: 2, count: 4 },
    run: ({ x, weight, begin, count }) => fused().linear(x, weight, { begin, count }, { transpose: true }),
    wrong: { x: [() => array(3, 5)], begin: [-1, 6, 2 ** 31 - 2], count: [-1, 3, 8] },
  },
  {
    name: "Mlp",
    inputs: mlp,
    run: ({ x, ...weights }) => fused().mlp({ ...weights, epsilon: 1e-5 }, x, true),
    wrong: wrongMlp,
  },
  {
    name: "MlpBackward",
    inputs: { ...mlp, hidden: () => array(3, 8), dy: () => array(3, 4) },
    run: ({ x, hidden, dy, ...weights }) => fused().mlpBackward({ ...weights, epsilon: 1e-5 }, x, hidden, dy),
    wrong: {
      ...wrongMlp,
      x: [...wrongMlp.x, () => array(2, 4)],
      hidden: [() => array(2, 8), () => array(3, 7), () => array(24)],
      dy: [() => array(4, 4), () => array(3, 3), () => tf.scalar(1)],
    },
  },
  {
    name: "Attention",
    inputs: attention,
    run: (inputs: FusedAttentionInputs) => fused().attention(inputs),
    wrong: wrongAttention,
  },
  {
    name: "Attention",
    inputs: oneQuery,
    run: (inputs: FusedAttentionInputs) => fused().attention(inputs),
    wrong: {
      tokens: [() => array(5, 7), () => array(0, 8)],
      queries: [() => array(1, 4), () => array(2, 3), () => array(8), undefined],
      mask: [() => array(2, 1, 5), () => array(1, 1, 6), () => array(2, 2, 6), () => array(0, 6)],
    },
  },
  ...[attention, oneQuery].map((inputs) => ({
    name: "AttentionBackward",
    inputs: { ...inputs, dy: () => ("queries" in inputs ? array(2, 4) : array(5, 4)) },
    run: ({ dy, ...all }: any) => fused().attentionBackward(all, false, dy),
    wrong: { dy: [() => array(4, 4), () => array(5, 3), () => array(20), () => array(0)], heads: [0, 3] },
  })),
];

const made = (inputs: Inputs) =>
  Object.fromEntries(
    Object.entries(inputs).map(([name, value]) => [name, typeof value === "function" ? value() : value]),
  );

// Without the native engine's fused kernels (another engine, a GPU) there is nothing to test.
describe.skipIf(!backend().fused)("native operations", () => {
  test.each(operations)("$name takes what fits and refuses all else", ({ name, inputs, run, wrong }) => {
    const before = tf.memory().numTensors;
    expect(values(() => run(made(inputs))).every(Number.isFinite)).toBe(true);
    for (const [key, cases] of Object.entries(wrong)) {
      for (const value of cases) {
        const attempt = () => values(() => run(made({ ...inputs, [key]: value })));
        const which = `${key} = ${typeof value === "function" ? `[${tf.tidy(() => value().shape)}]` : value}`;
        expect(attempt, `${name}: ${which}`).toThrow(new RegExp(`^Promptsrc${name} of \\[`));
      }
    }
    expect(tf.memory().numTensors).toBe(before);
  });
});
