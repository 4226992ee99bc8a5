/** The reference encoders with what a host changes: the counterpart of `changedEncoders` of src/methods/towers.ts. */
import { tokenise } from "../../src/clip/fast/suffixes";
import type { Prompts } from "../../src/clip/fast/text";
import { layerNorm, referenceImage, referenceText, replaceTokens } from "../../src/clip/reference";
import { referenceWeights } from "../../src/clip/referenceWeights";
import { type Tensor2D, type Tensor3D, tf } from "../../src/engine/tf";
import type { Task } from "../../src/methods/method";
import type { Encoders, ImageFeatures, TowerChanges } from "../../src/methods/towers";

const lengthOf = (sets: Prompts) => sets.find((set) => set)?.shape[0] ?? 0;

/** Prompts stand behind the first token in both encoders, where the official modules put them. */
const before = (sets: Prompts) => (i: number, x: Tensor3D) => {
  const set = sets[i];
  if (!set || i === 0) return x;
  const P = lengthOf(sets);
  const entering = sets.findIndex((other) => other) === i;
  const own = set.shape[0] === P ? set : (tf.reshape(set, [-1, P, set.shape[1]]) as Tensor3D);
  return replaceTokens(x, 1, entering ? 0 : P, own);
};

export function referenceEncoders({ clip, classNames }: Task, { text, image, dispose }: TowerChanges): Encoders {
  if (!text) throw new Error("this host leaves the text encoder as it is");
  const ids = classNames.map((name) => tokenise(clip, text.sentence(name)));
  return {
    text(params, at) {
      const sets = text.prompts?.(params) ?? [];
      const input = (x: Tensor3D) => (sets[0] ? replaceTokens(x, 1, text.replaced ?? 0, sets[0]) : x);
      const additions = text.additions?.(params, at);
      return referenceText(clip, ids, { input, before: before(sets), additions }).features;
    },
    image:
      ({ pixels, at }) =>
      (params): ImageFeatures => {
        const sets = image?.prompts?.(params) ?? [];
        const hooks = { before: before(sets), additions: image?.additions?.(params, at) };
        const { features, tokens } = referenceImage(clip, pixels, hooks);
        if (!image?.read) return { f: features };
        const outputs = tf.slice(tokens, [0, 1, 0], [-1, lengthOf(sets), -1]) as Tensor3D;
        const read = image.read(params, layerNorm(referenceWeights(clip).vision_model.post_layernorm, outputs));
        return { f: features, ...(read as Record<string, Tensor2D>) };
      },
    dispose: () => dispose?.(),
  };
}
