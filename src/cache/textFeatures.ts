/**
 * A cache on disk of the frozen text encoder's features: encoding 60 templates for 1,000 class names takes minutes on a
 * CPU, reading the features back takes a moment. A file is named by a hash of everything that the numbers depend on
 * (the model's files, the texts, the engine, and the source code of the encoder), so outdated features are never read.
 * The folder can be deleted at any time.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { encodeTexts } from "../clip/fast/text";
import type { Clip } from "../clip/model";
import { precision } from "../engine/gpu";
import type { Tensor2D } from "../engine/tf";
import { tf } from "../engine/tf";
import { setAside } from "../io/atomicWrite";
import { readSealed, writeSealed } from "../io/safetensors";
import { assertFinite } from "../util/finite";
import { numericsVersion } from "../util/numerics";

export type TextCache = {
  folder: string;
  /** Features are stored only if encoding them took at least this many seconds. */
  worth: number;
  /** Maximum size of the folder in bytes; the least recently used files are deleted first. */
  limit: number;
};

const defaultCache: TextCache = { folder: join(".cache", "texts"), worth: 0.5, limit: 2 ** 30 };

/**
 * Like `encodeTexts`, but reads the features from disk if they were computed before. A damaged file is set aside, and
 * its features are computed again. Features of a model without a fingerprint are not cached.
 * @returns features [C,E] of C texts, not normalised, which the caller disposes
 * @throws an Error that names a text whose features are not finite
 */
export function rememberTexts(clip: Clip, texts: string[], cache: TextCache = defaultCache): Tensor2D {
  if (!clip.fingerprint) return finiteTexts(clip, texts);
  const parts = [clip.fingerprint, tf.getBackend(), precision() ?? "", numericsVersion(), JSON.stringify(texts)];
  const file = join(
    cache.folder,
    `${createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 32)}.safetensors`,
  );
  const cachedFeatures = readFeatures(file, [texts.length, clip.embed]);
  if (cachedFeatures) return tf.tensor2d(cachedFeatures, [texts.length, clip.embed]);

  const startTime = performance.now();
  const features = finiteTexts(clip, texts);
  const data = features.dataSync() as Float32Array;
  if (performance.now() - startTime < 1000 * cache.worth) return features;
  try {
    mkdirSync(cache.folder, { recursive: true });
    writeSealed(file, { features: { shape: features.shape, data } }, {});
    deleteLeastRecentlyUsed(cache);
  } catch (error) {
    // A full disk must not stop a training.
    console.warn(`text features could not be cached in ${cache.folder}: ${(error as Error).message}`);
  }
  return features;
}

/** @throws an Error that names the first text whose features are not finite */
function finiteTexts(clip: Clip, texts: string[]): Tensor2D {
  const features = encodeTexts(clip, texts);
  try {
    assertFinite(features.dataSync(), texts.length, (row) => `"${texts[row]}"`);
  } catch (error) {
    features.dispose();
    throw error;
  }
  return features;
}

function readFeatures(file: string, shape: number[]): Float32Array | undefined {
  if (!existsSync(file)) return undefined;
  try {
    const { features } = readSealed(file).tensors;
    if (features.shape.join() !== shape.join()) return undefined;
    utimesSync(file, new Date(), new Date()); // marks the file as recently used
    return features.data;
  } catch (error) {
    setAside(file, error, "the texts are encoded again");
    return undefined;
  }
}

/**
 * Deletes the least recently used files until the rest is within the limit. Other processes may do so at the same time.
 */
function deleteLeastRecentlyUsed({ folder, limit }: TextCache): void {
  const files = readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    const stats = statSync(path, { throwIfNoEntry: false });
    return stats ? [{ path, size: stats.size, lastUse: stats.mtimeMs }] : [];
  });
  let totalBytes = 0;
  for (const { path, size } of files.sort((a, b) => b.lastUse - a.lastUse)) {
    totalBytes += size;
    if (totalBytes > limit) rmSync(path, { force: true });
  }
}
