/** The settings that a person chooses on the command line: a preset (`--config`), and changes to it (`--set`). */
import { hasSetting, parseChange, put, settingsOf, unknownSetting } from "../configs/change";
import { type PresetName, presets } from "../configs/presets";
import { changed, configFor, type Method, type Settings, schemaOf } from "../methods/method";
import { oneOf, UsageError } from "../util/errors";

/** The settings that `--config` names; undefined if it was not given. @throws UsageError for another name */
export const presetOf = (name: string | undefined): PresetName | undefined =>
  name === undefined ? undefined : (oneOf("settings", name, Object.keys(presets)) as PresetName);

/**
 * The change that `--set` asks for. @throws UsageError for a setting that none of the methods has, with the near names,
 * and by name for each that lacks it where others have it; methods that are not trained pass over the settings of
 * training
 */
export function changeBy(texts: string[], methods: Method[]): (config: Settings, method: Method) => Settings {
  const changes = texts.map(parseChange);
  for (const { key } of changes) {
    const has = methods.filter((method) => hasSetting(schemaOf(method), key));
    const lacks = methods.filter((method) => method.trainable && !has.includes(method));
    if (has.length === 0)
      unknownSetting(key, [
        ...new Set(methods.flatMap((method) => settingsOf(schemaOf(method)).map((row) => row.key))),
      ]);
    if (lacks.length > 0) {
      const [without, having] = [lacks, has].map((some) => some.map(({ name }) => name).join(", "));
      throw new UsageError(
        `--set ${key}: ${without} ${lacks.length > 1 ? "have" : "has"} no such setting; ${having} ${has.length > 1 ? "have" : "has"} it: leave the others out (--methods, --variants)`,
      );
    }
  }
  const change = (config: Settings, method: Method) =>
    changes
      .filter(({ key }) => hasSetting(schemaOf(method), key))
      .reduce<Settings>((settings, { key, value }) => put(settings, key, value), config);
  // Values out of range are refused before the engine starts.
  for (const method of methods)
    changed(method, configFor(method, "paper", "baseToNovel"), (config) => change(config, method));
  return change;
}
