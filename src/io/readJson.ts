/** Reading JSON files with errors that say which file and where in it. */
import fs from "node:fs";

/** The parsed content of a file. Throws with the file's name if it is missing, and with line and column if it is not JSON. */
export function readJson(file: string): any {
  let text: string;
  try {
    text = fs.readFileSync(file, "utf8").replace(/^\ufeff/, "");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(code === "ENOENT" ? `${file}: there is no such file` : `${file}: cannot be read (${message})`);
  }
  try {
    return JSON.parse(text);
  } catch {
    const at = jsonError(text);
    const before = text.slice(0, at).split("\n");
    const found = at >= text.length ? "the file ends" : `found ${JSON.stringify(text.slice(at, at + 12))}`;
    throw new Error(
      `${file}: not valid JSON at line ${before.length}, column ${before[before.length - 1].length + 1}: ${found}`,
    );
  }
}

/** Offset at which a text stops being JSON (RFC 8259); JSON.parse's own messages give it in some versions of Node only. */
function jsonError(text: string): number {
  let at = 0;
  const eat = (token: RegExp) => {
    token.lastIndex = at;
    const found = token.test(text);
    if (found) at = token.lastIndex;
    return found;
  };
  const space = () => eat(/[ \t\r\n]*/y);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them inside strings
  const string = () => eat(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y);
  const scalar = () => string() || eat(/(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/y);
  const members = (close: RegExp, member: () => boolean): boolean => {
    if (space() && eat(close)) return true;
    do if (!member()) return false;
    while (eat(/,/y));
    return eat(close);
  };
  const pair = () => space() && string() && space() && eat(/:/y) && value();
  const value = (): boolean => {
    space();
    const known = eat(/\{/y) ? members(/\}/y, pair) : eat(/\[/y) ? members(/\]/y, value) : scalar();
    return known && space();
  };
  value();
  return at;
}
