/**
 * An in-memory cache of the frozen image encoder's features, keyed by the content of the pixels. The pictures and crops
 * of a training depend only on its seed, so all methods and all variants of an ablation see the same batches. Methods
 * that prompt only the text tower also see the same test pictures. The frozen features of a batch are therefore
 * computed once and reused; the numbers do not change. On a GPU nothing is cached: reading features back makes the host
 * wait for all that the device has to do, in each step, and the frozen pass is short there.
 */
import { createHash } from "node:crypto";
import type { Clip } from "../clip/model";
import type { Tensor2D, Tensor4D } from "../engine/tf";
import { tf, usesGpu } from "../engine/tf";
import { assertFinite, pictureName } from "../util/finite";

/** Features by content, in order of last use: the least recently used entry is first. */
const cachedFeatures = new Map<string, Float32Array>();
/** For comparison: 500 classes with 16 pictures each, 20 epochs and 512 dimensions need 330 MB. */
const maxBytes = 512 * 2 ** 20;
let cachedBytes = 0;

/**
 * The features of these pixels: from the cache, or computed by `encode` and then cached. Features of a model without a
 * fingerprint are not cached, and none on a GPU.
 * @param encode computes the features [B,E]; the caller frees its tensors
 * @throws an Error that names a picture of the batch whose features are not finite, where they are cached
 */
export function rememberImages(clip: Clip, pixels: Tensor4D, encode: () => Tensor2D): Tensor2D {
  if (!clip.fingerprint || usesGpu()) return encode();
  const key = `${clip.fingerprint} ${tf.getBackend()} ${pixelHash(pixels.dataSync() as Float32Array)}`;
  const cached = cachedFeatures.get(key);
  if (cached) {
    cachedFeatures.delete(key); // setting it again makes it the most recently used entry
    cachedFeatures.set(key, cached);
    return tf.tensor2d(cached, [pixels.shape[0], clip.embed]);
  }
  const features = encode();
  const data = features.dataSync().slice() as Float32Array;
  assertFinite(data, pixels.shape[0], pictureName);
  cachedFeatures.set(key, data);
  cachedBytes += data.byteLength;
  for (const [leastRecentlyUsed, { byteLength }] of cachedFeatures) {
    if (cachedBytes <= maxBytes) break;
    cachedFeatures.delete(leastRecentlyUsed);
    cachedBytes -= byteLength;
  }
  return features;
}

/** Empties the cache. */
export function forgetImages(): void {
  cachedFeatures.clear();
  cachedBytes = 0;
}

const pixelHash = (data: Float32Array): string =>
  createHash("sha256")
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest("base64");
