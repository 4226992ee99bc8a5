/** Writes a CLIP model with random weights, of any size, in Hugging Face's layout; its tokenizer is copied. */
import { copyFileSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { paper } from "../src/configs/presets";
import type { Preset } from "../src/configs/settings";
import { type Stored, writeSafetensors } from "../src/io/safetensors";
import { seeded } from "../src/util/random";

export const sizes = {
  vision: 48,
  visionLayers: 3,
  visionHeads: 3,
  text: 32,
  textLayers: 5,
  textHeads: 4,
  embed: 24,
  size: 18,
  patch: 6,
  context: 24,
  vocabulary: 369,
  endId: 2,
  activation: "quick_gelu",
};

export function randomTensors(size: typeof sizes): Record<string, Stored> {
  const random = seeded("random clip");
  const tensors: Record<string, Stored> = {};
  const put = (name: string, shape: number[], std: number, mean = 0) => {
    const count = shape.reduce((a, b) => a * b, 1);
    tensors[name] = { shape, data: Float32Array.from({ length: count }, () => mean + std * random.normal()) };
  };
  const linear = (name: string, out: number, into: number) => {
    put(`${name}.weight`, [out, into], into ** -0.5);
    put(`${name}.bias`, [out], 0.1);
  };
  const norm = (name: string, width: number) => {
    put(`${name}.weight`, [width], 0.2, 1);
    put(`${name}.bias`, [width], 0.2);
  };
  for (const [prefix, width, layers] of [
    ["text_model", size.text, size.textLayers],
    ["vision_model", size.vision, size.visionLayers],
  ] as const) {
    for (let i = 0; i < layers; i++) {
      const layer = `${prefix}.encoder.layers.${i}`;
      norm(`${layer}.layer_norm1`, width);
      norm(`${layer}.layer_norm2`, width);
      for (const map of ["q_proj", "k_proj", "v_proj", "out_proj"]) linear(`${layer}.self_attn.${map}`, width, width);
      linear(`${layer}.mlp.fc1`, 4 * width, width);
      linear(`${layer}.mlp.fc2`, width, 4 * width);
    }
  }
  put("logit_scale", [], 0, Math.log(15));
  put("text_model.embeddings.token_embedding.weight", [size.vocabulary, size.text], 0.5);
  put("text_model.embeddings.position_embedding.weight", [size.context, size.text], 0.2);
  norm("text_model.final_layer_norm", size.text);
  put("text_projection.weight", [size.embed, size.text], size.text ** -0.5);
  put("vision_model.embeddings.class_embedding", [size.vision], 0.5);
  put("vision_model.embeddings.patch_embedding.weight", [size.vision, 3, size.patch, size.patch], 0.1);
  put(
    "vision_model.embeddings.position_embedding.weight",
    [Math.floor(size.size / size.patch) ** 2 + 1, size.vision],
    0.2,
  );
  norm("vision_model.pre_layrnorm", size.vision);
  norm("vision_model.post_layernorm", size.vision);
  put("visual_projection.weight", [size.embed, size.vision], size.vision ** -0.5);
  return tensors;
}

/** @returns the folder of the model: `folder`, or a new temporary one */
export function writeRandomClip(
  changes: Partial<typeof sizes> = {},
  folder = mkdtempSync(join(tmpdir(), "clip-")),
  tokenizer = "test/golden/tokenizer.json",
): string {
  const size = { ...sizes, ...changes };
  writeSafetensors(join(folder, "model.safetensors"), randomTensors(size));
  const tower = (width: number, layers: number, heads: number) => ({
    hidden_size: width,
    intermediate_size: 4 * width,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    hidden_act: size.activation,
  });
  const text_config = {
    ...tower(size.text, size.textLayers, size.textHeads),
    vocab_size: size.vocabulary,
    max_position_embeddings: size.context,
    eos_token_id: size.endId,
  };
  const vision_config = {
    ...tower(size.vision, size.visionLayers, size.visionHeads),
    image_size: size.size,
    patch_size: size.patch,
  };
  writeFileSync(
    join(folder, "config.json"),
    JSON.stringify({ model_type: "clip", projection_dim: size.embed, text_config, vision_config }),
  );
  copyFileSync(tokenizer, join(folder, "tokenizer.json"));
  const preprocess = JSON.parse(readFileSync("test/golden/preprocessor_config.json", "utf8"));
  const square = { height: size.size, width: size.size };
  writeFileSync(
    join(folder, "preprocessor_config.json"),
    JSON.stringify({ ...preprocess, size: { shortest_edge: size.size }, crop_size: square }),
  );
  return folder;
}

/** Settings of a training run that takes one second on such a model. */
export const quickConfig: Preset = {
  ...paper.baseToNovel,
  depth: { text: 3, image: 2 },
  epochs: 2,
  lr: 0.05,
  ensemble: { mean: 2, std: 1 },
  textTargetTemplates: ["a {}.", "the {}"],
};
