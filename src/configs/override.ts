/** `key=value` settings on top of a config record, checked against what the record holds. */
import { nearNames, UsageError } from "../util/errors";

type Settings = { [key: string]: unknown };

const isRecord = (value: unknown): value is Settings => typeof value === "object" && value !== null && !Array.isArray(value);

/** All dotted keys of a record, such as `gpa.mean`; a nested record is listed too, as it may be switched off by `null`. */
export const keysOf = (settings: Settings, prefix = ""): string[] =>
  Object.entries(settings).flatMap(([key, value]) => [`${prefix}${key}`, ...(isRecord(value) ? keysOf(value, `${prefix}${key}.`) : [])]);

const kindOf = (value: unknown): string =>
  value === null ? "null" : Array.isArray(value) ? "list" : isRecord(value) ? "record" : typeof value;

function parse(text: string, like: unknown, key: string): unknown {
  if (typeof like === "string") return text;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = text;
  }
  // A record or null may become either: `gpa=null`, `gpa={"mean":15,"std":1}`.
  const optional = isRecord(like) || like === null;
  const fits = optional ? value === null || isRecord(value) : kindOf(value) === kindOf(like);
  if (!fits) throw new UsageError(`--set ${key}: expected a ${kindOf(like)} such as ${JSON.stringify(like)}, came ${text}`);
  return value;
}

/**
 * A copy of the record with `key=value` put in; keys are dotted, values are JSON (text needs no quotes). `optional` holds settings that
 * the record may lack: a plain one is put in; of a record that is lacking or switched off, all is left as it is.
 * @throws UsageError for an unknown key, naming the near ones, and for a value of another type
 */
export function override<T extends object>(config: T, setting: string, optional: Partial<T> = {}): T {
  const at = setting.indexOf("=");
  if (at < 1) throw new UsageError(`--set "${setting}": write key=value, such as --set lr=0.02`);
  const [key, text] = [setting.slice(0, at).trim(), setting.slice(at + 1).trim()];
  const [own, other] = [config as Settings, optional as Settings];
  const keys = [...new Set([...keysOf(own), ...keysOf(other)])];
  if (!keys.includes(key)) {
    const near = nearNames(key, keys);
    throw new UsageError(
      `unknown setting "${key}".${near.length > 0 ? ` Did you mean ${near.map((n) => `"${n}"`).join(" or ")}?` : ""} There are: ${keys.join(", ")}`,
    );
  }
  const put = (record: Settings, like: Settings, [head, ...rest]: string[]): Settings => {
    const example = record[head] ?? like[head];
    if (rest.length === 0) return { ...record, [head]: parse(text, example, key) };
    const next = (like[head] ?? {}) as Settings;
    return isRecord(record[head]) ? { ...record, [head]: put(record[head] as Settings, next, rest) } : record;
  };
  const path = key.split(".");
  const lacking = !(path[0] in own) && isRecord(other[path[0]]);
  return (lacking ? own : put(own, other, path)) as T;
}
