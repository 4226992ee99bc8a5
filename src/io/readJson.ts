/** Reads JSON files, with errors that name the file and the position in it. */
import fs from "node:fs";

/** A value that is nested deeper is refused: readers call themselves for what is inside of it. */
const deepest = 200;

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
    const content = JSON.parse(text);
    if (depthOf(text) <= deepest) return content;
  } catch {
    const offset = jsonErrorOffset(text);
    const linesBefore = text.slice(0, offset).split("\n");
    const found = offset >= text.length ? "the file ends" : `found ${JSON.stringify(text.slice(offset, offset + 12))}`;
    throw new Error(
      `${file}: not valid JSON at line ${linesBefore.length}, column ${linesBefore[linesBefore.length - 1].length + 1}: ${found}`,
    );
  }
  throw new Error(`${file}: lists and records are nested more than ${deepest} deep`);
}

/** How deep lists and records are nested in valid JSON. */
function depthOf(text: string): number {
  let [depth, largest, inString] = [0, 0, false];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) inString = !inString;
    else if (inString) i += code === 0x5c ? 1 : 0;
    else if (code === 0x5b || code === 0x7b) largest = Math.max(largest, ++depth);
    else if (code === 0x5d || code === 0x7d) depth--;
  }
  return largest;
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
  const string = () => accept(/"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y);
  const scalar = () => string() || accept(/(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/y);
  const key = () => space() && string() && space() && accept(/:/y);
  /** What closes the lists and records that are open. */
  const closers: RegExp[] = [];
  const record = /\}/y;
  const list = /\]/y;
  for (;;) {
    space();
    const opened = accept(/\{/y) ? record : accept(/\[/y) ? list : undefined;
    if (opened) {
      space();
      if (!accept(opened)) {
        closers.push(opened);
        if (opened === record && !key()) return offset;
        continue;
      }
    } else if (!scalar()) return offset;
    // A value has ended.
    while (space()) {
      const closer = closers[closers.length - 1];
      if (closer === undefined) return offset;
      if (accept(/,/y)) {
        if (closer === record && !key()) return offset;
        break;
      }
      if (!accept(closer)) return offset;
      closers.pop();
    }
  }
}
