/**
 * Loads a CLIP: checks every tensor, and folds the weights for the fast encoders. Tensor names are transformers' own
 * (models/clip/modeling_clip.py), whatever the files' layout.
 */
import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Norm } from "../engine/autograd";
import { backend } from "../engine/dispatch";
import type { Activation } from "../engine/fusedOps";
import type { Tensor, Tensor1D, Tensor2D } from "../engine/tf";
import { startEngine, tf } from "../engine/tf";
import { readJson } from "../io/readJson";
import { fileHash } from "../io/safetensors";
import { readFinite, type TensorFile } from "../io/tensors";
import type { ClipConfig } from "./config";
import { type FoldedBlock, foldBlock, type LinearWeights } from "./fast/foldConstants";
import { startTokenKV } from "./fast/text";
import type { Clip, ImageTower, TextTower } from "./model";
import { bytesOf, type ModelFiles, openModel } from "./modelFiles";
import { disposeReferenceWeights } from "./referenceWeights";
import type { Tokenizer } from "./tokenizer";

/**
 * Reads a CLIP from a model folder or checkpoint (modelFiles.ts has the layouts).
 * @returns frozen tensors that stay for the life of the process, or until `disposeClip`
 * @throws where a file is missing or damaged; where tensors are missing, left over, of another shape than the sizes
 *   say, of integers, or hold a number that is not finite; where the tokenizer is not the model's: all by name
 */
export async function loadClip(path: string): Promise<Clip> {
  await startEngine();
  const { config, weights, tokenizer, preprocess, files, notes } = checkedModel(path);
  try {
    const fingerprint = createHash("sha256");
    for (const file of files) fingerprint.update(fileHash(file));
    const folder = statSync(path).isDirectory() ? path : dirname(path);
    return {
      name: basename(resolve(path)),
      path,
      text: textTower(weights, config, tokenizer.encode("")[0]),
      image: imageTower(weights, config),
      embed: config.embed,
      logitScale: Math.exp(readFinite(weights, "logit_scale").data[0]),
      tokenizer,
      preprocess,
      preset: presetOf(folder),
      fingerprint: fingerprint.digest("hex"),
      notes,
    };
  } finally {
    weights.close();
    collectGarbage();
  }
}

/** A model's files, checked for all that can be known before its numbers are read. The caller closes the weights. */
function checkedModel(path: string): ModelFiles {
  const model = openModel(path);
  const { config, weights, tokenizer, preprocess } = model;
  try {
    const { size } = config.image;
    if (preprocess.output.height !== size || preprocess.output.width !== size) {
      const made = `${preprocess.output.height}x${preprocess.output.width}`;
      throw new Error(`${path}: preprocessing makes pictures of ${made} pixels, the model takes ${size}x${size}`);
    }
    checkTensors(weights, config);
    checkTokenizer(tokenizer, config, path);
    return model;
  } catch (error) {
    weights.close();
    throw error;
  }
}

/**
 * What a model is, without loading it: its layout, sizes and bytes on disk. Reads every number once.
 * @throws as `loadClip`
 */
export function checkModel(path: string): Pick<ModelFiles, "layout" | "config" | "notes"> & { bytes: number } {
  const { layout, config, weights, files, notes } = checkedModel(path);
  try {
    for (const name of weights.names) readFinite(weights, name);
    return { layout, config, notes, bytes: bytesOf(files) };
  } finally {
    weights.close();
  }
}

/** @throws where promptsrc.json names settings that do not exist */
function presetOf(folder: string): Clip["preset"] {
  const path = join(folder, "promptsrc.json");
  if (!existsSync(path)) return "paper";
  const settings = (readJson(path) as { settings?: unknown } | null)?.settings;
  if (settings === "paper" || settings === "embedded") return settings;
  throw new Error(`${path}: "settings" should be "paper" or "embedded"; it is ${JSON.stringify(settings)}`);
}

/**
 * Frees the arrays that were read. The garbage collector does not see that a few small objects hold hundreds of
 * megabytes, and would wait for minutes. `gc` is exposed for this one call.
 */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc");
  setFlagsFromString("--no-expose-gc");
  gc();
}

