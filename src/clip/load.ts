/**
 * Loads a Hugging Face CLIPModel folder: config.json, model.safetensors, tokenizer.json, preprocessor_config.json.
 * Tensor names are transformers' own (models/clip/modeling_clip.py).
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Norm } from "../engine/autograd";
import { backend } from "../engine/dispatch";
import type { Activation } from "../engine/fusedOps";
import type { Tensor, Tensor1D, Tensor2D } from "../engine/tf";
import { startEngine, tf } from "../engine/tf";
import { readPreprocess } from "../io/preprocess";
import { fileHash, openSafetensors, type SafetensorsFile } from "../io/safetensors";
import { type ClipConfig, readConfig } from "./config";
import { type FoldedBlock, foldBlock, type LinearWeights } from "./fast/foldConstants";
import { startTokenKV } from "./fast/text";
import type { Clip, ImageTower, TextTower } from "./model";
import { disposeReferenceWeights } from "./referenceWeights";
import { loadTokenizer } from "./tokenizer";

/**
 * Reads a CLIP from a Hugging Face CLIPModel folder (config.json, model.safetensors, tokenizer.json,
 * preprocessor_config.json).
 * @returns frozen tensors that stay for the life of the process, or until `disposeClip`.
 * @throws where a file is missing or corrupt, or tensors are missing, left over or of another shape than the config
 *   says: all named.
 */
export async function loadClip(folder: string): Promise<Clip> {
  await startEngine();
  const config = readConfig(join(folder, "config.json"));
  const tokenizer = loadTokenizer(folder, config.text.endId);
  const preprocessPath = join(folder, "preprocessor_config.json");
  const preprocess = readPreprocess(readJson(preprocessPath), preprocessPath);
  const { size } = config.image;
  if (preprocess.output.height !== size || preprocess.output.width !== size) {
    const made = `${preprocess.output.height}x${preprocess.output.width}`;
    throw new Error(
      `${preprocessPath} makes pictures of ${made} pixels, the model in config.json takes ${size}x${size}`,
    );
  }
  const weights = join(folder, "model.safetensors");
  const file = openSafetensors(weights);
  try {
    checkNames(file, config);
    const start = tokenizer.encode("")[0];
    const fingerprint = createHash("sha256");
    for (const name of ["model.safetensors", "config.json", "tokenizer.json", "preprocessor_config.json"]) {
      fingerprint.update(fileHash(join(folder, name)));
    }
    return {
      name: basename(resolve(folder)),
      folder,
      text: textTower(file, config, start),
      image: imageTower(file, config),
      embed: config.embed,
      logitScale: Math.exp(file.read("logit_scale").data[0]),
      tokenizer,
      preprocess,
      preset: presetOf(folder),
      fingerprint: fingerprint.digest("hex"),
    };
  } finally {
    file.close();
    collectGarbage();
  }
}

/** @throws where promptsrc.json names settings that do not exist */
function presetOf(folder: string): Clip["preset"] {
  const path = join(folder, "promptsrc.json");
  if (!existsSync(path)) return "paper";
  const { settings } = readJson(path) as { settings?: unknown };
  if (settings === "paper" || settings === "embedded") return settings;
  throw new Error(`${path}: "settings" should be "paper" or "embedded"; it is ${JSON.stringify(settings)}`);
}

/**
 * What was read goes now: the collector does not see that a hundred megabytes hang on a few small objects, and waits
 * for minutes.
 */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
}

/** Frees a model's tensors, and those of its reference encoder (reference.ts) where a method read them. */
export function disposeClip(clip: Clip): void {
  tf.dispose([clip.text, clip.image] as any);
  disposeReferenceWeights(clip);
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new Error(`${path} cannot be read: ${(error as Error).message}`);
  }
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

function checkNames(file: SafetensorsFile, config: ClipConfig): void {
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
  }
}

/** Readers of one file's tensors. */
function reader(file: SafetensorsFile) {
  /** Used at once: TensorFlow.js holds what it was given in JavaScript's memory until the first use. */
  const tensor = (name: string): Tensor => {
    const { data, shape } = file.read(name);
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

function textTower(file: SafetensorsFile, { text }: ClipConfig, startId: number): TextTower {
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

function imageTower(file: SafetensorsFile, { image }: ClipConfig): ImageTower {
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
