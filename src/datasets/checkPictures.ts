/**
 * Looks at every picture before a long run: a file that cannot be decoded is named at the start, not after two hours,
 * and so are pictures of the test subset that are also trained on. What was found is remembered by the content of the
 * file and the code that decodes it, so that a second look takes no time.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { decode } from "../io/preprocess";
import { readSealedJson, writeSealedJson } from "../io/sealedJson";
import { UsageError } from "../util/errors";
import { numericsVersion } from "../util/numerics";
import { drawFewShot } from "./fewShot";
import { type Dataset, drawnAgain, type Item } from "./split";

type PictureProblem = { path: string; reason: string };

/**
 * The pictures of a dataset that cannot be decoded. Training pictures whose content the dataset does not know, because
 * they are too many (see `loadDataset`), are not looked at; those that are drawn from them can be.
 * @param progress is called with how many of how many were looked at
 */
export async function undecodable(
  dataset: Dataset,
  progress: (done: number, total: number) => void = () => {},
  cache = join(".cache", "decoded"),
): Promise<PictureProblem[]> {
  const file = join(cache, `${dataset.fingerprint}-${numericsVersion()}.json`); // another decoder may find other things
  const items = [
    ...new Map([...dataset.train, ...dataset.val, ...dataset.test].map((item) => [item.path, item])).values(),
  ].filter(({ hash }) => hash !== undefined);
  const known = readSealedJson<{ pictures: number; problems: PictureProblem[] }>(
    file,
    "the pictures are looked at again",
  );
  if (known?.pictures === items.length)
    return known.problems.map(({ path, reason }) => ({ path: join(dataset.folder, path), reason }));
  const problems: PictureProblem[] = [];
  let done = 0;
  const look = async (item: Item) => {
    const bytes = await readFile(item.path); // A file that cannot be read now may be readable later: not a finding.
    try {
      await decode(bytes);
    } catch (error) {
      problems.push({ path: item.path, reason: (error as Error).message.replace(/^picture: /, "").split("\n")[0] });
    }
    progress(++done, items.length);
  };
  const queue = items.values();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (const item of queue) await look(item);
    }),
  );
  problems.sort((a, b) => (a.path < b.path ? -1 : 1));
  try {
    // Paths within the dataset, which may be moved, or be there twice.
    const inside = problems.map(({ path, reason }) => ({ path: relative(dataset.folder, path), reason }));
    writeSealedJson(file, { pictures: items.length, problems: inside });
  } catch {
    // A read-only disk: the pictures are looked at again next time.
  }
  return problems;
}

/** The few shots that are drawn from training pictures that `undecodable` does not look at; none if it looks at all. */
export function drawnUnseen(dataset: Dataset, shots: number[], seeds: number[]): Dataset[] {
  if (dataset.train.every(({ hash }) => hash !== undefined)) return [];
  const draws = shots.flatMap((n) => seeds.map((seed) => drawFewShot(dataset, n, seed)));
  return draws.map((drawn) => ({ ...drawn, val: [], test: [] }));
}

/** Test pictures whose content is also that of a training picture, by pairs of paths. */
export function leakedPictures({ train, test }: Dataset): [train: string, test: string][] {
  const trained = new Map(train.flatMap(({ hash, path }) => (hash ? [[hash, path] as const] : [])));
  return test.flatMap(({ hash, path }) => {
    const same = hash && trained.get(hash);
    return same && same !== path ? [[same, path] as [string, string]] : [];
  });
}

/** @throws UsageError naming pictures that cannot be decoded, unless they are to be skipped */
export function withoutUndecodable(dataset: Dataset, problems: PictureProblem[], skip: boolean): Dataset {
  if (problems.length === 0) return dataset;
  if (!skip) {
    const [{ path, reason }] = problems;
    const more = problems.length > 1 ? `, and ${problems.length - 1} more` : "";
    throw new UsageError(
      `${dataset.name}: ${path} cannot be decoded (${reason})${more}; replace the files, or leave them out by --skip-corrupt${drawnAgain(dataset.folder)}`,
    );
  }
  const broken = new Set(problems.map(({ path }) => path));
  const keep = (items: Item[]) => items.filter(({ path }) => !broken.has(path));
  const [train, test] = [keep(dataset.train), keep(dataset.test)];
  const val = dataset.val === dataset.test ? test : keep(dataset.val);
  // What is left is another dataset: its results must not be found under the fingerprint of the whole.
  const left = createHash("sha256").update(dataset.fingerprint);
  for (const path of [...broken].sort()) left.update(`\nwithout ${relative(dataset.folder, path)}`);
  return { ...dataset, train, val, test, fingerprint: left.digest("hex").slice(0, 16) };
}
