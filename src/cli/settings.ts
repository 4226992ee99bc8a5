/**
 * `npm run promptsrc -- settings [method]`, and the table of docs/settings.md: both are made of the methods' own
 * schemas.
 */
import { type SettingRow, settingsOf } from "../configs/change";
import { configFor, type Method, type Settings, schemaOf } from "../methods/method";
import { methodNamed, methods } from "../methods/registry";

/** A setting, the methods that have it, and its values in the base-to-novel experiment. */
type Listed = SettingRow & { methods: string[]; paper: unknown; embedded: unknown };

const valueIn = (config: Settings, key: string): unknown =>
  key.split(".").reduce<Settings | undefined>((value, part) => value?.[part], config);

/** The settings of some methods, each once, without the records that only hold others. */
function settingRows(chosen: Method[]): Listed[] {
  const rows = new Map<string, Listed>();
  for (const method of chosen) {
    const [paper, embedded] = (["paper", "embedded"] as const).map((preset) =>
      configFor(method, preset, "baseToNovel"),
    );
    for (const row of settingsOf(schemaOf(method))) {
      if (row.range === "record") continue;
      const known = rows.get(row.key);
      if (known) known.methods.push(method.name);
      else
        rows.set(row.key, {
          ...row,
          methods: [method.name],
          paper: valueIn(paper, row.key),
          embedded: valueIn(embedded, row.key),
        });
    }
  }
  return [...rows.values()];
}

/** A value as one reads it: long lists of sentences by their number. */
function shown(value: unknown): string {
  if (value === undefined) return "";
  if (Array.isArray(value) && typeof value[0] === "string" && value.length > 1) return `${value.length} sentences`;
  return JSON.stringify(value);
}

export async function listSettings(names: string[]): Promise<number> {
  const chosen = names.length > 0 ? names.map(methodNamed) : Object.values(methods);
  for (const { key, about, range, paper, methods: having } of settingRows(chosen)) {
    console.log(
      `${key.padEnd(24)} ${about}; ${range}; paper ${shown(paper)}${names.length === 1 ? "" : ` (${having.join(", ")})`}`,
    );
  }
  return 0;
}

/** The table of docs/settings.md; test/cli/settings.test.ts keeps the file equal to it. */
export function settingsTable(): string {
  const every = Object.values(methods);
  const trainable = every.filter((method) => method.trainable).map(({ name }) => name);
  const isAll = (names: string[]) => trainable.every((name) => names.includes(name));
  const first = every.filter(({ name }) => name === "promptsrc"); // its values stand in the table
  const lines = settingRows([...first, ...every.filter((method) => !first.includes(method))]).map(
    ({ key, about, range, paper, embedded, methods: having }) => {
      const cells = [
        `\`${key}\``,
        about,
        range,
        shown(paper),
        shown(embedded),
        isAll(having) ? "all that are trained" : having.join(", "),
      ];
      return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
    },
  );
  const head = ["setting", "meaning", "range", "paper", "embedded", "methods"];
  return [`| ${head.join(" | ")} |`, `|${head.map(() => "---").join("|")}|`, ...lines].join("\n");
}
