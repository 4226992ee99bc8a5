/**
 * OpenAI's CLIP and open_clip keep a model's tensors under other names than Hugging Face, with query, key and value in
 * one tensor and the two projections transposed (openai/CLIP clip/model.py; transformers
 * models/clip/convert_clip_original_pytorch_to_hf.py). This is a view of such a file under Hugging Face's names.
 */
import type { Stored, TensorFile } from "../io/tensors";
import type { ClipConfig } from "./config";

/** Numbers that OpenAI's archives hold beside the weights, and a mask that open_clip may save. */
const notWeights = new Set(["input_resolution", "context_length", "vocab_size", "attn_mask"]);

/** open_clip's models with a custom text encoder put its tensors under "text.". */
const withoutPrefix = (name: string): string =>
  name.replace(/^(module\.)?(text\.(?=transformer|token|positional|ln_|text_proj))?/, "");

const blockNames: [openai: string, huggingFace: string][] = [
  ["ln_1", "layer_norm1"],
  ["ln_2", "layer_norm2"],
  ["attn.out_proj", "self_attn.out_proj"],
  ["mlp.c_fc", "mlp.fc1"],
  ["mlp.c_proj", "mlp.fc2"],
];

const otherNames: [openai: string, huggingFace: string][] = [
  ["token_embedding.weight", "text_model.embeddings.token_embedding.weight"],
  ["positional_embedding", "text_model.embeddings.position_embedding.weight"],
  ["ln_final.weight", "text_model.final_layer_norm.weight"],
  ["ln_final.bias", "text_model.final_layer_norm.bias"],
  ["visual.class_embedding", "vision_model.embeddings.class_embedding"],
  ["visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"],
  ["visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"],
  ["visual.ln_pre.weight", "vision_model.pre_layrnorm.weight"],
  ["visual.ln_pre.bias", "vision_model.pre_layrnorm.bias"],
  ["visual.ln_post.weight", "vision_model.post_layernorm.weight"],
  ["visual.ln_post.bias", "vision_model.post_layernorm.bias"],
  ["logit_scale", "logit_scale"],
];

type TensorView = { name: string; shape(shape: number[]): number[]; change(stored: Stored): Stored };

const same = (name: string): TensorView => ({ name, shape: (shape) => shape, change: (stored) => stored });

/** [n,m] -> [m,n] */
const transposed = (name: string): TensorView => ({
  name,
  shape: ([n, m]) => [m, n],
  change({ shape: [n, m], data }) {
    const result = new Float32Array(data.length);
    for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) result[j * n + i] = data[i * m + j];
    return { shape: [m, n], data: result };
  },
});

/** The k-th third of the first axis: query, key or value. */
const third = (name: string, k: number): TensorView => ({
  name,
  shape: ([n, ...rest]) => [n / 3, ...rest],
  change({ shape: [n, ...rest], data }) {
    const size = data.length / 3;
    return { shape: [n / 3, ...rest], data: data.subarray(k * size, (k + 1) * size) };
  },
});

/** Whether the names are those of OpenAI's CLIP or open_clip. */
export const hasOpenaiNames = (names: string[]): boolean =>
  names.some((name) => /(^|\.)visual\.(conv1\.weight|trunk\.|layer1\.)/.test(name));

/** The file under Hugging Face's names. Tensors that CLIP does not have keep their own names. */
export function huggingFaceNames(file: TensorFile): TensorFile {
  const views = new Map<string, TensorView>();
  const fixed = new Map(otherNames);
  for (const name of file.names) {
    const plain = withoutPrefix(name);
    if (notWeights.has(plain.split(".").pop() as string)) continue;
    const block = /^(visual\.)?transformer\.resblocks\.(\d+)\.(.+)$/.exec(plain);
    if (block) {
      const layer = `${block[1] ? "vision" : "text"}_model.encoder.layers.${block[2]}`;
      const inProjection = /^attn\.in_proj_(weight|bias)$/.exec(block[3]);
      if (inProjection) {
        ["q", "k", "v"].forEach((part, k) => {
          views.set(`${layer}.self_attn.${part}_proj.${inProjection[1]}`, third(name, k));
        });
        continue;
      }
      const part = blockNames.find(([openai]) => block[3].startsWith(`${openai}.`));
      views.set(part ? `${layer}.${part[1]}${block[3].slice(part[0].length)}` : name, same(name));
    } else if (plain === "text_projection") views.set("text_projection.weight", transposed(name));
    else if (plain === "text_projection.weight") views.set(plain, same(name));
    else if (plain === "visual.proj") views.set("visual_projection.weight", transposed(name));
    else views.set(fixed.get(plain) ?? name, same(name));
  }
  const view = (name: string): TensorView => {
    const found = views.get(name);
    if (!found) throw new Error(`${file.path}: no tensor "${name}"`);
    return found;
  };
  let last: { name: string; stored: Stored } | undefined; // query, key and value are read from one tensor
  return {
    path: file.path,
    names: [...views.keys()],
    shape: (name) => view(name).shape(file.shape(view(name).name)),
    dtype: (name) => file.dtype(view(name).name),
    read(name) {
      const { name: stored, change } = view(name);
      if (last?.name !== stored) last = { name: stored, stored: file.read(stored) };
      return change(last.stored);
    },
    close: () => file.close(),
  };
}

/**
 * The sizes of OpenAI's checkpoint, which has no config: from the shapes of its tensors, as openai/CLIP model.py's
 * build_model reads them.
 * @throws where the model is a ResNet, or a size does not fit
 */
export function configOfShapes(file: TensorFile): ClipConfig {
  const shape = (name: string): number[] => {
    if (!file.names.includes(name)) throw new Error(`${file.path} holds no CLIP: the tensor of ${name} is missing`);
    return file.shape(name);
  };
  const resNet = file.names.find((name) => name.includes("visual.layer1."));
  if (resNet) throw new Error(`${file.path} is a CLIP whose image encoder is a ResNet ("${resNet}"); wanted is a ViT`);
  const layers = (prefix: string) =>
    file.names.filter((name) => name.startsWith(`${prefix}.encoder.layers.`) && name.endsWith(".layer_norm1.weight"))
      .length;
  const [imageWidth, , patch] = shape("vision_model.embeddings.patch_embedding.weight");
  const [context, textWidth] = shape("text_model.embeddings.position_embedding.weight");
  const [vocabulary] = shape("text_model.embeddings.token_embedding.weight");
  const [embed] = shape("text_projection.weight");
  const side = Math.sqrt(shape("vision_model.embeddings.position_embedding.weight")[0] - 1);
  const tower = (prefix: string, width: number) => ({
    width,
    hidden: shape(`${prefix}.encoder.layers.0.mlp.fc1.weight`)[0],
    layers: layers(prefix),
    heads: Math.floor(width / 64),
    activation: "quick_gelu" as const,
    epsilon: 1e-5,
  });
  if (!Number.isInteger(side) || textWidth % 64 !== 0 || imageWidth % 64 !== 0) {
    throw new Error(
      `${file.path}: widths ${textWidth} and ${imageWidth} and ${side} patches a side are not a ViT of OpenAI's`,
    );
  }
  return {
    embed,
    text: { ...tower("text_model", textWidth), vocabulary, context, endId: vocabulary - 1 },
    image: { ...tower("vision_model", imageWidth), size: side * patch, patch },
  };
}
