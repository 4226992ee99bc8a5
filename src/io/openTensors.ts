/** Opens a file of tensors whatever its format, or the shards of one that was split. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { UsageError } from "../util/errors";
import { identify, kindWords } from "./identify";
import { readJson } from "./readJson";
import { openSafetensors } from "./safetensors";
import type { TensorFile } from "./tensors";
import { openTorch } from "./torchFile";

/** @throws naming what the file is, where it holds no tensors that can be read */
export function openTensors(path: string): TensorFile {
  const kind = identify(path);
  if (kind === "torch") return openTorch(path);
  if (kind === "safetensors") return openSafetensors(path);
  if (kind === "missing") throw new UsageError(`${path} is not there`);
  throw new UsageError(`${path} is ${kindWords[kind]}; wanted is a safetensors file, or one of torch.save`);
}

/**
 * Opens the shards that an index file lists (`model.safetensors.index.json`, `pytorch_model.bin.index.json`).
 * @throws naming the shards that are missing, and tensors that are not where the index says
 */
export function openSharded(index: string): TensorFile {
  const places = readJson(index)?.weight_map;
  if (typeof places !== "object" || places === null) throw new Error(`${index} has no "weight_map"`);
  const shardOf = new Map(Object.entries(places as Record<string, string>));
  const shards = [...new Set(shardOf.values())];
  const outside = shards.find((name) => typeof name !== "string" || /[\\/]/.test(name));
  if (outside !== undefined) throw new Error(`${index}: the shard ${JSON.stringify(outside)} is no file beside it`);
  const missing = shards.filter((name) => !existsSync(join(dirname(index), name)));
  if (missing.length > 0)
    throw new Error(`${index}: ${missing.length} of ${shards.length} shards are missing: ${missing.join(", ")}`);
  const open = new Map<string, TensorFile>();
  const close = () => {
    for (const file of open.values()) file.close();
  };
  try {
    for (const name of shards) open.set(name, openTensors(join(dirname(index), name)));
    for (const [tensor, shard] of shardOf) {
      if (!open.get(shard)?.names.includes(tensor)) throw new Error(`${index}: ${shard} has no tensor "${tensor}"`);
    }
  } catch (error) {
    close();
    throw error;
  }
  const fileOf = (name: string): TensorFile => {
    const file = open.get(shardOf.get(name) ?? "");
    if (!file) throw new Error(`${index}: no tensor "${name}"`);
    return file;
  };
  return {
    path: index,
    names: [...shardOf.keys()],
    shape: (name) => fileOf(name).shape(name),
    dtype: (name) => fileOf(name).dtype(name),
    read: (name) => fileOf(name).read(name),
    close,
  };
}
