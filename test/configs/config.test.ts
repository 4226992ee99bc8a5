/** What editors and notebooks know of names and settings is what there is. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { ablations } from "../../src/benchmarks/ablations";
import { settingsOf } from "../../src/configs/change";
import { schemaOf } from "../../src/methods/method";
import { methods } from "../../src/methods/registry";

it("the type of the settings has the fields of PromptSRC's schema, with the same explanations", () => {
  const lines = readFileSync("src/configs/config.ts", "utf8").split("\n");
  const parents: string[] = [];
  const typed = lines.slice(lines.indexOf("export type Config = {") + 1).flatMap((line, k, all) => {
    if (/^\s*};?$/.test(line)) parents.pop();
    const [, name, rest] = /^\s+(\w+)\??: (.*)/.exec(line) ?? [];
    if (name === undefined) return [];
    const key = [...parents, name].join(".");
    if (rest === "{") parents.push(name);
    return [[key, all[k - 1].replace(/^\s*\/\*\* | \*\/$/g, "")]];
  });
  const schema = settingsOf(schemaOf(methods.promptsrc)).filter(({ key }) => !key.startsWith("ensemble."));
  const about = new Map(schema.map((setting) => [setting.key, setting.about]));
  expect(typed.map(([key]) => key).sort()).toEqual([...about.keys()].sort());
  expect(typed.filter(([key, text]) => about.get(key) !== "" && about.get(key) !== text)).toEqual([]);
});

it("methods and ablations stand under their names, and the folders of the datasets are those in data/", () => {
  for (const records of [methods, ablations])
    expect(Object.keys(records)).toEqual(Object.values(records).map(({ name }) => name));
  const [, names] =
    /export type EmbeddedFolder = `data\/\$\{([^}]*)\}/.exec(readFileSync("src/datasets/split.ts", "utf8")) ?? [];
  const folders = readdirSync("data", { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(names?.match(/[\w-]+/g)).toEqual(folders.map(({ name }) => name).sort());
});
