/**
 * Zero-shot CLIP (Radford et al. 2021): classes are sentences, nothing is learnt. One template, or an ensemble: the mean of the
 * templates' normalised features, normalised again (openai/CLIP notebooks/Prompt_Engineering_for_ImageNet.ipynb).
 */
import { zeroShotText } from "./frozenText";
import type { Method } from "./method";
import { classifier, frozen } from "./promptLearner";
import { clipTemplates, paperTemplates } from "./templates";

export const clip: Method = {
  name: "clip",
  title: "CLIP",
  source: "Radford et al. 2021, arXiv 2103.00020; KaiyangZhou/CoOp trainers/zsclip.py",
  learns: false,
  init: () => ({}),
  prepare() {
    throw new Error("zero-shot CLIP has nothing to train; classify with it");
  },
  classify: ({ clip, classNames, config }) =>
    classifier(clip, zeroShotText(clip, classNames, config.zeroshot), (pixels) => frozen(clip, pixels).features()),
};

/** With PromptSRC's templates, and with all that CLIP's authors gave for ImageNet. */
export const clip60: Method = {
  ...clip,
  name: "clip60",
  title: "CLIP, 60 templates",
  settings: (config) => ({ ...config, zeroshot: paperTemplates }),
};
export const clip80: Method = {
  ...clip,
  name: "clip80",
  title: "CLIP, 80 templates",
  settings: (config) => ({ ...config, zeroshot: clipTemplates }),
};
