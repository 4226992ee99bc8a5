/** A table of paths and class names is a dataset: its parts are drawn as those of a folder, or named by the table. */
import { copyFileSync, cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { datasetNames, loadDataset } from "../../src/datasets/split";
import { UsageError } from "../../src/util/errors";
import { temporaryFolder } from "../temporary";

const root = temporaryFolder("table");
const file = join(root, "photos.csv");
const paths = (name: string, count: number) => Array.from({ length: count }, (_, k) => `${name}/${k}.png`);
const table = (...lines: string[]): string => {
  writeFileSync(file, `${lines.join("\n")}\n`);
  return file;
};
/** A table of 6 pictures of two classes, three parts. */
const listed = (...more: string[]) =>
  table(
    "path,label,part",
    ...["ant", "bee"].flatMap((name) =>
      paths(name, 3).map((path, k) => `${path},${name},${["train", "val", "test"][k]}`),
    ),
    ...more,
  );

beforeAll(async () => {
  for (const [name, count] of [
    ["ant", 10],
    ["bee", 7],
  ] as const) {
    mkdirSync(join(root, name));
    for (const [k, path] of paths(name, count).entries()) {
      const background = { r: k * 20, g: name.charCodeAt(0), b: 9 };
      await sharp({ create: { width: 9, height: 9, channels: 3, background } })
        .png()
        .toFile(join(root, path));
    }
  }
});

describe("a table of photos", () => {
  it("without parts is split as a folder of the same classes and pictures, whatever the order of its lines", () => {
    const names = (dataset: ReturnType<typeof loadDataset>) =>
      [dataset.train, dataset.val, dataset.test].map((items) =>
        items.map(({ path, label, className }) => [basename(path), label, className]),
      );
    const lines = ["ant", "bee"].flatMap((name) =>
      paths(name, name === "ant" ? 10 : 7).map((path) => `${path},${name}`),
    );
    table("path,label", ...lines.reverse());
    const drawn = loadDataset(file, "seed2");
    expect([drawn.name, drawn.split, drawn.classNames]).toEqual(["photos.csv", "seed2", ["ant", "bee"]]);
    expect(names(drawn)).toEqual(names(loadDataset(root, "seed2")));
    expect(loadDataset(file).fingerprint).not.toBe(drawn.fingerprint);
    expect(() => loadDataset(file, "lists")).toThrow(/named seed1, seed2 ...; "lists" is not/);
  });

  it("with parts is split by them, and has no other split", () => {
    const { train, val, test, split } = loadDataset(listed());
    expect(split).toBe("lists");
    expect([train, val, test].map((items) => items.map(({ path }) => basename(path)))).toEqual([
      ["0.png", "0.png"],
      ["1.png", "1.png"],
      ["2.png", "2.png"],
    ]);
    expect(() => loadDataset(file, "seed1")).toThrow('its one split is "lists", not "seed1"');
  });

  it("takes class names of any characters, quoted as CSV is, with the mark and line ends of other systems", () => {
    const names = ['"$&", <b>', "cafe\u0301", "\u6c49\u5b57", "\u{1f363}"];
    const quoted = names.map((name) => `"${name.replaceAll('"', '""')}"`);
    const lines = quoted.flatMap((name, k) => [`ant/${2 * k}.png , ${name}`, `ant/${2 * k + 1}.png,${name}`]);
    writeFileSync(file, `\ufeffpath,label\r\n${lines.join("\r\n")}\r\n\r\n`);
    expect(loadDataset(file).classNames).toEqual(names);
  });

  it("has another fingerprint with another class name, part or picture, and the same in another place", () => {
    const { fingerprint } = loadDataset(listed());
    const moved = join(root, "moved");
    cpSync(file, join(moved, "photos.csv"));
    for (const name of ["ant", "bee"]) cpSync(join(root, name), join(moved, name), { recursive: true });
    expect(loadDataset(join(moved, "photos.csv")).fingerprint).toBe(fingerprint);
    copyFileSync(join(moved, "ant", "9.png"), join(moved, "ant", "0.png"));
    const prints = [fingerprint, loadDataset(join(moved, "photos.csv")).fingerprint];
    prints.push(loadDataset(listed("ant/3.png,ant,train")).fingerprint);
    prints.push(loadDataset(listed("ant/3.png,ant,val")).fingerprint);
    for (const name of ["ant", "wasp"]) {
      table("path,label,part", `ant/0.png,${name},train`, `ant/1.png,${name},test`);
      prints.push(loadDataset(file).fingerprint);
    }
    expect(new Set(prints).size).toBe(6);
    rmSync(moved, { recursive: true });
  });

  it("is among the datasets of its folder, other tables are not", () => {
    const data = join(root, "data");
    mkdirSync(data);
    writeFileSync(join(data, "results.csv"), "method,accuracy\n");
    symlinkSync(join(data, "gone.csv"), join(data, "dangling.csv"));
    writeFileSync(join(data, "drawn.csv"), "path,label\n");
    writeFileSync(join(data, "listed.csv"), "label,path,part\n");
    expect(datasetNames(data)).toEqual(["drawn.csv", "listed.csv"]);
    expect(datasetNames(data, "seed3")).toEqual(["drawn.csv"]);
    expect(datasetNames(data, "lists")).toEqual(["listed.csv"]);
  });

  it.each<[string, string[], string | RegExp]>([
    ["without a header", ["ant/0.png,ant"], /line 1: expected the header path,label .* it is "ant\/0.png,ant"/],
    ["with another column", ["path,label,split"], /line 1: expected the header .* it is "path,label,split"/],
    ["with other delimiters", ["path;label"], 'it is "path;label"'],
    ["of nothing", [""], "line 1: expected the header"],
    ["of a header alone", ["path,label"], "has no picture below its header"],
    ["with a comma too many", ["path,label", "ant/0.png,ant, red"], "line 2: 3 fields under a header of 2"],
    ["with an open quote", ["path,label", 'ant/0.png,"ant'], /cannot be read as a CSV table .*line 2/],
    ["without a path", ["path,label", ",ant"], "line 2: the path is empty"],
    ["without a label", ["path,label", "", 'ant/0.png," "'], "line 3: the label of ant/0.png is empty"],
    [
      "with an unknown part",
      ["path,label,part", "ant/0.png,ant,trian"],
      /part in .*line 2: "trian". Did you mean "train"/,
    ],
    ["without a part", ["path,label,part", "ant/0.png,ant,"], /part in .*line 2: ""/],
    ["with a missing file", ["path,label", "ant/0.png,ant", "ant/x.png,ant"], /line 3: there is no file .*x\.png/],
    ["with a folder", ["path,label", "ant,ant"], /line 2: there is no file .*ant/],
    ["with an absolute path", ["path,label", `${root}/ant/0.png,ant`], "line 2: /"],
    [
      "that leaves its folder",
      ["path,label", "ant/../../x.png,ant"],
      "line 2: ant/../../x.png leaves the table's folder",
    ],
    [
      "with a link out of it",
      ["path,label", "out.png,ant"],
      "line 2: out.png is a link that leaves the table's folder",
    ],
    ["with a picture twice", ["path,label", "ant/0.png,ant", "./ant/0.png,bee"], "same file as that of line 2"],
    ["with a picture twice, by a link", ["path,label", "ant/0.png,ant", "in.png,bee"], "same file as that of line 2"],
    ["with one picture of a class", ["path,label", "ant/0.png,ant"], 'photos.csv: class "ant" has 1 picture'],
  ])("%s is refused", (_, lines, message) => {
    const [outside, inside] = [join(root, "out.png"), join(root, "in.png")];
    symlinkSync(join(process.cwd(), "test/pictures/rgb.png"), outside);
    symlinkSync(join(root, "ant/0.png"), inside);
    try {
      expect(() => loadDataset(table(...lines))).toThrow(message);
      expect(() => loadDataset(file)).toThrow(UsageError);
      expect(() => loadDataset(file)).toThrow("photos.csv");
    } finally {
      for (const link of [outside, inside]) rmSync(link);
    }
  });

  it("that is not there is named", () => {
    expect(() => loadDataset(join(root, "phots.csv"))).toThrow(/there is no table .*phots\.csv/);
  });
});
