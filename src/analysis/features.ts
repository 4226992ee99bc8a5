/**
 * Features of pictures and of class names, and maps of them in two dimensions. Shapes: n pictures, C classes, E width
 * of the joint embedding, R rows of a list of features.
 */
import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { UMAP } from "umap-js";
import { testBatches } from "../datasets/pictures";
import type { Item } from "../datasets/split";
import { tf } from "../engine/tf";
import { imagesPerPass, yieldToEventLoop } from "../experiments/evaluate";
import type { Method, Task } from "../methods/method";
import { type HostParams, toDevice } from "../training/ensemble";
import { seeded } from "../util/random";

/** Features of unit length: of pictures [n][E], with their classes, and of class names [C][E]. */
export type Features = { image: number[][]; labels: number[]; text: number[][] };

/**
 * The features that a method's trained parameters ({} for zero-shot CLIP) give to pictures and to the task's class names.
 * @throws if the method's class features depend on the image
 */
export async function featuresOf(method: Method, task: Task, kept: HostParams, items: Item[]): Promise<Features> {
  const { clip } = task;
  const { height, width } = clip.preprocess.output;
  const params = toDevice(kept);
  const classifier = method.classify(task, params);
  try {
    if (!classifier.text)
      throw new Error(`the class features of ${method.title} depend on the image: they have no place on a map`);
    const image: number[][] = [];
    for await (const { pixels, labels } of testBatches(items, clip.preprocess, imagesPerPass(clip))) {
      const batch = tf.tidy(() =>
        classifier.image(tf.tensor4d(pixels, [labels.length, 3, height, width])).arraySync(),
      ) as number[][];
      image.push(...batch);
      await yieldToEventLoop();
    }
    return { image, labels: items.map(({ label }) => label), text: classifier.text.arraySync() as number[][] };
  } finally {
    classifier.dispose();
    tf.dispose(params);
  }
}

/** A place on a map. */
export type Place = [number, number];

/** The rows minus their mean. */
export function centred(rows: number[][]): number[][] {
  const mean = rows[0].map((_, e) => rows.reduce((sum, row) => sum + row[e], 0) / rows.length);
  return rows.map((row) => row.map((value, e) => value - mean[e]));
}

/**
 * Principal component analysis of rows [R][E] whose mean is zero: their places along the two directions of the largest
 * variance, each with its largest component positive, and the share of the variance that these two hold.
 */
export function pca(rows: number[][]): { places: Place[]; share: number } {
  const x = new Matrix(rows);
  const { eigenvectorMatrix, realEigenvalues } = new EigenvalueDecomposition(x.transpose().mmul(x), {
    assumeSymmetric: true, // eigenvalues in ascending order
  });
  const width = realEigenvalues.length;
  const directions = [1, 2].map((k) => {
    const direction = eigenvectorMatrix.getColumn(width - k);
    const largest = direction.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a));
    return direction.map((value) => value * Math.sign(largest));
  });
  const along = (row: number[], direction: number[]) => row.reduce((sum, value, e) => sum + value * direction[e], 0);
  const total = realEigenvalues.reduce((a, b) => a + b, 0);
  return {
    places: rows.map((row) => [along(row, directions[0]), along(row, directions[1])]),
    share: (realEigenvalues[width - 1] + realEigenvalues[width - 2]) / total,
  };
}

/**
 * UMAP (McInnes et al. 2018, arXiv 1802.03426) of rows [R][E], by umap-js with its default settings: 15 neighbours,
 * minimum distance 0.1, Euclidean distances. The same seed gives the same map. Distances between far places mean
 * little.
 */
export function umap(rows: number[][], seed = 1): Place[] {
  const random = seeded("umap", seed);
  const map = new UMAP({ nNeighbors: Math.min(15, rows.length - 1), random: () => random.uniform() });
  return map.fit(rows) as Place[];
}
