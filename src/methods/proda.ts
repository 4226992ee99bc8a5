/**
 * ProDA, prompt distribution learning (Lu et al., CVPR 2022): K learnable contexts represent a distribution of
 * sentences. The K features of a class are modelled as a Gaussian, whose mean is used for classification. The loss is
 * an upper bound of the expected cross-entropy,
 *
 *   L_upper = -mean_b log softmax_i( s f_b.m_i + s^2/2 f_b' A_i,y f_b )_y,      A_i,y = covariance of (w_i - w_y),
 *
 * where s is the logit scale, f_b the feature of an image of class y, w_i the class feature (classifier weight) of
 * class i and m_i its mean. A regulariser keeps the contexts different from each other: lambda times the mean |cosine|
 * between the features of any two contexts without a class name. The class name comes before a quarter of the contexts,
 * in the middle of another quarter, and after the rest.
 *
 * There is no official code (the authors' repository contains only a README), so there are no reference numbers to
 * compare this file with. It is based on the abstract of the paper, the caption of figure 3, and reimplementations by
 * others that agree with one another (trainers "ProDA" for Dassl). From the reimplementations are the formulas and
 * settings: the covariance is computed per dimension only (A_i,y is diagonal) and divided by K + 1; the class means are
 * not normalised again; the shares of the positions; 16 tokens, 32 contexts, lambda 0.1 (1 in one of them). They use
 * only 4 of the contexts in each step, to save memory; this file uses all of them.
 * Shapes: B images, C classes, K contexts, P tokens of a context, D width of the text tower, E joint embedding.
 */
import { z } from "zod";
import { encodeForImages, encodeSentences, type SentenceGroup, sentenceGroups } from "../clip/fast/sentences";
import { inTextOrder, type SuffixGroup, suffixGroups, tokenise } from "../clip/fast/suffixes";
import { optimisation, textContext } from "../configs/settings";
import { l2Normalise, oneHot, repeat } from "../engine/autograd";
import type { Scalar, Tensor2D, Tensor3D } from "../engine/tf";
import { tf } from "../engine/tf";
import { sentenceIds } from "./coop";
import { cosineLogits, crossEntropy } from "./losses";
import type { Method, Params, Task } from "./method";
import { classifier, frozen } from "./promptLearner";
import { noise, plainName } from "./prompts";

const prodaSettings = z.object({
  tokens: textContext.tokens,
  proda: z
    .object({
      contexts: z.int().min(2).max(256).default(8).describe("contexts that stand for the distribution"),
      orthogonality: z.number().min(0).default(0.1).describe("weight of what keeps the contexts apart"),
    })
    .prefault({})
    .describe("ProDA's numbers"),
  ...optimisation,
});

/**
 * How many contexts have the class name at the end, in the middle and in front. The parameter has them in this order.
 */
function positionCounts(contexts: number): { end: number; middle: number; front: number } {
  const quarter = Math.floor(contexts / 4);
  return { end: contexts - 2 * quarter, middle: quarter, front: quarter };
}

/** The prepared texts of all classes. */
type Texts = {
  /** The class name after the context. */
  end: SuffixGroup[];
  /** The class name in the middle or in front, for contexts start..start+count-1. */
  middleOrFront: { start: number; count: number; groups: SentenceGroup[] }[];
  /** Only a full stop after the context. */
  withoutName: SuffixGroup[];
};

function textsOf(task: Task): Texts {
  const { clip, classNames, config } = task;
  const P = config.tokens.text;
  const { end, middle, front } = positionCounts(config.proda.contexts);
  const placeholders = new Array(P).fill("X").join(" ");
  const middleOrFront = (
    [
      ["middle", end, middle],
      ["front", end + middle, front],
    ] as const
  )
    .filter(([, , count]) => count > 0)
    .map(([position, start, count]) => {
      const ids = classNames.flatMap((name) =>
        new Array(count).fill(sentenceIds({ clip, config: { tokens: config.tokens } }, name, position)),
      );
      return { start, count, groups: sentenceGroups(clip.text, ids, P) };
    });
  return {
    end: suffixGroups(
      clip.text,
      classNames.map((name) => tokenise(clip, `${placeholders} ${plainName(name)}.`)),
      P,
      true,
    ),
    middleOrFront,
    withoutName: suffixGroups(clip.text, [tokenise(clip, `${placeholders}.`)], P, true),
  };
}

/** Contexts start..start+count-1 of the parameter [K,P,D]. */
const sliceContexts = (ctx: Tensor3D, start: number, count: number): Tensor3D =>
  tf.slice(ctx, [start, 0, 0], [count, -1, -1]);

