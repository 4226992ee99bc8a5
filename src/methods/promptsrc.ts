/**
 * PromptSRC (Khattak et al., ICCV 2023): IVLP's prompts, regulated by the frozen model they prompt:
 *
 *   L = L_CE + lambda_1 L_SCL-text + lambda_2 L_SCL-image + L_SCL-logits        (equations 2-5)
 *
 * The frozen text target is the mean over many templates (section 3.2.3); the result is the Gaussian-weighted aggregate of the
 * prompts over the epochs (section 3.2.2, training/gpa.ts, switched by `config.gpa`).
 * Pinned to muzairkhattak/PromptSRC trainers/promptsrc.py.
 */
import { encodeImage, imageFront } from "../clip/image";
import type { Clip } from "../clip/model";
import { encodeTexts } from "../clip/text";
import { cosineLogits, crossEntropy, featureConsistency, logitConsistency } from "../losses";
import { normalise } from "../ops";
import type { Scalar, Tensor2D, Tensor3D } from "../tf";
import { tf } from "../tf";
import { classifyPrompted, classSuffixes, initialPrompts, oneHot, plainName, promptsOf, textFeatures } from "./ivlp";
import type { Method } from "./method";

/** Raw features [C,M,E] of M templates filled with each class name. */
export function templateFeatures(clip: Clip, classNames: string[], templates: string[]): Tensor3D {
  const texts = classNames.flatMap((name) => templates.map((template) => template.replace("{}", plainName(name))));
  return tf.tidy(() => tf.reshape(encodeTexts(clip, texts), [classNames.length, templates.length, clip.embed]));
}

/** Frozen text target [C,E]: the mean of the raw template features, then normalised (usual ensembles normalise each first). */
export const frozenTextTarget = (clip: Clip, classNames: string[], templates: string[]): Tensor2D =>
  tf.tidy(() => normalise(tf.mean(templateFeatures(clip, classNames, templates), 1) as Tensor2D));

export const promptsrc: Method = {
  name: "promptsrc",
  title: "PromptSRC",
  source: "Khattak et al. 2023, arXiv 2307.06948; muzairkhattak/PromptSRC trainers/promptsrc.py",
  learns: true,
  init: initialPrompts,
  prepare(task) {
    const { clip, classNames, config } = task;
    const suffixes = classSuffixes(task, true);
    const frozenText = frozenTextTarget(clip, classNames, config.templates);
    return {
      loss({ pixels, labels }) {
        const front = imageFront(clip.image, pixels);
        const truth = oneHot(labels, classNames.length);
        const frozenImage = normalise(encodeImage(clip.image, front, []));
        const frozenLogits = cosineLogits(frozenImage, frozenText, clip.logitScale);
        return (params) => {
          const f = normalise(encodeImage(clip.image, front, promptsOf(params, "vision")));
          const g = textFeatures(clip, suffixes, params);
          const logits = cosineLogits(f, g, clip.logitScale);
          const ce = crossEntropy(logits, truth);
          const scl_text = tf.mul<Scalar>(featureConsistency(g, frozenText), config.weights.text);
          const scl_image = tf.mul<Scalar>(featureConsistency(f, frozenImage), config.weights.image);
          const scl_logits = tf.mul<Scalar>(logitConsistency(logits, frozenLogits), config.weights.logits);
          const total = tf.addN([ce, scl_text, scl_image, scl_logits]);
          return { ce, scl_text, scl_image, scl_logits, total };
        };
      },
      dispose: () => tf.dispose([suffixes, frozenText] as any),
    };
  },
  classify: classifyPrompted,
};
