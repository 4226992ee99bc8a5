/**
 * Zero-shot CLIP (Radford et al. 2021): each class is described by sentences, and nothing is trained. With several
 * templates, a class feature is the mean of the templates' normalised features, normalised again
 * (openai/CLIP notebooks/Prompt_Engineering_for_ImageNet.ipynb).
 */
import { z } from "zod";
import { zeroShotTemplates } from "../configs/settings";
import { clipTemplates, paperTemplates } from "../configs/templates";
import { zeroShotText } from "./frozenText";
import type { Method } from "./method";
import { classifier, frozen } from "./promptLearner";

export const clip: Method = {
  name: "clip",
  title: "CLIP",
  source: "Radford et al. 2021, arXiv 2103.00020; KaiyangZhou/CoOp trainers/zsclip.py",
  trainable: false,
  paper: (_, template) => ({ zeroShotTemplates: [template] }),
  settings: z.object({ zeroShotTemplates }),
  init: () => ({}),
  prepare() {
    throw new Error("zero-shot CLIP has no trainable parameters; use it for classification only");
  },
  classify: ({ clip, classNames, config }) =>
    classifier(clip, zeroShotText(clip, classNames, config.zeroShotTemplates), (pixels) =>
      frozen(clip, pixels).features(),
    ),
};

/** Zero-shot CLIP with PromptSRC's 60 templates, and with all 80 that CLIP's authors published for ImageNet. */
export const clip60: Method = {
  ...clip,
  name: "clip60",
  title: "CLIP, 60 templates",
  resolve: () => ({ zeroShotTemplates: paperTemplates }),
};
export const clip80: Method = {
  ...clip,
  name: "clip80",
  title: "CLIP, 80 templates",
  resolve: () => ({ zeroShotTemplates: clipTemplates }),
};
