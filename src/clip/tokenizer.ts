/**
 * CLIP's byte-pair tokenizer, from a Hugging Face tokenizer.json, which also holds its normaliser (white space, lower
 * case), or from vocab.json and merges.txt.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { readJson } from "../io/readJson";

export type Tokenizer = {
  /** Ids with start and end token, not padded. */
  encode(text: string): number[];
  /** Position of the token whose feature stands for the text: the end token. */
  end(ids: number[]): number;
};

/**
 * Reads the tokenizer of a model folder: tokenizer.json (and tokenizer_config.json, if there is one), or vocab.json and
 * merges.txt.
 * @param endId the model's eos_token_id. Models with the old value 2, and ids without that token, take the largest id,
 *   as the official code does for all (`text.argmax(dim=-1)`): CLIP's end token is the last of the vocabulary.
 * @throws when a file is missing or not JSON
 */
export function loadTokenizer(folder: string, endId?: number): Tokenizer {
  const whole = join(folder, "tokenizer.json");
  const settings = join(folder, "tokenizer_config.json");
  const isWhole = existsSync(whole) || !existsSync(join(folder, "vocab.json"));
  const json = isWhole ? readJson(whole) : fromVocabulary(folder);
  const tokenizer = opened(isWhole ? whole : join(folder, "vocab.json"), json, settings);
  return {
    encode: (text) => tokenizer.encode(text).ids,
    end: (ids) => {
      const first = endId === undefined || endId === 2 ? -1 : ids.indexOf(endId);
      return first >= 0 ? first : ids.indexOf(Math.max(...ids));
    },
  };
}

/** @throws naming the file where the library cannot use what it holds, which it finds out at the first text at the latest */
function opened(file: string, json: any, settings: string): HuggingFaceTokenizer {
  const config = existsSync(settings) ? readJson(settings) : {};
  let reason = "the ids of its tokens are no whole numbers";
  try {
    const tokenizer = new HuggingFaceTokenizer(json, config);
    const { ids } = tokenizer.encode("a photo of a cat, or of 2 dogs.");
    if (ids.length > 0 && ids.every((id: unknown) => Number.isSafeInteger(id) && (id as number) >= 0)) return tokenizer;
  } catch (error) {
    reason = (error as Error).message.slice(0, 200);
  }
  throw new Error(`${file} is not a tokenizer that can be read here (${reason}). Fetch it again`);
}

const [startToken, endToken] = ["<|startoftext|>", "<|endoftext|>"];

/**
 * A tokenizer.json made of vocab.json and merges.txt, as transformers' CLIPConverter makes it
 * (transformers/convert_slow_tokenizer.py).
 */
function fromVocabulary(folder: string): object {
  const vocab: Record<string, number> | null = readJson(join(folder, "vocab.json"));
  const path = join(folder, "merges.txt");
  const lines = readFileSync(path, "utf8").split(/\r?\n/);
  const merges = lines.filter((line) => line !== "" && !line.startsWith("#version")).map((line) => line.split(" "));
  const wrong = merges.find((pair) => pair.length !== 2);
  if (wrong) throw new Error(`${path}: a merge should be two tokens; one line is "${wrong.join(" ")}"`);
  const [start, end] = [startToken, endToken].map((token) => {
    if (!Number.isInteger(vocab?.[token])) throw new Error(`${join(folder, "vocab.json")} has no token "${token}"`);
    return vocab?.[token];
  });
  const special = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [
      { id: start, content: startToken, ...special },
      { id: end, content: endToken, ...special },
    ],
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "NFC" },
        { type: "Replace", pattern: { Regex: "\\s+" }, content: " " },
        { type: "Lowercase" },
      ],
    },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        {
          type: "Split",
          pattern: {
            Regex:
              "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
          },
          behavior: "Removed",
          invert: true,
        },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: {
      type: "RobertaProcessing",
      sep: [endToken, end],
      cls: [startToken, start],
      trim_offsets: false,
      add_prefix_space: false,
    },
    decoder: null,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: endToken,
      continuing_subword_prefix: "",
      end_of_word_suffix: "</w>",
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges,
    },
  };
}
