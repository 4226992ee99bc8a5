/**
 * ProDA, prompt distribution learning (Lu et al., CVPR 2022): K contexts stand for a distribution of sentences. The features of a class
 * under them are a Gaussian, of which the mean classifies; the loss is an upper bound of the expected cross-entropy,
 *
 *   L_upper = -mean_b log softmax_i( s f_b.m_i + s^2/2 f_b' A_i,y f_b )_y,      A_i,y = covariance of (w_i - w_y),
 *
 * with s the logit scale, f_b an image of class y, m_i the mean and w_i the weights of class i. What keeps the contexts apart is
 * lambda times the mean |cosine| between the features of any two of them without a class name. The name stands in front of a quarter of
 * the contexts, in the middle of a quarter, at the end of the rest.
 *
 * There is no official code (the authors' repository holds a README), and no reference numbers pin this file. Of the paper the abstract
 * and the caption of figure 3 were read; the formulas and settings are those of reimplementations by others that agree with one another
 * (trainers "ProDA" for Dassl): the covariance by dimension alone (A_i,y is a diagonal), its division by K + 1, class means that are not
 * normalised again, the shares of the positions, 16 tokens, 32 contexts, lambda 0.1 (1 in one of them). They use 4 of the contexts in a
 * step, to save memory; here all are used in each.
 * Shapes: B images, C classes, K contexts, P tokens of a context, D width of the text tower, E joint embedding.
 */
import { z } from "zod";
import { encodeForImages, encodeSentences, type SentenceGroup, sentenceGroups } from "../clip/fast/sentences";
import { inTextOrder, type SuffixGroup, suffixGroups, tokenise } from "../clip/fast/text";
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
      contexts: z.int().min(2).default(8).describe("contexts that stand for the distribution"),
      orthogonality: z.number().min(0).default(0.1).describe("weight of what keeps the contexts apart"),
    })
    .prefault({})
    .describe("ProDA's numbers"),
  ...optimisation,
});

/** How many contexts have the class name at the end, in the middle and in front, in this order along the parameter. */
function positions(contexts: number): { end: number; middle: number; front: number } {
  const quarter = Math.floor(contexts / 4);
  return { end: contexts - 2 * quarter, middle: quarter, front: quarter };
}

/** The texts: behind contexts, around them, and a full stop alone. */
type Texts = {
  end: SuffixGroup[];
  around: { from: number; count: number; groups: SentenceGroup[] }[];
  nameless: SuffixGroup[];
};

function textsOf(task: Task): Texts {
  const { clip, classNames, config } = task;
  const P = config.tokens.text;
  const { end, middle, front } = positions(config.proda.contexts);
  const standIns = new Array(P).fill("X").join(" ");
  const around = (
    [
      ["middle", end, middle],
      ["front", end + middle, front],
    ] as const
  )
    .filter(([, , count]) => count > 0)
    .map(([position, from, count]) => {
      const ids = classNames.flatMap((name) =>
        new Array(count).fill(sentenceIds({ clip, config: { tokens: config.tokens } }, name, position)),
      );
      return { from, count, groups: sentenceGroups(clip.text, ids, P) };
    });
  return {
    end: suffixGroups(
      clip.text,
      classNames.map((name) => tokenise(clip, `${standIns} ${plainName(name)}.`)),
      P,
      true,
    ),
    around,
    nameless: suffixGroups(clip.text, [tokenise(clip, `${standIns}.`)], P, true),
  };
}

/** Contexts from..from+count-1 of the parameter [K,P,D]. */
const part = (ctx: Tensor3D, from: number, count: number): Tensor3D => tf.slice(ctx, [from, 0, 0], [count, -1, -1]);

/** Unit features of all classes under all contexts, [C,K*E]. */
function classFeatures({ clip, classNames, config }: Task, texts: Texts, { ctx }: Params): Tensor2D {
  const [C, E] = [classNames.length, clip.embed];
  const [, P, D] = ctx.shape as [number, number, number];
  const { end } = positions(config.proda.contexts);
  const behind = encodeForImages(
    clip.text,
    texts.end,
    tf.reshape(part(ctx as Tensor3D, 0, end), [end * P, D]),
    end,
  ).map((features) => tf.reshape(tf.transpose(l2Normalise(features), [1, 0, 2]), [-1, end * E]) as Tensor2D);
  const atEnd = inTextOrder(behind, texts.end);
  const others = texts.around.map(({ from, count, groups }) => {
    const each = repeat(tf.reshape(part(ctx as Tensor3D, from, count), [1, count * P * D]), C); // all contexts for each class
    return tf.reshape(
      l2Normalise(encodeSentences(clip.text, groups, tf.reshape(each, [C * count, P, D]) as Tensor3D)),
      [C, count * E],
    ) as Tensor2D;
  });
  return others.length > 0 ? tf.concat([atEnd, ...others], 1) : atEnd;
}

/** Mean over the contexts, [C,E]. */
const meanOf = (features: Tensor2D, contexts: number): Tensor2D =>
  tf.mean(tf.reshape(features, [features.shape[0], contexts, -1]), 1);

/** The logits of the bound [B,C]: of the means, plus what the spread of w_i - w_y adds. */
export function boundLogits(
  f: Tensor2D,
  features: Tensor2D,
  truth: Tensor2D,
  scale: number,
  contexts: number,
): Tensor2D {
  const mean = meanOf(features, contexts);
  const deviations = tf.sub(features, tf.tile(mean, [1, contexts])) as Tensor2D; // [C,K*E]
  const squares = tf.square(f);
  const variances = tf.mul(meanOf(tf.square(deviations) as Tensor2D, contexts), contexts) as Tensor2D; // [C,E], sums over the contexts
  const own = tf.matMul(squares, variances, false, true); // [B,C]
  const ownOfTruth = tf.sum(tf.mul(own, truth), 1, true); // [B,1]
  const weighted = tf.mul(tf.tile(squares, [1, contexts]), tf.matMul(truth, deviations)); // [B,K*E]
  const shared = tf.matMul(weighted as Tensor2D, deviations, false, true); // [B,C]
  const spread = tf.div(tf.sub(tf.add(own, ownOfTruth), tf.mul(shared, 2)), contexts + 1);
  return tf.add(cosineLogits(f, mean, scale), tf.mul(spread, scale ** 2 / 2));
}

/** Mean |cosine| between the contexts' features without a class name. */
function similarity({ clip }: Task, texts: Texts, { ctx }: Params): Scalar {
  const [K, P, D] = ctx.shape as [number, number, number];
  const [features] = encodeForImages(clip.text, texts.nameless, tf.reshape(ctx, [K * P, D]), K);
  const p = l2Normalise(tf.reshape(features, [K, -1])) as Tensor2D;
  const cosines = tf.matMul(p, p, false, true);
  const others = tf.sub(1, tf.eye(K));
  const absolute = tf.mul(cosines, tf.mul(tf.sign(cosines), others));
  return tf.div<Scalar>(tf.sum(absolute), Math.max(1, K * (K - 1)));
}

export const proda: Method = {
  name: "proda",
  title: "ProDA",
  source: "Lu et al. 2022, arXiv 2205.03340 (no official code)",
  trainable: true,
  settings: prodaSettings,
  // Of the schedule only the 100 epochs of the authors' README are known; the rest is CoOp's.
  paper: () => ({
    batch: 32,
    epochs: 100,
    lr: 0.002,
    tokens: { text: 16 },
    proda: { contexts: 32 },
  }),
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
