/**
 * The checkpoints of the official trainers (Dassl's save_checkpoint, torch.save): which of their tensors are which
 * parameters of the kit's methods, in both directions. Beside the prompts they contain the frozen CLIP, `token_prefix`
 * and `token_suffix`, which the official loaders drop; some of these tell which CLIP the prompts were trained on.
 */

import { readFinite, type Stored, type TensorFile } from "../io/tensors";
import { writeTorch } from "../io/writeTorch";
import { changed, configFor, type Method, type Settings, settle, trainingSettings } from "../methods/method";
import { methodNamed } from "../methods/registry";
import type { HostParams } from "../training/ensemble";
import { UsageError } from "../util/errors";

/** What the kit and the official code call a parameter; `*` stands for a number. */
type NamePair = [ours: string, official: string];

type Layout = {
  /** The official tensors that only this layout and those before it have. */
  signs: string[];
  /**
   * The methods that have these parameters. A file does not tell which of them it is, and their classifiers are the
   * same; the first one is assumed.
   */
  methods: string[];
  names: NamePair[];
  /** Whether a context shorter than the words "a photo of a" leaves the remaining words in the sentence. */
  keepsWords: boolean;
};

const same = (...names: string[]): NamePair[] => names.map((name) => [name, name]);
const textNames: NamePair[] = [
  ["text.0", "prompt_learner.ctx"],
  ["text.*", "text_encoder.transformer.resblocks.*.VPT_shallow"],
];
const imageNames: NamePair[] = [
  ["vision.0", "image_encoder.VPT"],
  ["vision.*", "image_encoder.transformer.resblocks.*.VPT_shallow"],
];
const mapleNames = [
  "ctx",
  "proj.weight",
  "proj.bias",
  "compound_prompts_text.*",
  "compound_prompt_projections.*.weight",
  "compound_prompt_projections.*.bias",
].map((name): NamePair => [name, `prompt_learner.${name}`]);
const metaNet = ["linear1", "linear2"].flatMap((layer) => [`meta_net.${layer}.weight`, `meta_net.${layer}.bias`]);

/** The first layout all of whose signs are in a file is the file's. */
const layouts: Layout[] = [
  { signs: ["ctx", metaNet[0]], methods: ["cocoop"], names: same("ctx", ...metaNet), keepsWords: false },
  { signs: ["ctx"], methods: ["coop", "kgcoop", "prograd", "coop-src"], names: same("ctx"), keepsWords: false },
  {
    signs: ["prompt_learner.ctx", "prompt_learner.proj.weight"],
    methods: ["maple", "maple-src"],
    names: mapleNames,
    keepsWords: true,
  },
  {
    signs: ["prompt_learner.ctx", "image_encoder.VPT"],
    methods: ["promptsrc", "ivlp"],
    names: [...textNames, ...imageNames],
    keepsWords: true,
  },
  { signs: ["prompt_learner.ctx"], methods: ["language"], names: textNames, keepsWords: true },
  { signs: ["image_encoder.VPT"], methods: ["vision"], names: imageNames, keepsWords: true },
];

/** The name in the other naming; undefined where the name is in none of the pairs. */
function rename(name: string, pairs: NamePair[], to: "ours" | "official"): string | undefined {
  for (const [ours, official] of pairs) {
    const [from, into] = to === "ours" ? [official, ours] : [ours, official];
    const pattern = new RegExp(`^${from.replaceAll(".", "\\.").replace("*", "(\\d+)")}$`);
    const match = pattern.exec(name);
    if (match) return into.replace("*", match[1]);
  }
  return undefined;
}

/** What an official checkpoint contains for the kit. */
type OfficialPrompts = {
  method: string;
  /** Complete settings of training. Those that the file does not tell are the method's own for base-to-novel. */
  config: Settings;
  params: HostParams;
  /** Frozen tensors that tell which CLIP the prompts were trained on, see `frozenNames`. */
  frozen: HostParams;
};

/**
 * Reads the prompts of an official checkpoint. Numbers of tokens, depths and class-specific contexts are told by the
 * shapes. The context's initial words are taken to be "a photo of a" (none where another number of tokens rules them
 * out in the official code). They matter where they have more tokens than the context (MaPLe, PromptSRC): the remaining
 * words stay in the sentence. CoOp's file does not tell the position of the class name, which is taken to be the end.
 * @param epoch the number of epochs that the file records
 * @param asked the method, where it is not to be the layout's first
 * @param change replaces settings that the file does not tell, such as `contextInit` or `coop.position`
 * @throws UsageError where the file holds no prompts, or those of another method
 */
export function readOfficial(
  file: TensorFile,
  epoch: unknown,
  asked?: string,
  change: (config: Settings) => Settings = (config) => config,
): OfficialPrompts {
  const layout = layouts.find(({ signs }) => signs.every((sign) => file.names.includes(sign)));
  const few = file.names.slice(0, 4).join(", ");
  if (file.names.some((name) => name.includes(".layer1.")))
    throw new UsageError(`${file.path} belongs to a CLIP whose image encoder is a ResNet; the kit has ViTs only`);
  if (!layout) {
    const wanted = layouts.map(({ methods: [first], signs }) => `${signs.join(" and ")} (${first})`).join(", ");
    throw new UsageError(`${file.path} holds no trained prompts, but ${few}; wanted is one of: ${wanted}`);
  }
  const name = asked === undefined ? layout.methods[0] : methodNamed(asked).name;
  if (!layout.methods.includes(name)) {
    throw new UsageError(
      `${file.path} holds the prompts of ${layout.methods.join(" or ")} (${few}), not of ${name}: leave out --method`,
    );
  }
  const params: HostParams = {};
  for (const official of file.names) {
    const ours = rename(official, layout.names, "ours");
    if (ours !== undefined) params[ours] = readFinite(file, official);
  }
  const method = methodNamed(name);
  const settings = { ...configFor(method, "paper", "baseToNovel"), ...shapeSettings(params, layout, file.path) };
  if (Number.isInteger(epoch) && (epoch as number) > 0) settings.epochs = epoch;
  const config = trainingSettings(method, changed(method, settle(method, settings), change));
  return { method: name, config, params, frozen: readFrozen(file) };
}

