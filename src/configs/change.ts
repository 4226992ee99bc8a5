/** Changes settings by `key=value`, and describes and validates them by the schema of a method. */
import { z } from "zod";
import { nearNames, UsageError } from "../util/errors";

type SettingsTree = { [key: string]: unknown };
/** The part of JSON Schema (https://json-schema.org/draft/2020-12) that the settings use. */
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

/** One setting: its dotted key, its meaning, its type and range, and its default value. */
export type SettingRow = { key: string; about: string; range: string; default?: unknown };

/**
 * All settings of a schema. Nested settings have dotted keys such as `lossWeights.text`; the record that contains them
 * is listed before them.
 */
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
  // zod gives integers without a limit the limits +-MAX_SAFE_INTEGER.
  const unlimited = (limit: number | undefined) => limit === undefined || Math.abs(limit) >= Number.MAX_SAFE_INTEGER;
  const low = !unlimited(minimum) ? `from ${minimum}` : !unlimited(exclusiveMinimum) ? `above ${exclusiveMinimum}` : "";
  const high = !unlimited(maximum) ? `to ${maximum}` : !unlimited(exclusiveMaximum) ? `below ${exclusiveMaximum}` : "";
  const typeNames: Record<string, string> = {
    integer: "whole number",
    string: "text",
    array: "list",
    object: "record",
    boolean: "true or false",
  };
  return [typeNames[node.type ?? ""] ?? node.type ?? "", low, high].filter((part) => part !== "").join(" ");
}

/** The dotted keys of settings, those of nested records included. */
export const keysOf = (settings: object, prefix = ""): string[] =>
  Object.entries(settings).flatMap(([key, value]) => {
    if (value === undefined) return [];
    const isRecord = typeof value === "object" && value !== null && !Array.isArray(value);
    return [prefix + key, ...(isRecord ? keysOf(value, `${prefix}${key}.`) : [])];
  });

export const hasSetting = (schema: z.ZodType, key: string): boolean =>
  settingsOf(schema).some((row) => row.key === key);

/** Splits `key=value`. @throws UsageError if the text does not have this form */
export function parseChange(text: string): { key: string; value: string } {
  const separator = text.indexOf("=");
  if (separator < 1) throw new UsageError(`--set "${text}": write key=value, such as --set lr=0.02`);
  return { key: text.slice(0, separator).trim(), value: text.slice(separator + 1).trim() };
}

/**
 * Returns a copy of the settings in which the dotted key has a new value. `text` is parsed as JSON; text that is not
 * valid JSON, and any text for a setting that is a string, is used literally.
 */
export function put(settings: object, key: string, text: string): SettingsTree {
  const [head, ...rest] = key.split(".");
  const record = settings as SettingsTree;
  if (rest.length > 0) return { ...record, [head]: put((record[head] ?? {}) as SettingsTree, rest.join("."), text) };
  const current = record[head];
  if (typeof current === "string") return { ...record, [head]: text };
  try {
    return { ...record, [head]: JSON.parse(text) };
  } catch {
    return { ...record, [head]: text };
  }
}

/** Reports an unknown key. @throws UsageError that names similar settings and all available ones */
export function unknownSetting(key: string, known: string[]): never {
  const near = nearNames(key, known);
  const meant = near.length > 0 ? ` Did you mean ${near.map((name) => `"${name}"`).join(" or ")}?` : "";
  throw new UsageError(`unknown setting "${key}".${meant} There are: ${known.join(", ")}`);
}

/** The errors in the settings, one per line: the key, what was expected, and the actual value. */
export const problems = ({ issues }: z.ZodError, settings: unknown): string =>
  issues
    .map(({ path, message }) => {
      const actual = path.reduce<unknown>((node, key) => (node as SettingsTree | undefined)?.[key as string], settings);
      return `${path.join(".")}: ${message}; the value is ${JSON.stringify(actual)}`;
    })
    .join("\n");
