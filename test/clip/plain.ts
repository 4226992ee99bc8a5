/**
 * The plain way, as the oracle of src/clip: transformers' tensors as they are, all positions of the context, every token in every
 * block, gradients by TensorFlow.js's own tape. Slow and simple on purpose.
 */
import { readConfig } from "../../src/clip/config";
import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tf } from "../../src/engine/tf";
import { readSafetensors } from "../../src/io/safetensors";

export function plainClip(folder: string) {
  const config = readConfig(`${folder}/config.json`);
  const { tensors } = readSafetensors(`${folder}/model.safetensors`);
  const w = (name: string): any => tf.tensor(tensors[name].data, tensors[name].shape);
  const norm = (x: Tensor, name: string, epsilon: number) => {
    const d = tf.sub(x, tf.mean(x, -1, true));
    const unit = tf.div(d, tf.sqrt(tf.add(tf.mean(tf.mul(d, d), -1, true), epsilon)));
    return tf.add(tf.mul(unit, w(`${name}.weight`)), w(`${name}.bias`));
  };
  const linear = (x: Tensor, name: string) => {
    const [a, b, c] = x.shape as number[];
    return tf.reshape(tf.add(tf.matMul(tf.reshape(x, [a * b, c]), w(`${name}.weight`), false, true), w(`${name}.bias`)), [a, b, -1]);
  };
  const blockOf = (x: Tensor3D, layer: string, tower: typeof config.text | typeof config.image, mask?: Tensor) => {
    const [B, T, D] = x.shape;
    const heads = (t: Tensor) => tf.transpose(tf.reshape(t, [B, T, tower.heads, D / tower.heads]), [0, 2, 1, 3]);
    const y = norm(x, `${layer}.layer_norm1`, tower.epsilon);
    const [q, k, v] = ["q", "k", "v"].map((m) => heads(linear(y, `${layer}.self_attn.${m}_proj`)));
    let scores: Tensor = tf.div(tf.matMul(q, k, false, true), Math.sqrt(D / tower.heads));
    if (mask) scores = tf.add(scores, mask);
    const mixed = tf.reshape(tf.transpose(tf.matMul(tf.softmax(scores), v), [0, 2, 1, 3]), [B, T, D]);
    const x1 = tf.add(x, linear(mixed, `${layer}.self_attn.out_proj`));
    const a = linear(norm(x1, `${layer}.layer_norm2`, tower.epsilon), `${layer}.mlp.fc1`);
    const hidden =
      tower.activation === "gelu"
        ? tf.mul(tf.mul(a, 0.5), tf.add(1, tf.erf(tf.div(a, Math.SQRT2))))
        : tf.mul(a, tf.sigmoid(tf.mul(a, 1.702)));
    return tf.add(x1, linear(hidden, `${layer}.mlp.fc2`)) as Tensor3D;
  };
  const repeat = (p: Tensor2D, n: number) => tf.stack(new Array(n).fill(p)) as Tensor3D;
  const part = (x: Tensor3D, from: number, count: number) => tf.slice(x, [0, from, 0], [-1, count, -1]);

  /** ids [C][<= context], raw features [C,E]. */
  const text = (ids: number[][], prompts: Tensor2D[]): Tensor2D => {
    const { context: T, width: D, layers } = config.text;
    const C = ids.length;
    const padded = ids.flatMap((row) => [...row, ...new Array(T - row.length).fill(0)]);
    let x = tf.reshape(tf.gather(w("text_model.embeddings.token_embedding.weight"), tf.tensor1d(padded, "int32")), [C, T, D]) as Tensor3D;
    const enter = (set: Tensor2D) => {
      const P = set.shape[0];
      x = tf.concat([part(x, 0, 1), repeat(set, C), part(x, 1 + P, T - 1 - P)], 1);
    };
    if (prompts.length) enter(prompts[0]);
    x = tf.add(x, w("text_model.embeddings.position_embedding.weight"));
    const mask = tf.tensor2d(
      Float32Array.from({ length: T * T }, (_, i) => (i % T > Math.floor(i / T) ? -1e9 : 0)),
      [T, T],
    );
    for (let i = 0; i < layers; i++) {
      if (i > 0 && i < prompts.length) enter(prompts[i]);
      x = blockOf(x, `text_model.encoder.layers.${i}`, config.text, mask);
    }
    const y = norm(x, "text_model.final_layer_norm", config.text.epsilon);
    const ends = ids.map((row, c) => tf.reshape(tf.slice(y as Tensor3D, [c, row.indexOf(Math.max(...row)), 0], [1, 1, -1]), [D]));
    return tf.matMul(tf.stack(ends) as Tensor2D, w("text_projection.weight"), false, true);
  };

  /** pixels [B,3,R,R], raw features [B,E]. */
  const image = (pixels: Tensor4D, prompts: Tensor2D[]): Tensor2D => {
    const { width: D, layers, patch } = config.image;
    const B = pixels.shape[0];
    const kernel = tf.transpose(w("vision_model.embeddings.patch_embedding.weight"), [2, 3, 1, 0]) as Tensor4D;
    const patches = tf.conv2d(tf.transpose(pixels, [0, 2, 3, 1]) as Tensor4D, kernel, patch, "valid");
    const cls = repeat(tf.reshape(w("vision_model.embeddings.class_embedding"), [1, D]), B);
    let x = tf.add(
      tf.concat([cls, tf.reshape(patches, [B, -1, D])], 1),
      w("vision_model.embeddings.position_embedding.weight"),
    ) as Tensor3D;
    const N = x.shape[1];
    if (prompts.length) x = tf.concat([x, repeat(prompts[0], B)], 1);
    x = norm(x, "vision_model.pre_layrnorm", config.image.epsilon) as Tensor3D;
    for (let i = 0; i < layers; i++) {
      if (i > 0 && i < prompts.length) x = tf.concat([part(x, 0, N), repeat(prompts[i], B)], 1);
      x = blockOf(x, `vision_model.encoder.layers.${i}`, config.image);
    }
    const first = norm(tf.reshape(part(x, 0, 1), [B, D]), "vision_model.post_layernorm", config.image.epsilon);
    return tf.matMul(first as Tensor2D, w("visual_projection.weight"), false, true);
  };
  return { text, image, config };
}