/** The settings that the shapes of the parameters tell. */
function shapeSettings(params: HostParams, { names, keepsWords }: Layout, path: string): Settings {
  const shapeOf = (name: string): number[] => params[name]?.shape ?? [];
  /** How many of `prefix.0`, `prefix.1`, ... there are. */
  const count = (prefix: string, suffix = ""): number => {
    const isOne = new RegExp(`^${prefix}\\.\\d+${suffix}$`);
    const found = Object.keys(params).filter((name) => isOne.test(name)).length;
    for (let i = 0; i < found; i++) {
      const name = `${prefix}.${i}${suffix}`;
      if (!(name in params)) throw new UsageError(`${path} lacks ${rename(name, names, "official")}`);
    }
    return found;
  };
  const context = "ctx" in params ? shapeOf("ctx") : shapeOf("text.0");
  const tokens = { text: context[context.length - 2], image: shapeOf("vision.0")[0] };
  const deep = "ctx" in params ? [count("compound_prompts_text"), count("compound_prompt_projections", ".weight")] : [];
  const depth =
    deep.length > 0 ? { text: deep[0] + 1, image: deep[1] + 1 } : { text: count("text"), image: count("vision") };
  const hasWords = tokens.text === 4 || (tokens.text < 4 && keepsWords);
  return {
    tokens,
    depth,
    contextInit: hasWords ? "a photo of a" : "",
    coop: { position: "end", classSpecific: context.length === 3 },
  };
}

/**
 * The frozen tensors that are compared with a model: their names here, and their official names. `logit_scale` is not
 * among them, because OpenAI's models have the same value.
 */
export const frozenNames = {
  startToken: ["prompt_learner.token_prefix", "token_prefix"],
  textPositions: ["text_encoder.positional_embedding"],
  imagePositions: ["image_encoder.positional_embedding"],
};

/**
 * The frozen tensors of a file: the start token's embedding [1,D], the positions of the text [context,D], those of the
 * image patches [N-1,D]. Placeholders, which have another rank or are zero throughout, tell nothing and are left out.
 */
function readFrozen(file: TensorFile): HostParams {
  const frozen: HostParams = {};
  const rows = { startToken: 3, textPositions: 2, imagePositions: 2 };
  for (const [name, officials] of Object.entries(frozenNames)) {
    const official = officials.find((candidate) => file.names.includes(candidate));
    if (!official || file.shape(official).length !== rows[name as keyof typeof rows]) continue;
    const stored = file.read(official);
    if (stored.data.some((value) => value !== 0)) frozen[name] = partOf(name, stored);
  }
  return frozen;
}

/** The start token of the first class; the image positions without that of the CLS token. */
function partOf(name: string, { shape, data }: Stored): Stored {
  const width = shape[shape.length - 1];
  if (name === "startToken") return { shape: [1, width], data: data.slice(0, width) };
  if (name === "imagePositions") return { shape: [shape[0] - 1, width], data: data.slice(width) };
  return { shape, data };
}

/**
 * Writes prompts as the official trainer of a method does, in float32: `torch.load` and the official loaders take the
 * file. As an epoch it records the number in the file's name (model.pth.tar-20), else that of the settings.
 * @throws UsageError where the method has no official file, or where MaPLe's text prompts are deeper than its image
 *   prompts, which its official file cannot say
 */
export function writeOfficial(path: string, method: Method, config: Settings, params: HostParams): void {
  const layout = layouts.find(({ methods: names }) => names.includes(method.name));
  if (!layout) {
    const known = layouts.flatMap(({ methods: names }) => names).join(", ");
    throw new UsageError(`${method.title} has no official file format; there is one for ${known}`);
  }
  const tensors: Record<string, Stored> = {};
  for (const [name, stored] of Object.entries(params)) {
    const official = rename(name, layout.names, "official");
    if (official === undefined) throw new Error(`the official code has no parameter ${name} of ${method.title}`);
    tensors[official] = stored;
  }
  const unmapped = Object.keys(params).filter((name) => {
    const deep = /^compound_prompts_text\.(\d+)$/.exec(name);
    return deep && !(`compound_prompt_projections.${deep[1]}.weight` in params);
  });
  if (unmapped.length > 0) {
    const { text, image } = config.depth;
    throw new UsageError(
      `${method.title}'s official file has one depth for both encoders; these prompts have depth ${text} in the text encoder and ${image} in the image encoder`,
    );
  }
  const numbered = /\.pth\.tar-(\d+)$/.exec(path);
  const epoch = numbered ? Number(numbered[1]) : config.epochs;
  writeTorch(path, tensors, { epoch, optimizer: null, scheduler: null, val_result: null });
}
