/**
 * What a method costs, as a function of shapes alone: trainable parameters, and the floating-point operations of the matrix products
 * (2 per multiply-add; the element-wise rest is small). Two ways of computing the same numbers are counted: `exact`, which leaves out
 * what reaches no result (src/clip/fast/text.ts and image.ts say what; the code does these products and, for classes of unequal length, some
 * padding), and `official`, as muzairkhattak/PromptSRC runs: 77 tokens for every class, every token through every block, a second
 * image pass for the frozen features. The frozen weights get no gradient in either.
 *
 * Shapes: B images, C classes, N image tokens (CLS + patches), S suffix tokens of a class, P prompt tokens, D width, E joint embedding.
 */
import type { ClipConfig } from "../src/clip/config";

/** What prompts are learnt for. A tower with depth 0 or no tokens is plain. */
export type FlopsSetting = {
  /** Images of a step. */
  batch: number;
  /** Suffix tokens of each class: its name, full stop and end token. */
  suffixes: number[];
  tokens: { text: number; image: number };
  depth: { text: number; image: number };
  /** PromptSRC also needs the frozen model's features of the same images. */
  frozenImage: boolean;
};

/** Operations of one training step by part. */
export type StepCost = {
  imageFrozen: number;
  imageForward: number;
  imageBackward: number;
  textForward: number;
  textBackward: number;
  logits: number;
};

type TowerShape = ClipConfig["text" | "image"];
/** Forward and backward operations. */
type Pass = { forward: number; backward: number };

export const totalCost = (cost: StepCost): number => Object.values(cost).reduce((a, b) => a + b, 0);

const add = (...passes: Pass[]): Pass =>
  passes.reduce((a, b) => ({ forward: a.forward + b.forward, backward: a.backward + b.backward }), {
    forward: 0,
    backward: 0,
  });
const times = ({ forward, backward }: Pass, n: number): Pass => ({ forward: n * forward, backward: n * backward });
/** A frozen linear map of some rows: backwards only the input's gradient. */
const linear = (rows: number, into: number, out: number): Pass => ({
  forward: 2 * rows * into * out,
  backward: 2 * rows * into * out,
});
const image = ({ image }: ClipConfig) => ({
  patches: Math.floor(image.size / image.patch) ** 2,
  patch: 3 * image.patch ** 2,
});
/** Blocks that own a set of prompts. */
const owned = ({ layers }: TowerShape, depth: number, tokens: number) => (tokens === 0 ? 0 : Math.min(depth, layers));

/** Scalars that PromptSRC and IVLP learn: a set of tokens per prompted block of each tower. */
export const trainableParameters = (
  { text, image }: ClipConfig,
  { tokens, depth }: Pick<FlopsSetting, "tokens" | "depth">,
): number =>
  owned(text, depth.text, tokens.text) * tokens.text * text.width +
  owned(image, depth.image, tokens.image) * tokens.image * image.width;

/**
 * One block for one sequence: `asking` tokens see `keys`; of the `rows` of its own tokens `known` have their projections already.
 * `fixed`: nothing learnt reaches the own tokens, so only `prompts` keys get a gradient.
 */
function block(
  { width: D, hidden }: TowerShape,
  {
    asking,
    rows,
    keys,
    known = 0,
    fixed = false,
    prompts = 0,
  }: Record<"asking" | "rows" | "keys", number> & BlockOptions,
): Pass {
  const open = rows - known;
  const projections = add(linear(Math.min(asking, open), D, D), linear(open, D, 2 * D));
  const rest = add(linear(asking, D, D), linear(asking, D, hidden), linear(asking, hidden, D));
  const product = 2 * asking * keys * D; // scores, or weights times values
  const toKeys = 4 * asking * prompts * D; // gradients of the prompts' keys and values
  // backwards: the weights' gradient, then those of queries, keys and values
  const attention = { forward: 2 * product, backward: product + (fixed ? toKeys : 3 * product) };
  return add(fixed ? { ...projections, backward: 0 } : projections, rest, attention);
}
type BlockOptions = { known?: number; fixed?: boolean; prompts?: number };

/** Keys and values of prompts that no token asks for, once for all sequences. */
const keysOf = (prompts: number, { width }: TowerShape): Pass => linear(prompts, width, 2 * width);

/** Products of one training step with the exact savings. */
export function exactStepCost(config: ClipConfig, setting: FlopsSetting): StepCost {
  const { batch: B, frozenImage } = setting;
  const front = exactImageFront(config, B);
  const prompted = exactImage(config, B, setting.tokens.image, setting.depth.image);
  const same = frozenImage && owned(config.image, setting.depth.image, setting.tokens.image) === 0; // without prompts one pass serves both
  const plain = frozenImage ? exactImage(config, B, 0, 0).forward : 0;
  const text = exactText(config, setting.suffixes, setting.tokens.text, setting.depth.text);
  return {
    imageFrozen: plain + (frozenImage ? front : 0),
    imageForward: same ? 0 : prompted.forward + (frozenImage ? 0 : front),
    imageBackward: prompted.backward,
    textForward: text.forward,
    textBackward: text.backward,
    logits: logits(config, setting),
  };
}

