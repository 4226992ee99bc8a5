/** Class names as CLIP's own tokenizer cleans them: ids of openai/CLIP simple_tokenizer.py with ftfy 6.3. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { tokenise } from "../../src/clip/fast/suffixes";
import type { TextTower } from "../../src/clip/model";
import { loadTokenizer } from "../../src/clip/tokenizer";

const tokenizer = loadTokenizer("weights/clip-bpe", 49407);
const text = { context: 77 } as TextTower;
const cases: { text: string; ids: number[] }[] = JSON.parse(readFileSync("test/clip/cleaned.json", "utf8"));

test.each(cases)("ids of $text", ({ text: words, ids }) => {
  expect(tokenise({ tokenizer, text }, words)).toEqual(ids);
});
