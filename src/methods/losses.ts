/**
 * The loss terms of PromptSRC (Khattak et al., ICCV 2023, arXiv 2307.06948v2), each as muzairkhattak/PromptSRC
 * trainers/promptsrc.py computes it; where paper and code differ the code counts (it made the published numbers).
 * Shapes: B images, C classes, E joint embedding. Features are of unit length: f images [B,E], g classes [C,E].
 */
import { logSoftmax, meanAbsolute, scale } from "../engine/autograd";
import type { Scalar, Tensor2D } from "../engine/tf";
import { tf } from "../engine/tf";

/** scale * f g^T, [B,C] (equation 1: the cosines of images and classes over the temperature). */
export const cosineLogits = (f: Tensor2D, g: Tensor2D, logitScale: number): Tensor2D =>
  scale(tf.matMul(f, g, false, true), logitScale);

/** L_CE (equation 2): mean over the images of -log p(y). @param labels one-hot [B,C]. */
export const crossEntropy = (logits: Tensor2D, labels: Tensor2D): Scalar =>
  scale(tf.sum(tf.mul(labels, logSoftmax(logits))), -1 / logits.shape[0]);

/** L_SCL-text and L_SCL-image (equation 3): mean over all elements of |prompted - frozen| (the paper sums over E). */
export const featureConsistency = (prompted: Tensor2D, frozen: Tensor2D): Scalar =>
  meanAbsolute(tf.sub(prompted, frozen));

/**
 * What else may measure how far features [rows,E] went: the mean over rows of the squared distance (summed over E: its mean over all
 * elements would be E times smaller, next to nothing), and of 1 - cosine. Of unit vectors the first is twice the second.
 */
export const squaredConsistency = (prompted: Tensor2D, frozen: Tensor2D): Scalar =>
  tf.div<Scalar>(tf.sum(tf.square(tf.sub(prompted, frozen))), prompted.shape[0]);
export const cosineConsistency = (prompted: Tensor2D, frozen: Tensor2D): Scalar =>
  tf.sub<Scalar>(1, tf.div<Scalar>(tf.sum(tf.mul(prompted, frozen)), prompted.shape[0]));

/**
 * L_SCL-logits (equation 4): KL(frozen || prompted) = sum p0 (log p0 - log p), over B*C: the official code divides by
 * `logits.numel()`, so the term is C times smaller than a mean over images.
 */
export function logitConsistency(logits: Tensor2D, frozenLogits: Tensor2D): Scalar {
  const log0 = logSoftmax(frozenLogits);
  return scale(tf.sum(tf.mul(tf.exp(log0), tf.sub(log0, logSoftmax(logits)))), 1 / logits.size);
}
