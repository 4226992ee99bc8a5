/**
 * The few-shot draws that CoOp's code stores as split_fewshot/shot_<shots>-seed_<seed>.pkl in a dataset's folder. They
 * are read without executing anything, and compared with the draw of fewShot.ts, which repeats the official one.
 */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { type PickleObject, unpickle } from "../io/pickle";
import type { Dataset, Item } from "./split";

/** The paths of one part of a stored draw; absolute paths of the machine that drew it. */
type Draw = Record<"train" | "val", string[]>;

/** @throws where the file is not a draw of CoOp's code, or names anything else than Dassl's Datum */
export function readOfficialDraw(file: string): Draw {
  const value = unpickle(readFileSync(file), file, {
    global: (module, name) =>
      name === "Datum" && /^(dassl|datasets|Dassl)\b/.test(module)
        ? () => ({ className: "Datum", state: {} as Record<string, unknown> })
        : module === "copyreg" && name === "_reconstructor"
          ? () => ({ className: "Datum", state: {} as Record<string, unknown> })
          : undefined,
  });
  const part = (name: string): string[] => {
    const list = value instanceof Map ? (value.get(name) ?? []) : undefined;
    if (!Array.isArray(list)) throw new Error(`${file} is not a few-shot draw: it has no list "${name}"`);
    return list.map((datum: PickleObject) => {
      const place = datum?.state?._impath;
      if (typeof place !== "string") throw new Error(`${file} is not a few-shot draw: a picture has no path`);
      return place.replaceAll("\\", "/");
    });
  };
  return { train: part("train"), val: part("val") };
}

/**
 * Compares a stored draw with ours, by the paths below the dataset's folder.
 * @param drawn the dataset after `drawFewShot`
 * @returns a sentence where they differ; undefined where they agree, or where nothing is stored
 */
export function differsFromOfficial(drawn: Dataset, shots: number, seed: number): string | undefined {
  const file = path.join(drawn.folder, "split_fewshot", `shot_${shots}-seed_${seed}.pkl`);
  if (!existsSync(file)) return undefined;
  const official = readOfficialDraw(file);
  const below = (item: Item) => path.relative(drawn.folder, item.path).split(path.sep).join("/");
  for (const part of ["train", "val"] as const) {
    const ours = drawn[part].map(below);
    const theirs = official[part];
    if (part === "val" && theirs.length === 0) continue; // CoOp stores no validation pictures of ImageNet.
    const same = ours.length === theirs.length && ours.every((name, i) => theirs[i].endsWith(`/${name}`));
    if (!same) {
      return `${file} holds other ${part === "train" ? "training" : "validation"} pictures than the official draw of seed ${seed} from this split; the draw is taken, not the file`;
    }
  }
  return undefined;
}