/** Frees a model's tensors, and those of its reference encoder (reference.ts) where a method read them. */
export function disposeClip(clip: Clip): void {
  tf.dispose([clip.text, clip.image] as any);
  disposeReferenceWeights(clip);
}

/** Names and shapes of all tensors that the config asks for. */
function expectedShapes({ embed, text, image }: ClipConfig): Map<string, number[]> {
  const shapes = new Map<string, number[]>();
  const norm = (name: string, width: number) => shapes.set(`${name}.weight`, [width]).set(`${name}.bias`, [width]);
  const linear = (name: string, out: number, into: number) =>
    shapes.set(`${name}.weight`, [out, into]).set(`${name}.bias`, [out]);
  for (const [prefix, tower] of [
    ["text_model", text],
    ["vision_model", image],
  ] as const) {
    for (let i = 0; i < tower.layers; i++) {
      const layer = `${prefix}.encoder.layers.${i}`;
      norm(`${layer}.layer_norm1`, tower.width);
      norm(`${layer}.layer_norm2`, tower.width);
      for (const map of ["q_proj", "k_proj", "v_proj", "out_proj"])
        linear(`${layer}.self_attn.${map}`, tower.width, tower.width);
      linear(`${layer}.mlp.fc1`, tower.hidden, tower.width);
      linear(`${layer}.mlp.fc2`, tower.width, tower.hidden);
    }
  }
  shapes.set("logit_scale", []);
  shapes.set("text_model.embeddings.token_embedding.weight", [text.vocabulary, text.width]);
  shapes.set("text_model.embeddings.position_embedding.weight", [text.context, text.width]);
  norm("text_model.final_layer_norm", text.width);
  shapes.set("text_projection.weight", [embed, text.width]);
  shapes.set("vision_model.embeddings.class_embedding", [image.width]);
  shapes.set("vision_model.embeddings.patch_embedding.weight", [image.width, 3, image.patch, image.patch]);
  shapes.set("vision_model.embeddings.position_embedding.weight", [
    Math.floor(image.size / image.patch) ** 2 + 1,
    image.width,
  ]);
  norm("vision_model.pre_layrnorm", image.width); // transformers' own spelling
  norm("vision_model.post_layernorm", image.width);
  shapes.set("visual_projection.weight", [embed, image.width]);
  return shapes;
}

/** Buffers that old transformers versions saved; they hold 0, 1, 2 ... */
const isBuffer = (name: string) => name.endsWith("embeddings.position_ids");

const floats = ["F32", "F16", "BF16", "F64"];

/** @throws naming tensors that are missing, left over, of another shape than the config says, or not of floats */
function checkTensors(file: TensorFile, config: ClipConfig): void {
  const expected = expectedShapes(config);
  const few = (names: string[]) =>
    names.slice(0, 8).join(", ") + (names.length > 8 ? ` and ${names.length - 8} more` : "");
  const present = new Set(file.names);
  const missing = [...expected.keys()].filter((name) => !present.has(name));
  const surplus = file.names.filter((name) => !expected.has(name) && !isBuffer(name));
  if (missing.length || surplus.length) {
    const parts = [
      missing.length ? `missing: ${few(missing)}` : "",
      surplus.length ? `not known: ${few(surplus)}` : "",
    ].filter(Boolean);
    throw new Error(`${file.path} does not hold the CLIPModel of its config.json; ${parts.join("; ")}`);
  }
  for (const [name, shape] of expected) {
    const found = file.shape(name);
    // logit_scale is a scalar; some writers store it as one element
    if (found.join() !== shape.join() && !(name === "logit_scale" && found.join() === "1")) {
      throw new Error(`${file.path}: tensor "${name}" has the shape [${found}], config.json makes it [${shape}]`);
    }
    const dtype = file.dtype(name);
    if (!floats.includes(dtype)) {
      throw new Error(
        `${file.path}: tensor "${name}" [${found}] has the type ${dtype}; weights are ${floats.join(", ")}`,
      );
    }
  }
}

