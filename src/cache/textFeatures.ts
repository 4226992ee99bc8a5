/**
 * Features of texts by the frozen encoder, kept on disk by content: 60 templates of 1,000 class names take minutes to encode on a CPU and
 * a moment to read. A file's name is a hash of all that the numbers depend on: the model's files, the texts, the engine, and the source
 * code of the encoder, so that nothing stale is ever read. Deleting the folder is safe at any time.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { encodeTexts } from "../clip/fast/text";
import type { Clip } from "../clip/model";
import type { Tensor2D } from "../engine/tf";
import { tf } from "../engine/tf";
import { readSafetensors, writeSafetensors } from "../io/safetensors";
import { numericsVersion } from "../util/numerics";

export type TextCache = {
  folder: string;
  /** Seconds of encoding from which a result is kept. */
  worth: number;
  /** Bytes that the folder may hold; what was unused for longest goes first. */
  limit: number;
};

const ownCache: TextCache = { folder: join(".cache", "texts"), worth: 0.5, limit: 2 ** 30 };

/**
 * `encodeTexts`, read from disk where the same was computed before; a damaged file is computed again. A model without fingerprint is
 * not remembered. @returns raw features [C,E] of C texts, which the caller disposes
 */
export function rememberTexts(clip: Clip, texts: string[], cache: TextCache = ownCache): Tensor2D {
  if (!clip.fingerprint) return encodeTexts(clip, texts);
  const parts = [clip.fingerprint, tf.getBackend(), numericsVersion(), JSON.stringify(texts)];
  const file = join(
    cache.folder,
    `${createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 32)}.safetensors`,
  );
  const known = readFeatures(file, [texts.length, clip.embed]);
  if (known) return tf.tensor2d(known, [texts.length, clip.embed]);

  const begun = performance.now();
  const features = encodeTexts(clip, texts);
  const data = features.dataSync() as Float32Array;
  if (performance.now() - begun < 1000 * cache.worth) return features;
  try {
    mkdirSync(cache.folder, { recursive: true });
    writeSafetensors(file, { features: { shape: features.shape, data } }, { sum: checksum(data) });
    makeRoom(cache);
  } catch (error) {
    console.warn(`text features are not kept in ${cache.folder}: ${(error as Error).message}`); // a full disk stops nobody's training
  }
  return features;
}

function readFeatures(file: string, shape: number[]): Float32Array | undefined {
  try {
    const { tensors, metadata } = readSafetensors(file);
    const { features } = tensors;
    if (features.shape.join() !== shape.join() || metadata.sum !== checksum(features.data)) return undefined;
    utimesSync(file, new Date(), new Date()); // used just now
    return features.data;
  } catch {
    return undefined;
  }
}

const checksum = (data: Float32Array): string =>
  createHash("sha256")
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest("hex");

/** Deletes the files unused for longest until the rest fits; another process may be doing the same. */
function makeRoom({ folder, limit }: TextCache): void {
  const files = readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    const found = statSync(path, { throwIfNoEntry: false });
    return found ? [{ path, size: found.size, used: found.mtimeMs }] : [];
  });
  let held = 0;
  for (const { path, size } of files.sort((a, b) => b.used - a.used)) {
    held += size;
    if (held > limit) rmSync(path, { force: true });
  }
}
