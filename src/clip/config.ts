/**
 * What a Hugging Face CLIPModel folder's config.json says, with transformers' defaults for keys it leaves out
 * (transformers/models/clip/configuration_clip.py: files keep only what differs from the defaults).
 */
import type { Activation } from "../engine/fusedOps";
import { readJson } from "../io/readJson";
import { UsageError } from "../util/errors";

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

/** Published CLIPs have at most some dozens of blocks; a damaged file may ask for billions. */
const mostLayers = 1000;

/** A size as a config says it. @throws naming the file, the key and what was expected */
function count(path: string, key: string, value: unknown, most = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= most) return value as number;
  const range = most < Number.MAX_SAFE_INTEGER ? `from 1 to ${most}` : "from 1";
  throw new Error(`${path}: ${key} is ${JSON.stringify(value)?.slice(0, 80)}, expected a whole number ${range}`);
}

/** @throws naming the file, the key, and what was expected. */
export function readConfig(path: string): ClipConfig {
  const json = readJson(path);
  if (json?.model_type !== undefined && json.model_type !== "clip") {
    throw new Error(
      `${path} has model_type "${json.model_type}", expected "clip": the folder of a Hugging Face CLIPModel`,
    );
  }
  // Old files repeat the towers under *_dict; transformers lets these win.
  const text = { ...textDefaults, ...json?.text_config, ...json?.text_config_dict };
  const vision = { ...visionDefaults, ...json?.vision_config, ...json?.vision_config_dict };
  const tower = (settings: Record<string, any>, prefix: string): TowerConfig => {
    const width = count(path, `${prefix}.hidden_size`, settings.hidden_size);
    const heads = count(path, `${prefix}.num_attention_heads`, settings.num_attention_heads);
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
      hidden: count(path, `${prefix}.intermediate_size`, settings.intermediate_size),
      layers: count(path, `${prefix}.num_hidden_layers`, settings.num_hidden_layers, mostLayers),
      epsilon: settings.layer_norm_eps,
    };
  };
  const size = count(path, "vision_config.image_size", vision.image_size);
  const patch = count(path, "vision_config.patch_size", vision.patch_size);
  if (size < patch) throw new Error(`${path}: vision_config.image_size ${size} is smaller than patch_size ${patch}`);
  if (vision.num_channels !== 3)
    throw new Error(`${path}: vision_config.num_channels is ${vision.num_channels}, expected 3 (RGB)`);
  return {
    embed: count(path, "projection_dim", json?.projection_dim ?? 512),
    text: {
      ...tower(text, "text_config"),
      vocabulary: count(path, "text_config.vocab_size", text.vocab_size),
      context: count(path, "text_config.max_position_embeddings", text.max_position_embeddings),
      endId: text.eos_token_id,
    },
    image: { ...tower(vision, "vision_config"), size, patch },
  };
}

/** What an open_clip_config.json says: the sizes, and the preprocessing in the words of preprocessor_config.json. */
type OpenClipConfig = { config: ClipConfig; preprocess: Record<string, unknown>; notes: string[] };

/**
 * Reads an open_clip_config.json (open_clip/src/open_clip/model.py, CLIPVisionCfg and CLIPTextCfg, has the defaults).
 * @throws UsageError where the encoders are not CLIP's two transformers
 */
export function readOpenClipConfig(path: string): OpenClipConfig {
  const json = readJson(path);
  const model = json?.model_cfg;
  const [vision, text] = [model?.vision_cfg, model?.text_cfg];
  if (!vision || !text) throw new UsageError(`${path} has no "model_cfg" with "vision_cfg" and "text_cfg"`);
  const foreign =
    vision.timm_model_name ?? text.hf_model_name ?? (Array.isArray(vision.layers) ? "a ResNet" : undefined);
  if (foreign !== undefined) throw new UsageError(`${path}: ${foreign} is not one of CLIP's two transformers`);
  const other = ["no_causal_mask", "no_ln_pre", "ls_init_value", "embed_cls", "attn_pooler", "attentional_pool"];
  const unknown = other.filter((key) => vision[key] || text[key]);
  if (unknown.length > 0)
    throw new UsageError(`${path}: ${unknown.join(", ")} changes the encoders in a way that is not known here`);
  const activation = model.quick_gelu ? ("quick_gelu" as const) : ("gelu" as const);
  const ofText = (key: string, value: unknown, most?: number) => count(path, `text_cfg.${key}`, value, most);
  const ofImage = (key: string, value: unknown, most?: number) => count(path, `vision_cfg.${key}`, value, most);
  const width = ofText("width", text.width ?? 512);
  const imageWidth = ofImage("width", vision.width ?? 768);
  const heads = imageWidth / ofImage("head_width", vision.head_width ?? 64);
  const size = Array.isArray(vision.image_size) ? vision.image_size[0] : (vision.image_size ?? 224);
  const vocabulary = ofText("vocab_size", text.vocab_size ?? 49408);
  const { mean, std, interpolation, resize_mode: resizeMode } = json?.preprocess_cfg ?? {};
  if (resizeMode !== undefined && resizeMode !== "shortest") {
    throw new UsageError(`${path}: resize_mode "${resizeMode}" is not known here; open_clip's "shortest" is`);
  }
  return {
    config: {
      embed: count(path, "embed_dim", model.embed_dim),
      text: {
        width,
        hidden: ofText("mlp_ratio times width", Math.floor(width * (text.mlp_ratio ?? 4))),
        layers: ofText("layers", text.layers ?? 12, mostLayers),
        heads: ofText("heads", text.heads ?? 8),
        activation,
        epsilon: 1e-5,
        vocabulary,
        context: ofText("context_length", text.context_length ?? 77),
        endId: vocabulary - 1,
      },
      image: {
        width: imageWidth,
        hidden: ofImage("mlp_ratio times width", Math.floor(imageWidth * (vision.mlp_ratio ?? 4))),
        layers: ofImage("layers", vision.layers ?? 12, mostLayers),
        heads: ofImage("width over head_width", Math.floor(heads)),
        activation,
        epsilon: 1e-5,
        size: ofImage("image_size", size),
        patch: ofImage("patch_size", vision.patch_size ?? 16),
      },
    },
    preprocess: {
      ...(mean ? { image_mean: mean } : {}),
      ...(std ? { image_std: std } : {}),
      ...(interpolation ? { resample: interpolation } : {}),
    },
    notes: [],
  };
}
