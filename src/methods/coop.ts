/**
 * CoOp, context optimisation (Zhou et al., IJCV 2022): the words around the class name are replaced by learnable
 * context tokens, and both encoders stay frozen. The class name comes after the context tokens, between them or before
 * them. One context is shared by all classes, or each class has its own. The loss is the cross-entropy alone.
 * Pinned to KaiyangZhou/CoOp trainers/coop.py, whose parameter name is used here: `ctx` [P,D] or [C,P,D].
 * Shapes: C classes, P context tokens, D width of the text tower.
 */
import { z } from "zod";
import { encodeSentences, sentenceGroups } from "../clip/fast/sentences";
import { type ContextSlot, tokenise } from "../clip/fast/suffixes";
import { textContext } from "../configs/settings";
import type { Tensor2D, Tensor3D } from "../engine/tf";
import { tf } from "../engine/tf";
import type { Settings, Task } from "./method";
import { host, promptLearner } from "./promptLearner";
import { type ContextSettings, contextWords, initialContext, noise, plainName, promptSentence } from "./prompts";
import { changedEncoders, contextInPlace, type Encoders, type TowerChanges } from "./towers";

const coopSettings = {
  ...textContext,
  coop: z
    .object({
      position: z
        .enum(["end", "middle", "front"])
        .default("end")
        .describe("where the class name stands in its context"),
      classSpecific: z.boolean().default(false).describe("each class has a context of its own"),
    })
    .prefault({})
    .describe("CoOp's variants"),
};

/**
 * Token ids of a class's sentence, with slots for the P context tokens. The class name comes after them ("end"),
 * between them ("middle") or before them ("front"). If the initial words have more than P tokens, the remaining ones
 * are not trained and stay behind the context.
 */
export function sentenceIds(
  { clip, config }: Pick<Task<ContextSettings>, "clip" | "config">,
  name: string,
  position: "end" | "middle" | "front",
): (number | ContextSlot)[] {
  const P = config.tokens.text;
  const [start, ...rest] = tokenise(clip, promptSentence(config, name));
  const words = tokenise(clip, contextWords(config)).length - 2;
  const nameLength = tokenise(clip, plainName(name)).length - 2;
  const fixedWords = rest.slice(P, words);
  const nameIds = rest.slice(words, words + nameLength);
  const end = rest.slice(words + nameLength);
  const context = Array.from({ length: P }, (_, slot) => ({ slot }));
  const half = Math.floor(P / 2);
  if (position === "end") return [start, ...context, ...fixedWords, ...nameIds, ...end];
  if (position === "front") return [start, ...nameIds, ...context, ...fixedWords, ...end];
  return [start, ...context.slice(0, half), ...nameIds, ...context.slice(half), ...fixedWords, ...end];
}

/** Encodes every sentence in full, because the context is not a prefix that all classes share. */
function sentenceEncoders(task: Task<CoopSettings>): Encoders {
  const { clip, classNames, config } = task;
  const { position, classSpecific } = task.config.coop;
  const ids = classNames.map((name) => sentenceIds(task, name, position));
  const groups = sentenceGroups(clip.text, ids, config.tokens.text);
  return {
    text({ ctx }) {
      if (classSpecific && ctx.shape[0] !== classNames.length) {
        throw new Error(
          `class-specific contexts cannot classify other classes than those they were trained for: there are ${ctx.shape[0]} contexts and ${classNames.length} class names; set coop.classSpecific=false`,
        );
      }
      return encodeSentences(clip.text, groups, ctx as Tensor2D | Tensor3D);
    },
    image({ rawFeatures }) {
      const f = rawFeatures();
      return () => ({ f });
    },
    dispose: () => tf.dispose(groups as any),
  };
}

type CoopSettings = z.infer<z.ZodObject<typeof coopSettings>>;

const coopChanges = (task: Task<ContextSettings>): TowerChanges => ({
  text: contextInPlace(task, ({ ctx }) => [ctx as Tensor2D]),
});

export const coopHost = host({
  settings: coopSettings,
  init(task) {
    const { clip, classNames, config } = task;
    if (!config.coop.classSpecific) return { ctx: initialContext(task, "ctx") };
    const [C, P, D] = [classNames.length, config.tokens.text, clip.text.width];
    if (!config.contextInit) return { ctx: noise(task, "ctx", [C, P, D]) };
    return { ctx: tf.tidy(() => tf.tile(tf.reshape(initialContext(task, "ctx"), [1, P, D]), [C, 1, 1])) };
  },
  changes: coopChanges,
  encoders(task) {
    const { position, classSpecific } = task.config.coop;
    const prefix = position === "end" && !classSpecific; // shared by all classes
    return prefix ? changedEncoders(task, coopChanges(task)) : sentenceEncoders(task);
  },
});

/** Class-specific contexts cannot be applied to other classes. */
export const coopTransfers = (config: Settings): boolean => !config.coop?.classSpecific;

export const coop = promptLearner(
  {
    name: "coop",
    title: "CoOp",
    source: "Zhou et al. 2022, arXiv 2109.01134; KaiyangZhou/CoOp trainers/coop.py",
    transfers: coopTransfers,
    // Base-to-novel: Zhou et al. 2022, arXiv 2203.05557 (vit_b16_ctxv1.yaml, 200 epochs, but 50 on ImageNet).
    // Few-shot: 16 randomly initialised tokens and 200 epochs, as vit_b16.yaml has it for 8 and 16 shots (50 epochs for
    // 1 shot, 100 for 2 and 4 shots, always 50 on ImageNet). The other benchmarks train on ImageNet.
    paper: (benchmark) => ({
      batch: 32,
      lr: 0.002,
      ...(benchmark === "fewShot" || benchmark === "fewShotFine"
        ? { tokens: { text: 16 }, contextInit: "", epochs: 200 }
        : { tokens: { text: 4 }, epochs: benchmark === "baseToNovel" ? 200 : 50 }),
    }),
  },
  coopHost,
);
