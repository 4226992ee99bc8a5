/**
 * Zero-shot CLIP (Radford et al. 2021): classes are sentences, nothing is learnt. One template, or an ensemble: the mean of the
 * templates' normalised features, normalised again (openai/CLIP notebooks/Prompt_Engineering_for_ImageNet.ipynb).
 */
import { encodeImage, imageFront } from "../clip/image";
import { normalise } from "../ops";
import type { Tensor2D } from "../tf";
import { tf } from "../tf";
import { classifier } from "./ivlp";
import type { Method } from "./method";
import { templateFeatures } from "./promptsrc";

export const clip: Method = {
  name: "clip",
  title: "CLIP",
  source: "Radford et al. 2021, arXiv 2103.00020; KaiyangZhou/CoOp trainers/zsclip.py",
  learns: false,
  init: () => ({}),
  prepare() {
    throw new Error("zero-shot CLIP has nothing to train; classify with it");
  },
  classify({ clip, classNames, config }) {
    const text = tf.tidy(() => normalise(tf.mean(normalise(templateFeatures(clip, classNames, config.zeroshot)), 1) as Tensor2D));
    return classifier(clip, text, (pixels) => encodeImage(clip.image, imageFront(clip.image, pixels), []));
  },
};
