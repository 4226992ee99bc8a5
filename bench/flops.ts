/**
 * Computes what a method costs from shapes alone: the number of trainable parameters, and the floating-point operations
 * (FLOPs) of the matrix products. A multiply-add counts as 2; element-wise operations are small and not counted. Two
 * ways of computing the same numbers are counted:
 * - `exact` omits every product that reaches no result (src/clip/fast/text.ts and image.ts list them). The code does
 *   exactly these products plus, for classes of unequal length, some padding.
 * - `official` is how muzairkhattak/PromptSRC runs: 77 tokens for every class, every token through every block, and a
 *   second image pass for the frozen features.
 * The frozen weights get no gradient in either.
 *
 * Shapes: B images, C classes, N image tokens (CLS + patches), S suffix tokens of a class, P prompt tokens, D width, E
 * size of the joint embedding.
 */
import type { ClipConfig } from "../src/clip/config";

/** The shapes of one training step. A tower with depth 0 or without prompt tokens is plain CLIP. */
export type FlopsSetting = {
  /** Images per step. */
  batch: number;
  /** Number of suffix tokens of each class: class name, full stop and end token. */
  suffixes: number[];
  tokens: { text: number; image: number };
  depth: { text: number; image: number };
  /** Whether the step also needs the frozen model's features of the same images, as PromptSRC does. */
  frozenImage: boolean;
};

/** FLOPs of one training step, by part. */
export type StepCost = {
  imageFrozen: number;
  imageForward: number;
  imageBackward: number;
  textForward: number;
  textBackward: number;
  logits: number;
};

type TowerShape = ClipConfig["text" | "image"];
/** FLOPs of a forward and a backward pass. */
type Pass = { forward: number; backward: number };

export const totalCost = (cost: StepCost): number => Object.values(cost).reduce((a, b) => a + b, 0);

const add = (...passes: Pass[]): Pass =>
  passes.reduce((a, b) => ({ forward: a.forward + b.forward, backward: a.backward + b.backward }), {
    forward: 0,
    backward: 0,
  });
const times = ({ forward, backward }: Pass, n: number): Pass => ({ forward: n * forward, backward: n * backward });
/** A frozen linear map of `rows` vectors: the backward pass computes the gradient of the input only. */
const linearFlops = (rows: number, into: number, out: number): Pass => ({
  forward: 2 * rows * into * out,
  backward: 2 * rows * into * out,
});
const image = ({ image }: ClipConfig) => ({
  patches: Math.floor(image.size / image.patch) ** 2,
  patch: 3 * image.patch ** 2,
});
/** Number of blocks that have their own set of prompt tokens. */
const promptedDepths = ({ layers }: TowerShape, depth: number, tokens: number) =>
  tokens === 0 ? 0 : Math.min(depth, layers);

/** Number of parameters that PromptSRC and IVLP train: one set of prompt tokens per prompted block of each tower. */
export const trainableParameters = (
  { text, image }: ClipConfig,
  { tokens, depth }: Pick<FlopsSetting, "tokens" | "depth">,
): number =>
  promptedDepths(text, depth.text, tokens.text) * tokens.text * text.width +
  promptedDepths(image, depth.image, tokens.image) * tokens.image * image.width;

/**
 * One block for one sequence of `rows` tokens. `queries` of them attend to `keys` keys. For `cached` of the rows, the
 * query, key and value projections are already computed. `fixed` means that the rows do not depend on any trained
 * parameter, so that only the `prompts` keys (and values) of prompt tokens get a gradient.
 */
function blockFlops(
  { width: D, hidden }: TowerShape,
  {
    queries,
    rows,
    keys,
    cached = 0,
    fixed = false,
    prompts = 0,
  }: Record<"queries" | "rows" | "keys", number> & BlockOptions,
): Pass {
  const computed = rows - cached;
  const projections = add(linearFlops(Math.min(queries, computed), D, D), linearFlops(computed, D, 2 * D));
  const outputs = add(linearFlops(queries, D, D), linearFlops(queries, D, hidden), linearFlops(queries, hidden, D));
  const product = 2 * queries * keys * D; // the scores, or the attention weights times the values
  const promptGradients = 4 * queries * prompts * D; // gradients of the prompt tokens' keys and values
  // The backward pass computes the gradient of the attention weights, then those of the queries, keys and values.
  const attention = { forward: 2 * product, backward: product + (fixed ? promptGradients : 3 * product) };
  return add(fixed ? { ...projections, backward: 0 } : projections, outputs, attention);
}
type BlockOptions = { cached?: number; fixed?: boolean; prompts?: number };

/** Keys and values of prompt tokens that are no queries; they are computed once for all sequences. */
const keysOf = (prompts: number, { width }: TowerShape): Pass => linearFlops(prompts, width, 2 * width);

/** FLOPs of one training step with the exact savings. */
export function exactStepCost(config: ClipConfig, setting: FlopsSetting): StepCost {
  const { batch: B, frozenImage } = setting;
  const front = exactImageFront(config, B);
  const prompted = exactImage(config, B, setting.tokens.image, setting.depth.image);
  // Without image prompts, the prompted pass is the frozen one.
  const sharesPass = frozenImage && promptedDepths(config.image, setting.depth.image, setting.tokens.image) === 0;
  const frozen = frozenImage ? exactImage(config, B, 0, 0).forward : 0;
  const text = exactText(config, setting.suffixes, setting.tokens.text, setting.depth.text);
  return {
    imageFrozen: frozen + (frozenImage ? front : 0),
    imageForward: sharesPass ? 0 : prompted.forward + (frozenImage ? 0 : front),
    imageBackward: prompted.backward,
    textForward: text.forward,
    textBackward: text.backward,
    logits: logits(config, setting),
  };
}

