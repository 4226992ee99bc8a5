/** JSON files that the kit writes and reads again, with a checksum of their content against damage. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { setAside, writeAtomic } from "./atomicWrite";
import { canonical, type Json } from "./json";

const checksumOf = (content: Json): string => createHash("sha256").update(canonical(content)).digest("hex");

export const writeSealedJson = (file: string, content: Json): void =>
  writeAtomic(file, JSON.stringify({ sha256: checksumOf(content), content }));

/**
 * The content of a file of `writeSealedJson`; undefined where there is none. A damaged file is set aside with a warning.
 * @param consequence what happens instead, such as "the pictures are read again"
 */
export function readSealedJson<T extends Json>(file: string, consequence: string): T | undefined {
  if (!existsSync(file)) return undefined;
  try {
    const { sha256, content } = JSON.parse(readFileSync(file, "utf8")) as { sha256: string; content: T };
    if (sha256 !== checksumOf(content)) throw new Error("its checksum does not fit: it is damaged or was changed");
    return content;
  } catch (error) {
    setAside(file, error, consequence);
    return undefined;
  }
}
