import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { identify } from "../../src/io/identify";
import { writeSafetensors } from "../../src/io/safetensors";
import { temporaryFolder } from "../temporary";

const folder = temporaryFolder("identify");

it("a safetensors file whose header has 640 bytes does not pass for a pickle, which begins with the same bytes", () => {
  const file = join(folder, "a.safetensors");
  const empty = Buffer.byteLength(JSON.stringify({ __metadata__: { pad: "" } }));
  writeSafetensors(file, {}, { pad: "x".repeat(640 - empty) });
  expect([...readFileSync(file).subarray(0, 2)]).toEqual([0x80, 0x02]);
  expect(identify(file)).toBe("safetensors");
});