/** @throws where the tokenizer's ids are not those of the model's embeddings, or its end token is not the model's */
function checkTokenizer(tokenizer: Tokenizer, { text }: ClipConfig, path: string): void {
  const ids = tokenizer.encode("a photo of a cat.");
  const largest = Math.max(...ids);
  if (largest >= text.vocabulary) {
    throw new Error(
      `${path}: the tokenizer gives the id ${largest}, the model has ${text.vocabulary} tokens: it is another model's`,
    );
  }
  const last = ids[ids.length - 1];
  if (text.endId !== undefined && text.endId !== 2 && last !== text.endId) {
    throw new Error(
      `${path}: the tokenizer ends a text with the id ${last}, the model's end token is ${text.endId}: it is another model's`,
    );
  }
}

/** Readers of one file's tensors. */
function reader(file: TensorFile) {
  /** Used at once: TensorFlow.js holds what it was given in JavaScript's memory until the first use. */
  const tensor = (name: string): Tensor => {
    const { data, shape } = readFinite(file, name);
    return tf.tidy(() => backend().runRaw(() => ({ used: backend().reshape(tf.tensor(data, shape), shape) })).used);
  };
  const norm = (name: string, epsilon: number): Norm => ({
    gain: tensor(`${name}.weight`),
    bias: tensor(`${name}.bias`),
    epsilon,
  });
  /** torch keeps [out,in], products here want [in,out]. */
  const transposed = (name: string) => tf.tidy(() => tf.transpose(tensor(name))) as Tensor2D;
  const linear = (name: string): LinearWeights => ({
    weight: transposed(`${name}.weight`),
    bias: tensor(`${name}.bias`) as Tensor1D,
  });
  const block = (layer: string, heads: number, activation: Activation, epsilon: number): FoldedBlock =>
    tf.tidy(() =>
      foldBlock({
        norm1: norm(`${layer}.layer_norm1`, epsilon),
        query: linear(`${layer}.self_attn.q_proj`),
        key: linear(`${layer}.self_attn.k_proj`),
        value: linear(`${layer}.self_attn.v_proj`),
        out: linear(`${layer}.self_attn.out_proj`),
        norm2: norm(`${layer}.layer_norm2`, epsilon),
        up: linear(`${layer}.mlp.fc1`),
        down: linear(`${layer}.mlp.fc2`),
        heads,
        activation,
      }),
    );
  const blocks = (
    prefix: string,
    { layers, heads, activation, epsilon }: ClipConfig["text" | "image"],
  ): FoldedBlock[] =>
    Array.from({ length: layers }, (_, i) => block(`${prefix}.encoder.layers.${i}`, heads, activation, epsilon));
  return { tensor, norm, transposed, blocks };
}

function textTower(file: TensorFile, { text }: ClipConfig, startId: number): TextTower {
  const { tensor, norm, transposed, blocks } = reader(file);
  const tower = {
    tokens: tensor("text_model.embeddings.token_embedding.weight") as Tensor2D,
    positions: tensor("text_model.embeddings.position_embedding.weight") as Tensor2D,
    blocks: blocks("text_model", text),
    final: norm("text_model.final_layer_norm", text.epsilon),
    projection: transposed("text_projection.weight"),
    width: text.width,
    context: text.context,
  };
  return { ...tower, startKV: startTokenKV(tower, startId) };
}

function imageTower(file: TensorFile, { image }: ClipConfig): ImageTower {
  const { tensor, norm, transposed, blocks } = reader(file);
  const embeddings = "vision_model.embeddings";
  const [cls, positions, patches] = tf.tidy(() => {
    const all = tensor(`${embeddings}.position_embedding.weight`) as Tensor2D;
    const own = tf.add(tf.slice(all, [0, 0], [1, -1]), tensor(`${embeddings}.class_embedding`));
    const kernel = tf.reshape(tensor(`${embeddings}.patch_embedding.weight`), [image.width, -1]);
    return [own, tf.slice(all, [1, 0], [-1, -1]), tf.transpose(kernel)] as Tensor2D[];
  });
  return {
    cls,
    positions,
    patches,
    pre: norm("vision_model.pre_layrnorm", image.epsilon),
    blocks: blocks("vision_model", image),
    post: norm("vision_model.post_layernorm", image.epsilon),
    projection: transposed("visual_projection.weight"),
    width: image.width,
    size: image.size,
    patch: image.patch,
  };
}
