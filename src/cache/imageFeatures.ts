/**
 * Frozen features of pictures, remembered in memory by what the pixels are. Pictures and crops of a training depend on its seed alone, so
 * all methods and all variants of an ablation meet the same batches, and those that prompt only the text tower meet the same test
 * pictures: what the frozen encoder made of them once serves all. Numbers do not change.
 */
import { createHash } from "node:crypto";
import type { Clip } from "../clip/model";
import type { Tensor2D, Tensor4D } from "../engine/tf";
import { tf } from "../engine/tf";

/** Features by content; what was unused for longest is first. */
const known = new Map<string, Float32Array>();
/** 500 classes with 16 pictures, 20 epochs, 512 dimensions are 330 MB. */
const limit = 512 * 2 ** 20;
let held = 0;

/**
 * What `encode` makes of these pixels, or made of them before. A model without fingerprint is not remembered.
 * @param encode gives [B,E]; whatever it computes on the way is the caller's to free.
 */
export function rememberImages(clip: Clip, pixels: Tensor4D, encode: () => Tensor2D): Tensor2D {
  if (!clip.fingerprint) return encode();
  const key = `${clip.fingerprint} ${tf.getBackend()} ${hashOf(pixels.dataSync() as Float32Array)}`;
  const before = known.get(key);
  if (before) {
    known.delete(key);
    known.set(key, before);
    return tf.tensor2d(before, [pixels.shape[0], clip.embed]);
  }
  const features = encode();
  const data = features.dataSync().slice() as Float32Array;
  known.set(key, data);
  held += data.byteLength;
  for (const [oldest, { byteLength }] of known) {
    if (held <= limit) break;
    known.delete(oldest);
    held -= byteLength;
  }
  return features;
}

/** Forgets all features. */
export function forgetImages(): void {
  known.clear();
  held = 0;
}

const hashOf = (data: Float32Array): string =>
  createHash("sha256")
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest("base64");
