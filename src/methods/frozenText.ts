/** Class features computed by the frozen text encoder. Shapes: C classes, M templates, E joint embedding. */

import { rememberTexts } from "../cache/textFeatures";
import type { Clip } from "../clip/model";
import { l2Normalise } from "../engine/autograd";
import type { Tensor2D, Tensor3D } from "../engine/tf";
import { tf } from "../engine/tf";
import { fillTemplate } from "./prompts";

/** Features [C,M,E], not normalised, of M templates filled with each class name. */
export function templateFeatures(clip: Clip, classNames: string[], templates: string[]): Tensor3D {
  const texts = classNames.flatMap((name) => templates.map((template) => fillTemplate(template, name)));
  return tf.tidy(() => tf.reshape(rememberTexts(clip, texts), [classNames.length, templates.length, clip.embed]));
}

/**
 * Text features [C,E] that regularised methods use as a frozen target: the template features are averaged without
 * normalisation, and the mean is normalised.
 */
export const frozenTextTarget = (clip: Clip, classNames: string[], templates: string[]): Tensor2D =>
  tf.tidy(() => l2Normalise(tf.mean(templateFeatures(clip, classNames, templates), 1) as Tensor2D));

/** Weights [C,E] of the zero-shot classifier: the template features are normalised, averaged, and normalised again. */
export const zeroShotText = (clip: Clip, classNames: string[], templates: string[]): Tensor2D =>
  tf.tidy(() => l2Normalise(zeroShotMean(clip, classNames, templates)));

/** The same without the last normalisation. */
export const zeroShotMean = (clip: Clip, classNames: string[], templates: string[]): Tensor2D =>
  tf.tidy(() => tf.mean(l2Normalise(templateFeatures(clip, classNames, templates)), 1) as Tensor2D);
