/** Frozen features that are not finite: the model's files are damaged, and nothing may be computed from them. */

/**
 * @param features rows of the same length, one after the other
 * @param nameOf what a row, from 0, belongs to: a picture or a sentence
 * @throws an Error that names the first row with a number that is not finite
 */
export function assertFinite(features: ArrayLike<number>, rows: number, nameOf: (row: number) => string): void {
  for (let i = 0; i < features.length; i++) {
    if (Number.isFinite(features[i])) continue;
    const name = nameOf(Math.floor((i * rows) / features.length));
    throw new Error(`the features of ${name} are not finite (${features[i]}): the model's files are damaged`);
  }
}

/** What a picture of a batch is called, from 0: its path, where the batch knows it. */
export const pictureName = (row: number, paths?: string[]): string => paths?.[row] ?? `picture ${row + 1} of the batch`;
