/**
 * Top-1 accuracy, counted from the predictions of labelled images. Where two class names make the same sentence
 * ("hot_dog" and "hot dog", or ImageNet's two cranes), the accuracy is counted both ways: as the official code counts,
 * by which the first of them is predicted for the images of both, and with the two as one class.
 */
import { cleanText } from "../clip/cleanText";
import type { Clip } from "../clip/model";
import { plainName } from "../methods/prompts";
import type { Predicted } from "../results/predictions";

/** Images per test batch, as in the official code. The accuracy does not depend on it. */
export const testBatch = 100;

/**
 * Images per forward pass. It is below `testBatch` for a large model, so that the largest array of a block takes at
 * most 64 MB; larger batches are no faster.
 */
export const imagesPerPass = ({ image }: Clip): number =>
  Math.max(1, Math.min(testBatch, Math.floor(2 ** 22 / (image.positions.shape[0] * image.width))));

/** Returns to the event loop once, so that timers, signal handlers and displays can run. */
export const yieldToEventLoop = () => new Promise((resolve) => setImmediate(resolve));

/** For each class the first class whose name makes the same sentence: itself, unless a name occurs before. */
export function firstOfSameSentence(classNames: string[]): number[] {
  const first = new Map<string, number>();
  return classNames.map((className, label) => {
    const words = cleanText(plainName(className)).toLowerCase();
    if (!first.has(words)) first.set(words, label);
    return first.get(words) as number;
  });
}

/** Percentages: `exact` by labels, `merged` with classes of the same sentence as one class. */
export type Accuracy = { exact: number; merged: number };

/**
 * The percentage of pictures whose true class is the predicted one.
 * @param firstOf `firstOfSameSentence` of the class names
 * @throws an Error if there are no pictures
 */
export function accuracyOf(pictures: Predicted[], firstOf: number[]): Accuracy {
  if (pictures.length === 0) throw new Error("there are no images to test on");
  const exact = pictures.filter(({ label, predicted }) => predicted === label).length;
  const merged = pictures.filter(({ label, predicted }) => firstOf[predicted] === firstOf[label]).length;
  return { exact: (100 * exact) / pictures.length, merged: (100 * merged) / pictures.length };
}
