/**
 * The loss terms of PromptSRC (Khattak et al., ICCV 2023, arXiv 2307.06948v2), as muzairkhattak/PromptSRC
 * trainers/promptsrc.py computes them. Where the paper and the code differ, this file follows the code, because the
 * code produced the published numbers.
 * Shapes: B images, C classes, E joint embedding. Image features f [B,E] and class features g [C,E] have unit length.
 */
import { logSoftmax, meanAbsolute, scale } from "../engine/autograd";
import type { Scalar, Tensor2D } from "../engine/tf";
import { tf } from "../engine/tf";

/**
 * Logits [B,C] = logitScale * f g^T: the cosine similarities of images and classes over the temperature (equation 1).
 */
export const cosineLogits = (f: Tensor2D, g: Tensor2D, logitScale: number): Tensor2D =>
  scale(tf.matMul(f, g, false, true), logitScale);

/** L_CE (equation 2): the mean of -log p(y) over the images. @param labels one-hot or soft labels [B,C] */
export const crossEntropy = (logits: Tensor2D, labels: Tensor2D): Scalar =>
  scale(tf.sum(tf.mul(labels, logSoftmax(logits))), -1 / logits.shape[0]);

/**
 * L_SCL-text and L_SCL-image (equation 3): the mean of |prompted - frozen| over all elements. (In the paper it is the
 * sum over E.)
 */
export const featureConsistency = (prompted: Tensor2D, frozen: Tensor2D): Scalar =>
  meanAbsolute(tf.sub(prompted, frozen));

/**
 * Two alternatives to `featureConsistency` for features [rows,E]: the squared Euclidean distance and the cosine
 * distance (1 - cosine), both averaged over the rows. The squared distance is summed over E, because its mean over all
 * elements would be E times smaller and thus negligible. For unit vectors the squared distance is twice the cosine
 * distance.
 */
export const squaredConsistency = (prompted: Tensor2D, frozen: Tensor2D): Scalar =>
  tf.div<Scalar>(tf.sum(tf.square(tf.sub(prompted, frozen))), prompted.shape[0]);
export const cosineConsistency = (prompted: Tensor2D, frozen: Tensor2D): Scalar =>
  tf.sub<Scalar>(1, tf.div<Scalar>(tf.sum(tf.mul(prompted, frozen)), prompted.shape[0]));

/**
 * L_SCL-logits (equation 4): KL(frozen || prompted) = sum p0 (log p0 - log p), divided by B*C. The official code
 * divides by `logits.numel()`, so the term is C times smaller than the mean over the images.
 */
export function logitConsistency(logits: Tensor2D, frozenLogits: Tensor2D): Scalar {
  const frozenLogProbs = logSoftmax(frozenLogits);
  return scale(tf.sum(tf.mul(tf.exp(frozenLogProbs), tf.sub(frozenLogProbs, logSoftmax(logits)))), 1 / logits.size);
}
