/** Models are fetched from a server on loopback that answers as the Hub does: with resume, and with hashes that are checked. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { fetchModel } from "../../src/clip/fetchModel";
import { findModel } from "../../src/clip/findModel";
import { temporaryFolder } from "../temporary";

const commit = "0123456789abcdef0123456789abcdef01234567";
const weights = Buffer.alloc(300_000, "weights ");
const contents: Record<string, Buffer> = {
  "config.json": Buffer.from("{}"),
  "tokenizer.json": Buffer.from("{ }"),
  "model.safetensors": weights,
  "pytorch_model.bin": Buffer.from("not wanted"),
  "README.md": Buffer.from("not wanted"),
};
const sha256 = (content: Buffer) => createHash("sha256").update(content).digest("hex");
const gitHash = (content: Buffer) =>
  createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");

let server: Server;
let cache: string;
/** Bytes after which the server breaks off, and whether it damages what it sends. */
let fault: { breakAfter?: number; damage?: boolean } = {};
const requests: string[] = [];

beforeAll(async () => {
  cache = temporaryFolder("hub");
  server = createServer((request, response) => {
    const url = request.url ?? "";
    requests.push(`${url.split("?")[0]} ${request.headers.range ?? ""}`.trim());
    if (url.startsWith("/api/models/org/tiny/revision/")) {
      response.setHeader("Content-Type", "application/json");
      response.end(
        JSON.stringify({
          _id: "1",
          id: "org/tiny",
          sha: commit,
          private: false,
          downloads: 0,
          likes: 0,
          lastModified: "2026-01-01",
        }),
      );
    } else if (url.startsWith(`/api/models/org/tiny/tree/${commit}`)) {
      const tree = Object.entries(contents).map(([path, content]) => {
        const isLarge = content.length > 1000;
        const entry = { type: "file", path, size: content.length, oid: isLarge ? "f".repeat(40) : gitHash(content) };
        return isLarge ? { ...entry, lfs: { oid: sha256(content), size: content.length, pointerSize: 134 } } : entry;
      });
      response.setHeader("Content-Type", "application/json");
      response.end(JSON.stringify(tree));
    } else if (url.startsWith(`/org/tiny/resolve/${commit}/`)) {
      const content = contents[url.split("/").pop() as string];
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
      const rest = Buffer.from(content.subarray(from));
      if (fault.damage) rest[rest.length - 1] ^= 1;
      response.writeHead(from > 0 ? 206 : 200, { "Content-Length": rest.length });
      if (fault.breakAfter === undefined || rest.length < fault.breakAfter) response.end(rest);
      else response.write(rest.subarray(0, fault.breakAfter), () => setTimeout(() => response.destroy(), 50));
    } else {
      response.writeHead(404, { "Content-Type": "application/json" });
      response.end(JSON.stringify({ error: "Repository not found" }));
    }
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  process.env.HF_ENDPOINT = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  process.env.HF_HUB_CACHE = cache;
});
afterAll(async () => {
  delete process.env.HF_ENDPOINT;
  delete process.env.HF_HUB_CACHE;
  await new Promise((closed) => server.close(closed));
});

it("refuses a file that came damaged, and keeps nothing of it", async () => {
  fault = { damage: true };
  await expect(fetchModel("org/tiny")).rejects.toThrow(/came with the hash .*the Hub names/);
  expect(readdirSync(join(cache, "models--org--tiny", "blobs"))).toEqual([]);
});

it("resumes where a download stopped, and finds the model by its name", async () => {
  fault = { breakAfter: 100_000 };
  await expect(fetchModel("org/tiny")).rejects.toThrow(
    /stopped at \d+ of 300000 bytes.*the same command goes on from there/,
  );
  fault = {};
  const seen: number[] = [];
  const folder = await fetchModel("org/tiny", (file, done) => file === "model.safetensors" && seen.push(done));
  expect(requests.filter((request) => request.includes("model.safetensors bytes="))).toHaveLength(1);
  expect(seen[0]).toBeGreaterThan(50_000);
  expect(readFileSync(join(folder, "model.safetensors"))).toEqual(weights);
  expect(readdirSync(folder).sort()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
  expect(findModel("org/tiny")).toBe(folder);
  const before = requests.length;
  expect(await fetchModel("org/tiny")).toBe(folder);
  expect(requests.slice(before).some((request) => request.includes("/resolve/"))).toBe(false);
});

it("says that there is no such model, and that there is no network", async () => {
  await expect(fetchModel("org/nothing")).rejects.toThrow(/has no model org\/nothing, or it needs a login/);
  const endpoint = process.env.HF_ENDPOINT;
  process.env.HF_ENDPOINT = "http://127.0.0.1:9";
  await expect(fetchModel("org/tiny")).rejects.toThrow(/cannot be reached .*where there is a network/);
  process.env.HF_ENDPOINT = endpoint;
  expect(existsSync(cache)).toBe(true);
});
