/**
 * What CLIP's own tokenizer does to a text before it looks for tokens (openai/CLIP clip/simple_tokenizer.py,
 * basic_clean): ftfy.fix_text, HTML entities unescaped twice. A tokenizer.json of Hugging Face leaves this out, so that
 * curly quotes, ligatures and `&amp;` in class names would give other tokens. Of ftfy (6.3, ftfy/fixes.py) all fixes
 * are here but one: text that was decoded with the wrong encoding ("mojibake") stays as it is.
 */
import { decodeHTML } from "entities";

/** ftfy/chardata.py, LIGATURES. */
const ligatures: Record<string, string> = {
  "\u0132": "IJ",
  "\u0133": "ij",
  "\u0149": "\u02bcn",
  "\u01c4": "D\u017d",
  "\u01c5": "D\u017e",
  "\u01c6": "d\u017e",
  "\u01c7": "LJ",
  "\u01c8": "Lj",
  "\u01c9": "lj",
  "\u01ca": "NJ",
  "\u01cb": "Nj",
  "\u01cc": "nj",
  "\u01f1": "DZ",
  "\u01f2": "Dz",
  "\u01f3": "dz",
  "\ufb00": "ff",
  "\ufb01": "fi",
  "\ufb02": "fl",
  "\ufb03": "ffi",
  "\ufb04": "ffl",
  "\ufb05": "\u017ft",
  "\ufb06": "st",
};

const ligature = new RegExp(`[${Object.keys(ligatures).join("")}]`, "g");
/** Wide letters and digits, and halfwidth katakana. */
const otherWidth = /[\uff01-\uffef]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that are removed
const control = /[\u0000-\u0008\u000b\u000e-\u001f\u007f\u206a-\u206f\ufeff\ufff9-\ufffc]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: terminal escapes begin with one
const terminalEscape = /\u001b\[((?:\d|;)*)([a-zA-Z])/g;

/** @returns the text as CLIP's tokenizer sees it, without white space at its ends */
export function cleanText(text: string): string {
  const unescaped = text.includes("<") ? text : decodeHTML(text);
  const fixed = unescaped
    .replace(terminalEscape, "")
    .replace(ligature, (letter) => ligatures[letter])
    .replaceAll("\u3000", " ")
    .replace(otherWidth, (letter) => letter.normalize("NFKC"))
    .replace(/[\u02bc\u2018-\u201b]/g, "'")
    .replace(/[\u201c-\u201f]/g, '"')
    .replace(/\r\n|\r|\u2028|\u2029|\u0085/g, "\n")
    .replace(control, "")
    .normalize("NFC");
  return decodeHTML(decodeHTML(fixed)).trim();
}
