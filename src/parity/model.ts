/** Parity of the frozen model with `common.safetensors`: token ids, text and image features, zero-shot logits. */

import { encodeImage, imageFront } from "../clip/fast/image";
import { tokenise } from "../clip/fast/suffixes";
import type { Clip } from "../clip/model";
import type { Tensor, Tensor4D } from "../engine/tf";
import { tf } from "../engine/tf";
import { readSafetensors, type Stored } from "../io/safetensors";
import { clip as zeroShot } from "../methods/clip";
import { frozenTextTarget, templateFeatures } from "../methods/frozenText";
import { plainName } from "../methods/prompts";
import { type Checks, exact } from "./checks";
import type { Meta } from "./meta";

export function commonParity(path: string, clip: Clip, meta: Meta, checks: Checks): void {
  const { tensors } = readSafetensors(path);
  const { classes, templates } = meta;
  const numbers = (compute: () => Tensor): ArrayLike<number> => {
    const result = tf.tidy(compute);
    const values = result.dataSync();
    result.dispose();
    return values;
  };
  const compare = (name: string, compute: () => ArrayLike<number>) => {
    if (tensors[name]) checks.same(`common ${name}`, compute(), tensors[name].data);
  };
  const pixels = (): Tensor4D =>
    tf.tensor4d(tensors.images.data, tensors.images.shape as [number, number, number, number]);

  if (tensors.prompt_ids) {
    const sentences = classes.map((name) => `${meta.init} ${plainName(name)}.`);
    sameIds("common prompt_ids", clip, sentences, tensors.prompt_ids, checks);
  }
  compare("template_text_features", () => numbers(() => templateFeatures(clip, classes, templates)));
  compare("frozen_text_features", () => numbers(() => frozenTextTarget(clip, classes, templates)));
  if (!tensors.images) return;
  compare("image_features", () => numbers(() => encodeImage(clip.image, imageFront(clip.image, pixels()), [])));
  compare("zeroshot_logits", () => {
    const config = { zeroShotTemplates: [templates[0]] };
    const classifier = zeroShot.classify({ clip, classNames: classes, config, seed: 1 }, {});
    try {
      return numbers(() => classifier.logits(pixels()));
    } finally {
      classifier.dispose();
    }
  });
}

/**
 * Compares the token ids of sentences with the reference [C,context]. Ids after the end token (the largest id) are
 * padding, which may have any value in the reference, so they count as 0.
 */
export function sameIds(name: string, clip: Clip, sentences: string[], { data, shape }: Stored, checks: Checks): void {
  const zeroPadding = (ids: number[]) => ids.map((id, i) => (i > ids.indexOf(Math.max(...ids)) ? 0 : id));
  const actual = sentences.flatMap((sentence) => {
    const ids = tokenise(clip, sentence);
    return Array.from({ length: shape[1] }, (_, i) => ids[i] ?? 0);
  });
  const expected = sentences.flatMap((_, c) =>
    zeroPadding(Array.from(data.subarray(c * shape[1], (c + 1) * shape[1]))),
  );
  checks.same(name, actual, expected, exact);
}
