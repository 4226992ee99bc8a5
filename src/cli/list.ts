/** `npm run promptsrc -- list`: what can be named on the command line. */
import { join } from "node:path";
import type { Ablation } from "../benchmarks/ablation";
import { ablations } from "../benchmarks/ablations";
import { benchmarks } from "../benchmarks/registry";
import { datasetNames, loadDataset } from "../datasets/split";
import { methods } from "../methods/registry";
import { fromHere } from "./options";
import { parseRunOptions } from "./run";

/** Benchmarks, ablations and their variants, methods, and the datasets of a data root. */
export async function listNames(args: string[]): Promise<number> {
  const { values } = parseRunOptions(args);
  const width = Math.max(
    ...[...Object.keys(benchmarks), ...Object.keys(ablations), ...Object.keys(methods)].map((name) => name.length),
  );
  const lines = (rows: [string, string][]) => rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`).join("\n");
  console.log(`benchmarks\n${lines(Object.values(benchmarks).map((b) => [b.name, b.about]))}`);
  const variants = ({ variants }: Ablation) => variants.map((variant) => variant.name).join(", ");
  console.log(`\nablations\n${lines(Object.values(ablations).map((a) => [a.name, `${a.question} (${variants(a)})`]))}`);
  console.log(`\nmethods\n${lines(Object.values(methods).map((m) => [m.name, m.title]))}`);
  const data = fromHere(values.data, "data");
  const rows = datasetNames(data, values.split).map((name): [string, string] => {
    const { classNames, train, val, test } = loadDataset(join(data, name), values.split);
    return [
      name,
      `${classNames.length} classes; ${train.length} training, ${val.length} validation, ${test.length} test pictures`,
    ];
  });
  console.log(`\ndatasets${values.split ? `, split ${values.split}` : ""}\n${lines(rows)}`);
  return 0;
}
