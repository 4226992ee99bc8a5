/** Reads JSON files, with errors that name the file and the position in it. */
import fs from "node:fs";

/**
 * The parsed content of a file.
 * @throws an Error with the file's name if it is missing, and with line and column if it is not valid JSON
 */
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
    const offset = jsonErrorOffset(text);
    const linesBefore = text.slice(0, offset).split("\n");
    const found = offset >= text.length ? "the file ends" : `found ${JSON.stringify(text.slice(offset, offset + 12))}`;
    throw new Error(
      `${file}: not valid JSON at line ${linesBefore.length}, column ${linesBefore[linesBefore.length - 1].length + 1}: ${found}`,
    );
  }
}

/**
 * The offset at which a text stops being valid JSON (RFC 8259). JSON.parse reports it only in some versions of Node.
 */
function jsonErrorOffset(text: string): number {
  let offset = 0;
  /** Advances past the token if it matches at the current offset. */
  const accept = (token: RegExp) => {
    token.lastIndex = offset;
    const matches = token.test(text);
    if (matches) offset = token.lastIndex;
    return matches;
  };
  const space = () => accept(/[ \t\r\n]*/y);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them inside strings
  const string = () => accept(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y);
  const scalar = () => string() || accept(/(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/y);
  const members = (close: RegExp, member: () => boolean): boolean => {
    if (space() && accept(close)) return true;
    do if (!member()) return false;
    while (accept(/,/y));
    return accept(close);
  };
  const pair = () => space() && string() && space() && accept(/:/y) && value();
  const value = (): boolean => {
    space();
    const isValid = accept(/\{/y) ? members(/\}/y, pair) : accept(/\[/y) ? members(/\]/y, value) : scalar();
    return isValid && space();
  };
  value();
  return offset;
}