/** Features [C,K*E] of all classes with all contexts; each of the K features has unit length. */
function classFeatures({ clip, classNames, config }: Task, texts: Texts, { ctx }: Params): Tensor2D {
  const [C, E] = [classNames.length, clip.embed];
  const [, P, D] = ctx.shape as [number, number, number];
  const { end } = positionCounts(config.proda.contexts);
  const endFeatures = encodeForImages(
    clip.text,
    texts.end,
    tf.reshape(sliceContexts(ctx as Tensor3D, 0, end), [end * P, D]),
    end,
  ).map((features) => tf.reshape(tf.transpose(l2Normalise(features), [1, 0, 2]), [-1, end * E]) as Tensor2D);
  const nameAtEnd = inTextOrder(endFeatures, texts.end);
  const nameElsewhere = texts.middleOrFront.map(({ start, count, groups }) => {
    const contexts = tf.reshape(sliceContexts(ctx as Tensor3D, start, count), [1, count * P * D]);
    const perClass = repeat(contexts, C);
    return tf.reshape(
      l2Normalise(encodeSentences(clip.text, groups, tf.reshape(perClass, [C * count, P, D]) as Tensor3D)),
      [C, count * E],
    ) as Tensor2D;
  });
  return nameElsewhere.length > 0 ? tf.concat([nameAtEnd, ...nameElsewhere], 1) : nameAtEnd;
}

/** Mean [C,E] over the contexts, of features [C,K*E]. */
const meanOf = (features: Tensor2D, contexts: number): Tensor2D =>
  tf.mean(tf.reshape(features, [features.shape[0], contexts, -1]), 1);

/**
 * The logits [B,C] in the upper bound: s f_b.m_i + s^2/2 f_b' A_i,y f_b, with the diagonal of the covariance A_i,y of
 * w_i - w_y computed as var(w_i) + var(w_y) - 2 cov(w_i, w_y).
 * @param features [C,K*E] of `classFeatures`
 * @param truth one-hot labels [B,C]
 * @param scale the logit scale s
 * @param contexts the number K of contexts
 */
export function boundLogits(
  f: Tensor2D,
  features: Tensor2D,
  truth: Tensor2D,
  scale: number,
  contexts: number,
): Tensor2D {
  const mean = meanOf(features, contexts);
  const deviations = tf.sub(features, tf.tile(mean, [1, contexts])) as Tensor2D; // [C,K*E]
  const squaredFeatures = tf.square(f);
  // Variances and covariances are sums over the contexts until they are divided by K + 1.
  const squaredDeviations = tf.mul(meanOf(tf.square(deviations) as Tensor2D, contexts), contexts) as Tensor2D; // [C,E]
  const variance = tf.matMul(squaredFeatures, squaredDeviations, false, true); // [B,C]
  const truthVariance = tf.sum(tf.mul(variance, truth), 1, true); // [B,1]
  const truthDeviations = tf.mul(tf.tile(squaredFeatures, [1, contexts]), tf.matMul(truth, deviations)); // [B,K*E]
  const covariance = tf.matMul(truthDeviations as Tensor2D, deviations, false, true); // [B,C]
  const differenceVariance = tf.div(tf.sub(tf.add(variance, truthVariance), tf.mul(covariance, 2)), contexts + 1);
  return tf.add(cosineLogits(f, mean, scale), tf.mul(differenceVariance, scale ** 2 / 2));
}

/** Mean |cosine| between the features of any two contexts without a class name. */
function similarity({ clip }: Task, texts: Texts, { ctx }: Params): Scalar {
  const [K, P, D] = ctx.shape as [number, number, number];
  const [features] = encodeForImages(clip.text, texts.withoutName, tf.reshape(ctx, [K * P, D]), K);
  const normalised = l2Normalise(tf.reshape(features, [K, -1])) as Tensor2D;
  const cosines = tf.matMul(normalised, normalised, false, true);
  const offDiagonal = tf.sub(1, tf.eye(K));
  const absolute = tf.mul(cosines, tf.mul(tf.sign(cosines), offDiagonal));
  return tf.div<Scalar>(tf.sum(absolute), Math.max(1, K * (K - 1)));
}

export const proda: Method = {
  name: "proda",
  title: "ProDA",
  source: "Lu et al. 2022, arXiv 2205.03340 (no official code)",
  trainable: true,
  settings: prodaSettings,
  contexts: ({ proda }) => ({ count: proda.contexts, heldAtOnce: true }),
  // Only the 100 epochs are known, from the authors' README; batch size and learning rate are CoOp's.
  paper: () => ({
    batch: 32,
    epochs: 100,
    lr: 0.002,
    tokens: { text: 16 },
    proda: { contexts: 32 },
  }),
  parts: () => [{ place: "text", block: 0, kind: "prompts" }],
  init(task) {
    const { clip, config } = task;
    return { ctx: noise(task, "ctx", [config.proda.contexts, config.tokens.text, clip.text.width]) };
  },
  prepare(task) {
    const { clip, classNames, config } = task;
    const { contexts, orthogonality } = config.proda;
    const texts = textsOf(task);
    return {
      loss({ pixels, labels }) {
        const f = frozen(clip, pixels).features();
        const truth = oneHot(labels, classNames.length);
        return (params) => {
          const upper = crossEntropy(
            boundLogits(f, classFeatures(task, texts, params), truth, clip.logitScale, contexts),
            truth,
          );
          const similar = tf.mul<Scalar>(similarity(task, texts, params), orthogonality);
          return { upper, similar, total: tf.add<Scalar>(upper, similar) };
        };
      },
      dispose: () => tf.dispose(texts as any),
    };
  },
  classify(task, params) {
    const texts = textsOf(task);
    const mean = tf.tidy(() => meanOf(classFeatures(task, texts, params), task.config.proda.contexts));
    tf.dispose(texts as any);
    return classifier(task.clip, mean, (pixels) => frozen(task.clip, pixels).features());
  },
};
