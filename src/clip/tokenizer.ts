/**
 * CLIP's byte-pair tokenizer from a Hugging Face tokenizer.json, which also holds its normaliser (white space, lower
 * case).
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";

export type Tokenizer = {
  /** Ids with start and end token, not padded. */
  encode(text: string): number[];
  /** Position of the token whose feature stands for the text: the end token. */
  end(ids: number[]): number;
};

/**
 * Reads tokenizer.json of a model folder (and tokenizer_config.json, if there is one).
 * @param endId the model's eos_token_id. Models with the old value 2 and ids without that token take the largest id, as the
 *   official code does for all (`text.argmax(dim=-1)`): CLIP's end token is the last of the vocabulary.
 * @throws when a file is missing or not JSON.
 */
export function loadTokenizer(folder: string, endId?: number): Tokenizer {
  const read = (name: string, otherwise?: object): object => {
    const path = join(folder, name);
    try {
      return JSON.parse(readFileSync(path, "utf8"));
    } catch (error) {
      if (otherwise && (error as NodeJS.ErrnoException).code === "ENOENT") return otherwise;
      throw new Error(`${path} cannot be read as a tokenizer: ${(error as Error).message}`);
    }
  };
  const tokenizer = new HuggingFaceTokenizer(read("tokenizer.json"), read("tokenizer_config.json", {}));
  return {
    encode: (text) => tokenizer.encode(text).ids,
    end: (ids) => {
      const first = endId === undefined || endId === 2 ? -1 : ids.indexOf(endId);
      return first >= 0 ? first : ids.indexOf(Math.max(...ids));
    },
  };
}