/** Products of the same step as the official code runs it. */
export function officialStepCost(
  config: ClipConfig,
  { batch: B, suffixes, tokens, depth, frozenImage }: FlopsSetting,
): StepCost {
  const { patches, patch } = image(config);
  const all = (tower: TowerShape, rows: number) =>
    times(block(tower, { asking: rows, rows, keys: rows }), tower.layers);
  const embedding = 2 * B * patches * patch * config.image.width;
  const out = (rows: number, { width }: TowerShape) => linear(rows, width, config.embed);
  const prompts = owned(config.image, depth.image, tokens.image) ? tokens.image : 0;
  const prompted = add(times(all(config.image, 1 + patches + prompts), B), out(B, config.image));
  const plain = add(times(all(config.image, 1 + patches), B), out(B, config.image));
  const C = suffixes.length;
  const text = add(times(all(config.text, config.text.context), C), out(C, config.text));
  return {
    imageFrozen: frozenImage ? plain.forward + embedding : 0,
    imageForward: prompted.forward + embedding,
    imageBackward: prompts ? prompted.backward : 0,
    textForward: text.forward,
    textBackward: owned(config.text, depth.text, tokens.text) ? text.backward : 0,
    logits: logits(config, { batch: B, suffixes, tokens, depth, frozenImage }),
  };
}

/** Products of testing: for one picture, and for all class features (the official code makes them anew for every batch of pictures). */
export type TestCost = { picture: number; classes: number };
type Tested = Pick<FlopsSetting, "suffixes" | "tokens" | "depth">;

export const exactTestCost = (config: ClipConfig, { suffixes, tokens, depth }: Tested): TestCost => ({
  picture: exactImageFront(config, 1) + exactImage(config, 1, tokens.image, depth.image).forward,
  classes: exactText(config, suffixes, tokens.text, depth.text, 0).forward,
});

export function officialTestCost(config: ClipConfig, tested: Tested): TestCost {
  const { imageForward: picture, textForward: classes } = officialStepCost(config, {
    ...tested,
    batch: 1,
    frozenImage: false,
  });
  return { picture, classes };
}

/** Cosines of prompted features, of which both sides have gradients, and of frozen ones. */
const logits = ({ embed }: ClipConfig, { batch, suffixes, frozenImage }: FlopsSetting) =>
  2 * batch * suffixes.length * embed * (frozenImage ? 4 : 3);

/** Patch embedding, and block 0's projections of the image tokens; shared by the frozen and the prompted pass. */
function exactImageFront(config: ClipConfig, B: number): number {
  const { patches, patch } = image(config);
  const D = config.image.width;
  return B * (2 * patches * patch * D + linear(1 + patches, D, 3 * D).forward);
}

/** The blocks for B images; the prompts of the last set run along as tokens. */
function exactImage(config: ClipConfig, B: number, tokens: number, depth: number): Pass {
  const tower = config.image;
  const N = 1 + image(config).patches;
  const sets = owned(tower, depth, tokens);
  const passes = Array.from({ length: tower.layers }, (_, i) => {
    const last = i === tower.layers - 1;
    const apart = i < sets && (i < sets - 1 || last); // prompts that only give keys and values
    const along = sets > 0 && !apart ? tokens : 0;
    const asking = last ? 1 : N + along;
    const known = i === 0 ? N : 0;
    const fixed = sets === 0 || (i === 0 && along === 0);
    const keys = N + (sets > 0 ? tokens : 0);
    const own = times(block(tower, { asking, rows: N + along, keys, known, fixed, prompts: apart ? tokens : 0 }), B);
    return apart ? add(own, keysOf(tokens, tower)) : own;
  });
  const all = add(...passes, linear(B, tower.width, config.embed));
  return sets > 0 ? all : { forward: all.forward, backward: 0 };
}

/** The suffixes behind start token and context; `known`: block 0's projections of the suffixes are kept between steps. */
function exactText(config: ClipConfig, suffixes: number[], tokens: number, depth: number, known = 1): Pass {
  const tower = config.text;
  const sets = owned(tower, depth, tokens);
  const before = 1 + (sets > 0 ? tokens : 0);
  const counts = new Map<number, number>();
  for (const S of suffixes) counts.set(S, (counts.get(S) ?? 0) + 1);
  const passes = Array.from({ length: tower.layers }, (_, i) => {
    const last = i === tower.layers - 1;
    const fixed = i === 0 || sets === 0;
    const prompts = sets > 0 ? tokens : 0;
    const classes = [...counts].map(([S, C]) =>
      times(
        block(tower, {
          asking: last ? 1 : S,
          rows: S,
          keys: before + S,
          known: i === 0 ? known * S : 0,
          fixed,
          prompts,
        }),
        C,
      ),
    );
    const context = sets > 0 ? [keysOf(tokens, tower)] : [];
    const goesOn = sets > 0 && i >= sets - 1 && !last; // the last set's tokens run once for all classes
    if (goesOn) context.push(block(tower, { asking: tokens, rows: tokens, keys: 1 + tokens }));
    return add(...classes, ...context);
  });
  const all = add(...passes, linear(suffixes.length, tower.width, config.embed));
  return sets > 0 ? all : { forward: all.forward, backward: 0 };
}
