/** Changing settings by `key=value`, checked by the schema of a method. */
import { z } from "zod";
import { nearNames, UsageError } from "../util/errors";

type SettingsTree = { [key: string]: unknown };
/** A JSON Schema, as far as settings use it (https://json-schema.org/draft/2020-12). */
type JsonSchema = {
  description?: string;
  default?: unknown;
  type?: string;
  enum?: unknown[];
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  exclusiveMaximum?: number;
  properties?: Record<string, JsonSchema>;
  anyOf?: JsonSchema[];
};

/** One setting: its dotted key, what it means, what it may be, and its value where none is given. */
export type SettingRow = { key: string; about: string; range: string; default?: unknown };

/** Every setting of a schema, nested ones by dotted keys such as `lossWeights.text`; a record of settings is listed before its parts. */
export function settingsOf(schema: z.ZodType): SettingRow[] {
  const rows = (node: JsonSchema, prefix: string): SettingRow[] =>
    (node.anyOf ?? [node]).flatMap(({ properties = {} }) =>
      Object.entries(properties).flatMap(([name, inner]) => {
        const row = {
          key: prefix + name,
          about: inner.description ?? "",
          range: rangeOf(inner),
          default: inner.default,
        };
        return [row, ...rows(inner, `${prefix}${name}.`)];
      }),
    );
  return rows(z.toJSONSchema(schema, { io: "input" }) as JsonSchema, "");
}

function rangeOf(node: JsonSchema): string {
  if (node.anyOf) return [...new Set(node.anyOf.map(rangeOf))].join(" or ");
  if (node.enum) return node.enum.map((value) => JSON.stringify(value)).join(", ");
  const { minimum, exclusiveMinimum, maximum, exclusiveMaximum } = node;
  const unlimited = (limit: number | undefined) => limit === undefined || Math.abs(limit) >= Number.MAX_SAFE_INTEGER;
  const low = !unlimited(minimum) ? `from ${minimum}` : !unlimited(exclusiveMinimum) ? `above ${exclusiveMinimum}` : "";
  const high = !unlimited(maximum) ? `to ${maximum}` : !unlimited(exclusiveMaximum) ? `below ${exclusiveMaximum}` : "";
  const kinds: Record<string, string> = {
    integer: "whole number",
    string: "text",
    array: "list",
    object: "record",
    boolean: "true or false",
  };
  return [kinds[node.type ?? ""] ?? node.type ?? "", low, high].filter((part) => part !== "").join(" ");
}

export const hasSetting = (schema: z.ZodType, key: string): boolean =>
  settingsOf(schema).some((row) => row.key === key);

/** `key=value` in two parts. @throws UsageError where it is not of this form */
export function parseChange(text: string): { key: string; value: string } {
  const at = text.indexOf("=");
  if (at < 1) throw new UsageError(`--set "${text}": write key=value, such as --set lr=0.02`);
  return { key: text.slice(0, at).trim(), value: text.slice(at + 1).trim() };
}

/** A copy of the settings in which the dotted key has this value: JSON, or text without quotes where JSON it is not. */
export function put(settings: object, key: string, text: string): SettingsTree {
  const [head, ...rest] = key.split(".");
  const record = settings as SettingsTree;
  if (rest.length > 0) return { ...record, [head]: put((record[head] ?? {}) as SettingsTree, rest.join("."), text) };
  const before = record[head];
  if (typeof before === "string") return { ...record, [head]: text };
  try {
    return { ...record, [head]: JSON.parse(text) };
  } catch {
    return { ...record, [head]: text };
  }
}

/** An unknown key. @throws UsageError naming the near ones and all that there are */
export function unknownSetting(key: string, known: string[]): never {
  const near = nearNames(key, known);
  const meant = near.length > 0 ? ` Did you mean ${near.map((name) => `"${name}"`).join(" or ")}?` : "";
  throw new UsageError(`unknown setting "${key}".${meant} There are: ${known.join(", ")}`);
}

/** What is wrong with settings, a line for each: the key, what was wanted, what came. */
export const problems = ({ issues }: z.ZodError, settings: unknown): string =>
  issues
    .map(({ path, message }) => {
      const came = path.reduce<unknown>((value, key) => (value as SettingsTree | undefined)?.[key as string], settings);
      return `${path.join(".")}: ${message}; it is ${JSON.stringify(came)}`;
    })
    .join("\n");
