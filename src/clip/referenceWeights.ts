/**
 * The weights of the reference encoder: nested records with the names and shapes of the checkpoint, so
 * `text_model.encoder.layers.0.mlp.fc1` is found under these names. They are read when a method first asks for them,
 * and stay until `disposeClip`.
 * Shapes: D width, E joint embedding.
 */
import { type Tensor1D, type Tensor2D, type Tensor4D, tf } from "../engine/tf";
import type { TensorFile } from "../io/tensors";
import type { ClipConfig } from "./config";
import type { Clip } from "./model";
import { openModel } from "./modelFiles";

/** weight [out,in], as torch stores it, and bias [out]; the two projections to the joint embedding have no bias. */
export type Linear = { weight: Tensor2D; bias?: Tensor1D };

/** weight [D], bias [D], and the number that is added to the variance. */
export type LayerNorm = { weight: Tensor1D; bias: Tensor1D; epsilon: number };

export type Attention = { q_proj: Linear; k_proj: Linear; v_proj: Linear; out_proj: Linear; heads: number };
export type Mlp = { fc1: Linear; fc2: Linear; activation: ClipConfig["text"]["activation"] };
export type Block = { layer_norm1: LayerNorm; self_attn: Attention; layer_norm2: LayerNorm; mlp: Mlp };

type Embedding = { weight: Tensor2D };

type ReferenceWeights = {
  text_model: {
    /** [vocabulary,D] and [context,D]. */
    embeddings: { token_embedding: Embedding; position_embedding: Embedding };
    encoder: { layers: Block[] };
    final_layer_norm: LayerNorm;
  };
  /** [E,D] */
  text_projection: Linear;
  vision_model: {
    /** CLS [D], patches [D,3,size,size], positions [N,D]. */
    embeddings: { class_embedding: Tensor1D; patch_embedding: { weight: Tensor4D }; position_embedding: Embedding };
    /** The spelling is the checkpoint's. */
    pre_layrnorm: LayerNorm;
    encoder: { layers: Block[] };
    post_layernorm: LayerNorm;
  };
  /** [E,D] */
  visual_projection: Linear;
};

const loaded = new WeakMap<Clip, ReferenceWeights>();

/**
 * The weights of a model, read from its folder at the first call: they take as much memory again as the model.
 * @throws where the folder's files are no longer there or can no longer be read.
 */
export function referenceWeights(clip: Clip): ReferenceWeights {
  const known = loaded.get(clip);
  if (known) return known;
  const { config, weights: file } = openModel(clip.path);
  const weights = nested(file);
  addSettings(weights.text_model, config.text);
  addSettings(weights.vision_model, config.image);
  loaded.set(clip, weights);
  return weights;
}

/** Frees the weights of a model, if they were read. */
export function disposeReferenceWeights(clip: Clip): void {
  tf.dispose(loaded.get(clip) as any);
  loaded.delete(clip);
}

/** All tensors of a file, nested by the dots of their names; numbers make lists. They outlive a surrounding tf.tidy. */
function nested(file: TensorFile): any {
  const root: any = {};
  try {
    for (const name of file.names) {
      const keys = name.split(".");
      let at = root;
      keys.slice(0, -1).forEach((key, i) => {
        at[key] ??= /^\d+$/.test(keys[i + 1]) ? [] : {};
        at = at[key];
      });
      const { data, shape } = file.read(name);
      at[keys[keys.length - 1]] = tf.keep(tf.tensor(data, shape));
    }
  } finally {
    file.close();
  }
  return root;
}

/** Adds what config.json says of a tower to the records that use it. */
function addSettings(tower: any, { heads, activation, epsilon }: ClipConfig["text" | "image"]): void {
  const norms = [tower.pre_layrnorm, tower.post_layernorm, tower.final_layer_norm].filter((norm) => norm);
  for (const p of tower.encoder.layers) {
    p.self_attn.heads = heads;
    p.mlp.activation = activation;
    norms.push(p.layer_norm1, p.layer_norm2);
  }
  for (const norm of norms) norm.epsilon = epsilon;
}
