/**
 * The backend of the engine "wasm": TensorFlow.js's operations, and the kit's own kernels (wasmKernels.ts) for the
 * parts of a block.
 */
import {
  type AttentionGradients,
  type Backend,
  type FusedAttentionInputs,
  type FusedKernels,
  linearArguments,
  type RawTensor,
} from "./backend";
import { type Tensor, tf } from "./tf";
import { tfjsBackend } from "./tfjsBackend";
import { call, checkStack, size } from "./wasmKernels";

/** Runs a kernel; its results are tensors that the enclosing tidy frees. */
const run = (inputs: (RawTensor | undefined)[], ...rest: Rest): Tensor[] =>
  call(inputs as any, ...rest).map((info) => (tf.engine() as any).makeTensorFromTensorInfo(info));
type Rest = [Parameters<typeof call>[1], Parameters<typeof call>[2]];

/** The most rows that a thread takes at once (src/engine/wasm/threads.cc). */
const rowsAtOnce = 256;

const rowsAndWidth = ({ shape }: RawTensor): [number, number] => {
  const width = shape[shape.length - 1];
  return [size(shape) / width, width];
};

const fused: FusedKernels = {
  layerNorm: (x, epsilon, offset) =>
    run([x], [x.shape], (kernels, [from], [to]) => {
      kernels.layerNorm(...rowsAndWidth(x), from, epsilon, offset, to);
    })[0],
  layerNormBackward: (dy, x, epsilon, residual) =>
    run([dy, x, residual], [x.shape], (kernels, [dout, from, more], [to]) => {
      kernels.layerNormBackward(...rowsAndWidth(x), dout, from, epsilon, more, to);
    })[0],
  silu: (a) => run([a], [a.shape], (kernels, [from], [to]) => kernels.silu(size(a.shape), from, to))[0],
  siluBackward: (a, dy) =>
    run([a, dy], [a.shape], (kernels, [from, dout], [to]) => kernels.siluBackward(size(a.shape), from, dout, to))[0],
  residualBias: (x, z, bias) =>
    run([x, z, bias], [x.shape], (kernels, addresses, [to]) => {
      kernels.residualBias(...rowsAndWidth(x), ...addresses, to);
    })[0],
  linear(x, weight, { begin, count }, options) {
    const { kind, input, residual, bias, epsilon } = linearArguments(options);
    const [transpose, normed] = [options.transpose === true, options.layerNorm !== undefined];
    const [R, n] = x.shape;
    const [rows, stride] = weight.shape;
    const m = transpose ? rows : count;
    checkStack("a linear map", rowsAtOnce * (n + m));
    return run([x, weight, input, residual, bias], [[R, m]], (kernels, [from, w, ...others], [to]) => {
      kernels.linear(R, n, m, stride, from, w + 4 * begin, transpose, normed, kind, ...others, epsilon, to);
    })[0];
  },
  mlp({ up, down, bias, epsilon }, x, keepHidden) {
    const [R, D] = x.shape;
    const M = up.shape[1];
    checkStack("the MLP", rowsAtOnce * (D + M));
    const outputs = keepHidden
      ? [
          [R, D],
          [R, M],
        ]
      : [[R, D]];
    const [y, hidden] = run([x, up, down, bias], outputs, (kernels, addresses, [to, kept = 0]) => {
      kernels.mlp(R, D, M, ...addresses, epsilon, kept, to);
    });
    return { y, hidden };
  },
  mlpBackward: ({ up, down, epsilon }, x, hidden, dy) =>
    run([x, up, down, hidden, dy], [x.shape], (kernels, [from, u, d, h, dout], [to]) => {
      kernels.mlpBackward(...rowsAndWidth(x), up.shape[1], from, u, d, epsilon, h, dout, to);
    })[0],
  attention: (inputs) => attention(inputs, [attendedShape(inputs)])[0],
  attentionBackward(inputs, frozenInput, dy): AttentionGradients {
    const { tokens, queries, promptKV, sequences: G, promptSets } = inputs;
    const P = (promptKV?.shape[0] ?? 0) / promptSets;
    const wanted = { tokens: frozenInput ? undefined : tokens, queries: frozenInput ? undefined : queries, promptKV };
    const shapes = { tokens: tokens.shape, queries: queries?.shape, promptKV: [G * P, promptKV?.shape[1] ?? 0] };
    const names = (Object.keys(wanted) as (keyof typeof wanted)[]).filter((name) => wanted[name]);
    const results = attention(
      inputs,
      names.map((name) => shapes[name] as number[]),
      { dy, names },
    );
    const gradients: AttentionGradients = Object.fromEntries(names.map((name, i) => [name, results[i]]));
    if (!gradients.promptKV || promptSets === G) return gradients;
    const { reshape, sum } = tfjsBackend;
    const perSet = reshape(gradients.promptKV, [promptSets, G / promptSets, size(shapes.promptKV) / G]);
    return { ...gradients, promptKV: reshape(sum(perSet, 1), (promptKV as RawTensor).shape) };
  },
};

const attendedShape = ({ tokens, queries }: FusedAttentionInputs) =>
  queries ? queries.shape : [tokens.shape[0], tokens.shape[1] / 3];

/** The forward pass, or, with dy, the gradients of what `names` lists; that of promptKV for each sequence. */
function attention(
  inputs: FusedAttentionInputs,
  outputs: number[][],
  backward?: { dy: RawTensor; names: (keyof AttentionGradients)[] },
): Tensor[] {
  const { tokens, queries, promptKV, prefixKV, mask, rowSplits, heads, sequences, promptSets } = inputs;
  const [rows, tokenWidth] = tokens.shape;
  const width = tokenWidth / (queries ? 2 : 3);
  const [prefix, prompts] = [prefixKV?.shape[0] ?? 0, (promptKV?.shape[0] ?? 0) / promptSets];
  const keys = mask?.shape[mask.shape.length - 1] ?? 0;
  const [perSequence, perQuery] = mask?.shape.length === 3 ? [keys, 0] : [0, keys];
  const K = keys || prefix + prompts + rows / sequences;
  checkStack("attention", K * (3 * (width / heads) + 2 * K));
  const arrays = [tokens, queries, promptKV, prefixKV, mask, rowSplits, backward?.dy];
  return run(arrays, outputs, (kernels, [x, q, prompt, before, hidden, splits, dy], to) => {
    const address = (name: keyof AttentionGradients) => to[backward?.names.indexOf(name) ?? -1] ?? 0;
    kernels.attention(
      ...[width, heads, sequences, promptSets, rows, splits, x, tokenWidth, q, before, prefix, prompt, prompts],
      ...[hidden, perSequence, perQuery, backward ? 0 : to[0], dy],
      ...[address("tokens"), address("queries"), address("promptKV")],
    );
  });
}

export const wasmBackend: Backend = { ...tfjsBackend, fused };
