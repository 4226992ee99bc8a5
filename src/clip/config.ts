/**
 * What a Hugging Face CLIPModel folder's config.json says, with transformers' defaults for keys it leaves out
 * (transformers/models/clip/configuration_clip.py: files keep only what differs from the defaults).
 */
import { readFileSync } from "node:fs";
import type { Activation } from "../engine/fusedOps";

type TowerConfig = {
  width: number;
  hidden: number;
  layers: number;
  heads: number;
  activation: Activation;
  epsilon: number;
};

export type ClipConfig = {
  embed: number;
  text: TowerConfig & { vocabulary: number; context: number; endId: number };
  image: TowerConfig & { size: number; patch: number };
};

const textDefaults = {
  vocab_size: 49408,
  hidden_size: 512,
  intermediate_size: 2048,
  num_hidden_layers: 12,
  num_attention_heads: 8,
  max_position_embeddings: 77,
  hidden_act: "quick_gelu",
  layer_norm_eps: 1e-5,
  eos_token_id: 49407,
};

const visionDefaults = {
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  num_channels: 3,
  image_size: 224,
  patch_size: 32,
  hidden_act: "quick_gelu",
  layer_norm_eps: 1e-5,
};

/** @throws naming the file, the key, and what was expected. */
export function readConfig(path: string): ClipConfig {
  let json: any;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new Error(`${path} cannot be read as a model's config: ${(error as Error).message}`);
  }
  if (json?.model_type !== undefined && json.model_type !== "clip") {
    throw new Error(
      `${path} has model_type "${json.model_type}", expected "clip": the folder of a Hugging Face CLIPModel`,
    );
  }
  // Old files repeat the towers under *_dict; transformers lets these win.
  const text = { ...textDefaults, ...json?.text_config, ...json?.text_config_dict };
  const vision = { ...visionDefaults, ...json?.vision_config, ...json?.vision_config_dict };
  const count = (value: unknown, key: string): number => {
    if (!Number.isInteger(value) || (value as number) < 1)
      throw new Error(`${path}: ${key} is ${JSON.stringify(value)}, expected a whole number from 1`);
    return value as number;
  };
  const tower = (settings: Record<string, any>, prefix: string): TowerConfig => {
    const width = count(settings.hidden_size, `${prefix}.hidden_size`);
    const heads = count(settings.num_attention_heads, `${prefix}.num_attention_heads`);
    if (width % heads !== 0)
      throw new Error(`${path}: ${prefix}.hidden_size ${width} is not a multiple of its ${heads} attention heads`);
    const activation = settings.hidden_act;
    if (activation !== "quick_gelu" && activation !== "gelu") {
      throw new Error(`${path}: ${prefix}.hidden_act is "${activation}"; known are "quick_gelu" and "gelu"`);
    }
    return {
      width,
      heads,
      activation,
      hidden: count(settings.intermediate_size, `${prefix}.intermediate_size`),
      layers: count(settings.num_hidden_layers, `${prefix}.num_hidden_layers`),
      epsilon: settings.layer_norm_eps,
    };
  };
  const size = count(vision.image_size, "vision_config.image_size");
  const patch = count(vision.patch_size, "vision_config.patch_size");
  if (size < patch) throw new Error(`${path}: vision_config.image_size ${size} is smaller than patch_size ${patch}`);
  if (vision.num_channels !== 3)
    throw new Error(`${path}: vision_config.num_channels is ${vision.num_channels}, expected 3 (RGB)`);
  return {
    embed: count(json?.projection_dim ?? 512, "projection_dim"),
    text: {
      ...tower(text, "text_config"),
      vocabulary: count(text.vocab_size, "text_config.vocab_size"),
      context: count(text.max_position_embeddings, "text_config.max_position_embeddings"),
      endId: text.eos_token_id,
    },
    image: { ...tower(vision, "vision_config"), size, patch },
  };
}