/** FLOPs of the same step as the official code runs it. */
export function officialStepCost(
  config: ClipConfig,
  { batch: B, suffixes, tokens, depth, frozenImage }: FlopsSetting,
): StepCost {
  const { patches, patch } = image(config);
  const allBlocks = (tower: TowerShape, rows: number) =>
    times(blockFlops(tower, { queries: rows, rows, keys: rows }), tower.layers);
  const embedding = 2 * B * patches * patch * config.image.width;
  const projection = (rows: number, { width }: TowerShape) => linearFlops(rows, width, config.embed);
  const prompts = promptedDepths(config.image, depth.image, tokens.image) ? tokens.image : 0;
  const prompted = add(times(allBlocks(config.image, 1 + patches + prompts), B), projection(B, config.image));
  const frozen = add(times(allBlocks(config.image, 1 + patches), B), projection(B, config.image));
  const C = suffixes.length;
  const text = add(times(allBlocks(config.text, config.text.context), C), projection(C, config.text));
  return {
    imageFrozen: frozenImage ? frozen.forward + embedding : 0,
    imageForward: prompted.forward + embedding,
    imageBackward: prompts ? prompted.backward : 0,
    textForward: text.forward,
    textBackward: promptedDepths(config.text, depth.text, tokens.text) ? text.backward : 0,
    logits: logits(config, { batch: B, suffixes, tokens, depth, frozenImage }),
  };
}

/**
 * FLOPs of evaluation: per picture, and for all class features. The official code computes the class features again for
 * every batch of pictures.
 */
export type TestCost = { picture: number; classes: number };
type TestSetting = Pick<FlopsSetting, "suffixes" | "tokens" | "depth">;

export const exactTestCost = (config: ClipConfig, { suffixes, tokens, depth }: TestSetting): TestCost => ({
  picture: exactImageFront(config, 1) + exactImage(config, 1, tokens.image, depth.image).forward,
  classes: exactText(config, suffixes, tokens.text, depth.text, 0).forward,
});

export function officialTestCost(config: ClipConfig, setting: TestSetting): TestCost {
  const { imageForward: picture, textForward: classes } = officialStepCost(config, {
    ...setting,
    batch: 1,
    frozenImage: false,
  });
  return { picture, classes };
}

/** Logits of the prompted features, with gradients of both factors, and (for `frozenImage`) of the frozen features. */
const logits = ({ embed }: ClipConfig, { batch, suffixes, frozenImage }: FlopsSetting) =>
  2 * batch * suffixes.length * embed * (frozenImage ? 4 : 3);

/** Patch embedding, and block 0's projections of the image tokens. The frozen and the prompted pass share both. */
function exactImageFront(config: ClipConfig, B: number): number {
  const { patches, patch } = image(config);
  const D = config.image.width;
  return B * (2 * patches * patch * D + linearFlops(1 + patches, D, 3 * D).forward);
}

/** All blocks for B images. The prompt tokens of the last set are processed like image tokens. */
function exactImage(config: ClipConfig, B: number, tokens: number, depth: number): Pass {
  const tower = config.image;
  const N = 1 + image(config).patches;
  const sets = promptedDepths(tower, depth, tokens);
  const passes = Array.from({ length: tower.layers }, (_, i) => {
    const last = i === tower.layers - 1;
    const keysOnly = i < sets && (i < sets - 1 || last); // prompt tokens of which only keys and values are needed
    const processed = sets > 0 && !keysOnly ? tokens : 0;
    const queries = last ? 1 : N + processed;
    const cached = i === 0 ? N : 0;
    const fixed = sets === 0 || (i === 0 && processed === 0);
    const keys = N + (sets > 0 ? tokens : 0);
    const blocks = times(
      blockFlops(tower, { queries, rows: N + processed, keys, cached, fixed, prompts: keysOnly ? tokens : 0 }),
      B,
    );
    return keysOnly ? add(blocks, keysOf(tokens, tower)) : blocks;
  });
  const all = add(...passes, linearFlops(B, tower.width, config.embed));
  return sets > 0 ? all : { forward: all.forward, backward: 0 };
}

/**
 * All blocks for the suffixes, which follow the start token and the context tokens.
 * @param cached 1 if block 0's projections of the suffixes are cached between steps, else 0
 */
function exactText(config: ClipConfig, suffixes: number[], tokens: number, depth: number, cached = 1): Pass {
  const tower = config.text;
  const sets = promptedDepths(tower, depth, tokens);
  const prefix = 1 + (sets > 0 ? tokens : 0);
  const counts = new Map<number, number>();
  for (const S of suffixes) counts.set(S, (counts.get(S) ?? 0) + 1);
  const passes = Array.from({ length: tower.layers }, (_, i) => {
    const last = i === tower.layers - 1;
    const fixed = i === 0 || sets === 0;
    const prompts = sets > 0 ? tokens : 0;
    const classes = [...counts].map(([S, C]) =>
      times(
        blockFlops(tower, {
          queries: last ? 1 : S,
          rows: S,
          keys: prefix + S,
          cached: i === 0 ? cached * S : 0,
          fixed,
          prompts,
        }),
        C,
      ),
    );
    const context = sets > 0 ? [keysOf(tokens, tower)] : [];
    const runsContext = sets > 0 && i >= sets - 1 && !last; // the last set's tokens are processed once for all classes
    if (runsContext) context.push(blockFlops(tower, { queries: tokens, rows: tokens, keys: 1 + tokens }));
    return add(...classes, ...context);
  });
  const all = add(...passes, linearFlops(suffixes.length, tower.width, config.embed));
  return sets > 0 ? all : { forward: all.forward, backward: 0 };
}
