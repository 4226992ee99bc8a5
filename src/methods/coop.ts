/**
 * CoOp, context optimisation (Zhou et al., IJCV 2022): the words around the class name are learnt, the encoders are as they were.
 * The class name stands behind the context, in its middle or in front of it; the context is shared or each class has its own.
 * Cross-entropy alone. Pinned to KaiyangZhou/CoOp trainers/coop.py; the parameter has its name, `ctx` [P,D] or [C,P,D].
 */
import { contextPlace, encodeSentences, sentenceGroups } from "../clip/fast/sentences";
import { tokenise } from "../clip/fast/text";
import type { Config } from "../configs/config";
import { normalise } from "../engine/autograd";
import type { Tensor2D, Tensor3D } from "../engine/tf";
import { tf } from "../engine/tf";
import { promptedEncoders } from "./ivlp";
import type { Task } from "./method";
import { type Encoders, type Host, learnt } from "./promptLearner";
import { fromWords, initialContext, noise, plainName, promptSentence } from "./prompts";

const standard = { position: "end", classSpecific: false } as const;

/** A context at the input of the text tower, no other prompts. */
export const contextOnly = (config: Config): Config => ({
  ...config,
  tokens: { ...config.tokens, image: 0 },
  depth: { text: 1, image: 0 },
});

export const coopSettings = (config: Config): Config => ({ ...contextOnly(config), coop: config.coop ?? standard });

const coopOf = ({ config }: Task) => config.coop ?? standard;

/** Ids of a class's sentence, its context's places blank, with the name at the end, in the middle or in front. */
export function sentenceIds({ clip, config }: Task, name: string, position: "end" | "middle" | "front"): number[] {
  const P = config.tokens.text;
  const [start, ...rest] = tokenise(clip, promptSentence(config, name));
  const length = tokenise(clip, plainName(name)).length - 2;
  const [own, after] = [rest.slice(P, P + length), rest.slice(P + length)];
  const context = Array.from({ length: P }, (_, k) => contextPlace(k));
  const before = { end: P, middle: Math.floor(P / 2), front: 0 }[position];
  return [start, ...context.slice(0, before), ...own, ...context.slice(before), ...after];
}

/** Every text with its own tokens: for a context that is not the same prefix for all classes. */
function sentenceEncoders(task: Task): Encoders {
  const { clip, classNames, config } = task;
  const { position, classSpecific } = coopOf(task);
  const ids = classNames.map((name) => sentenceIds(task, name, position));
  const groups = sentenceGroups(clip.text, ids, config.tokens.text);
  return {
    text({ ctx }) {
      if (classSpecific && ctx.shape[0] !== classNames.length) {
        throw new Error(
          `class-specific contexts serve the classes they were learnt for: there are ${ctx.shape[0]} contexts and ${classNames.length} class names; set coop.classSpecific=false for new classes`,
        );
      }
      return normalise(encodeSentences(clip.text, groups, ctx as Tensor2D | Tensor3D));
    },
    image({ features }) {
      const f = features();
      return () => f;
    },
    dispose: () => tf.dispose(groups as any),
  };
}

export const coopHost: Host = {
  init(task) {
    const { clip, classNames, config } = task;
    if (!coopOf(task).classSpecific) return { ctx: initialContext(task, "ctx") };
    const [C, P, D] = [classNames.length, config.tokens.text, clip.text.width];
    if (!fromWords(config)) return { ctx: noise(task, "ctx", [C, P, D]) };
    return { ctx: tf.tidy(() => tf.tile(tf.reshape(initialContext(task, "ctx"), [1, P, D]), [C, 1, 1])) };
  },
  encoders(task) {
    const { position, classSpecific } = coopOf(task);
    if (position === "end" && !classSpecific) return promptedEncoders(task, { text: ({ ctx }) => [ctx as Tensor2D] });
    return sentenceEncoders(task);
  },
};

/** Contexts of their own are of no use to other classes. */
export const coopTransfers = (config: Config): boolean => !config.coop?.classSpecific;

export const coop = learnt(
  {
    name: "coop",
    title: "CoOp",
    source: "Zhou et al. 2022, arXiv 2109.01134; KaiyangZhou/CoOp trainers/coop.py",
    settings: (config) => ({ ...coopSettings(config), gpa: null }),
    transfers: coopTransfers,
    // Base-to-novel: Zhou et al. 2022, arXiv 2203.05557 (vit_b16_ctxv1.yaml, 200 epochs; on ImageNet 50). Few-shot: 16 random tokens and 200
    // epochs for 8 and 16 shots (vit_b16.yaml; 50 for one shot, 100 for 2 and 4, on ImageNet always 50). Other benchmarks train on ImageNet.
    paper: (config, benchmark) => ({
      ...config,
      batch: 32,
      lr: 0.002,
      ...(benchmark === "fewShot" || benchmark === "fewShotFine"
        ? { tokens: { text: 16, image: 0 }, init: "", epochs: 200 }
        : { tokens: { text: 4, image: 0 }, epochs: benchmark === "baseToNovel" ? 200 : 50 }),
    }),
  },
  coopHost,
);
