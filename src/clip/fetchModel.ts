/**
 * Fetches a model from Hugging Face into the user's cache, in the layout of huggingface_hub, which finds it there too.
 * @huggingface/hub lists the files; they are downloaded here, because a download that was interrupted is to resume where
 * it stopped, and because the content has to have the hash that the Hub names.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { type ListFileEntry, listFiles, modelInfo } from "@huggingface/hub";
import { UsageError } from "../util/errors";
import { huggingFaceCache } from "./findModel";

type FetchProgress = (file: string, done: number, total: number) => void;

/** Small files that belong to a model, and the weights in the order in which they are preferred. */
const small = [
  "config.json",
  "open_clip_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "vocab.json",
  "merges.txt",
  "preprocessor_config.json",
  "processor_config.json",
];
const weights = [
  /^model\.safetensors$/,
  /^model(-\d+-of-\d+\.safetensors|\.safetensors\.index\.json)$/,
  /^open_clip_(pytorch_)?model\.safetensors$/,
  /^pytorch_model\.bin$/,
  /^pytorch_model(-\d+-of-\d+\.bin|\.bin\.index\.json)$/,
  /^open_clip_(pytorch_)?model\.bin$/,
];

/**
 * Downloads what the kit needs of a model.
 * @returns the folder of the snapshot
 * @throws UsageError where there is no such model, no network, or a file has another hash than the Hub names
 */
export async function fetchModel(name: string, progress: FetchProgress = () => {}): Promise<string> {
  const hubUrl = process.env.HF_ENDPOINT || "https://huggingface.co";
  const token = process.env.HF_TOKEN;
  const credentials = token ? { accessToken: token } : {};
  let commit: string;
  const files: ListFileEntry[] = [];
  try {
    const info = await modelInfo({ name, hubUrl, additionalFields: ["sha"], ...credentials });
    commit = info.sha ?? "main";
    for await (const entry of listFiles({ repo: name, revision: commit, hubUrl, ...credentials })) {
      if (entry.type === "file") files.push(entry);
    }
  } catch (error) {
    const { statusCode, message } = error as { statusCode?: number; message: string };
    if (statusCode === 401 || statusCode === 404) {
      throw new UsageError(`${hubUrl} has no model ${name}, or it needs a login (HF_TOKEN)`);
    }
    throw new UsageError(`${hubUrl} cannot be reached (${message}): where there is a network, run this there`);
  }
  const named = new Map(files.map((file) => [file.path, file]));
  const pattern = weights.find((wanted) => [...named.keys()].some((file) => wanted.test(file)));
  if (!pattern)
    throw new UsageError(`${name} has no weights that the kit reads; it holds ${[...named.keys()].join(", ")}`);
  const chosen = files.filter(({ path: file }) => small.includes(file) || pattern.test(file));

  const folder = path.join(huggingFaceCache(), `models--${name.replace("/", "--")}`);
  const snapshot = path.join(folder, "snapshots", commit);
  for (const part of ["blobs", "refs", path.join("snapshots", commit)])
    fs.mkdirSync(path.join(folder, part), { recursive: true });
  for (const file of chosen) {
    const hash = file.lfs?.oid ?? file.oid ?? "";
    if (!/^[0-9a-f]{40,64}$/.test(hash)) throw new UsageError(`${hubUrl} names no hash of ${file.path} of ${name}`);
    const blob = path.join(folder, "blobs", hash);
    if (!fs.existsSync(blob)) {
      const url = `${hubUrl}/${name}/resolve/${commit}/${file.path}`;
      await download(url, blob, file, token, (done) => progress(file.path, done, file.size));
    }
    const link = path.join(snapshot, file.path);
    if (!fs.existsSync(link)) fs.symlinkSync(path.relative(snapshot, blob), link);
  }
  fs.writeFileSync(path.join(folder, "refs", "main"), commit);
  return snapshot;
}

/** Downloads a file, from where an earlier download stopped, and gives it its name when its hash is right. */
async function download(
  url: string,
  blob: string,
  { path: name, size, lfs, oid }: ListFileEntry,
  token: string | undefined,
  progress: (done: number) => void,
): Promise<void> {
  const part = `${blob}.incomplete`;
  let done = fs.statSync(part, { throwIfNoEntry: false })?.size ?? 0;
  if (done > size) fs.rmSync(part);
  if (done > size) done = 0;
  if (done < size) {
    const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {};
    if (done > 0) headers.Range = `bytes=${done}-`;
    const response = await fetch(url, { headers });
    if (!response.ok || !response.body) throw new UsageError(`${url} gives status ${response.status}`);
    if (response.status !== 206) done = 0;
    const file = fs.openSync(part, done > 0 ? "a" : "w");
    try {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        fs.writeSync(file, chunk);
        done += chunk.length;
        progress(done);
      }
    } catch (error) {
      throw new UsageError(
        `the download of ${name} stopped at ${done} of ${size} bytes (${(error as Error).message}); the same command goes on from there`,
      );
    } finally {
      fs.closeSync(file);
    }
    if (done < size) {
      throw new UsageError(
        `the download of ${name} stopped at ${done} of ${size} bytes; the same command goes on from there`,
      );
    }
  }
  const found = lfs ? await sha256(part) : gitHash(part);
  if (found !== (lfs?.oid ?? oid)) {
    fs.rmSync(part);
    throw new UsageError(
      `${name} came with the hash ${found}, the Hub names ${lfs?.oid ?? oid}: it was damaged on the way; try again`,
    );
  }
  fs.renameSync(part, blob);
}

async function sha256(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of fs.createReadStream(file, { highWaterMark: 1 << 22 })) hash.update(chunk);
  return hash.digest("hex");
}

/** The hash that git gives a file's content; small files have no other on the Hub. */
function gitHash(file: string): string {
  const content = fs.readFileSync(file);
  return createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
}
