/**
 * The ablations: each measures the effect of one part of the method by changing it in the config. A new one is one more
 * record in this file.
 */
import { paperTemplates } from "../configs/templates";
import type { Settings } from "../methods/method";
import { methods } from "../methods/registry";
import type { Pair } from "../results/differences";
import type { Ablation, Variant } from "./ablation";

const { promptsrc, ivlp } = methods;
/**
 * Four datasets that differ in how many of their classes the pretrained model already knows, and in how fine-grained
 * they are.
 */
const some = ["animals", "faces", "food", "vehicles"];
const singleTemplate = paperTemplates.slice(0, 1);
/** A variant of PromptSRC. */
const src = (name: string, title: string, change?: Variant["change"], extra: Partial<Variant> = {}): Variant => ({
  name,
  title,
  method: promptsrc,
  change,
  ...extra,
});
/** Pairs that compare each of `variants` with the reference. */
const against = (reference: string, variants: (string | number)[]): Pair[] =>
  variants.map((variant) => [`${variant}`, reference]);

/** Only the consistency losses on features and logits (L_SCL): a single template, and the prompts of the last epoch. */
const onlyConsistency = (config: Settings): Settings => ({
  ...config,
  ensemble: null,
  textTargetTemplates: singleTemplate,
});

const components: Ablation = {
  name: "components",
  title: "Components",
  question: "What does each of the three regularisations add to plain prompts?",
  paper: "components",
  pairs: [...against("ivlp", ["scl", "gpa", "diversity"]), ["gpa", "scl"], ["diversity", "gpa"]],
  variants: [
    { name: "ivlp", title: "IVLP", method: ivlp, paper: "IVLP" },
    src("scl", "+ L_SCL", onlyConsistency, { paper: "+ L_SCL" }),
    src("gpa", "+ GPA", (config) => ({ ...config, textTargetTemplates: singleTemplate }), { paper: "+ GPA" }),
    src("diversity", "+ textual diversity (PromptSRC)", undefined, { paper: "+ textual diversity" }),
  ],
};

const lossTitles = { cosine: "cosine", mse: "MSE", l1: "L1" } as const;
const consistency: Ablation = {
  name: "consistency",
  title: "Consistency loss",
  question:
    "Which distance should keep the prompted features close to the frozen ones, and do the logits need a loss as well?",
  datasets: some,
  paper: "consistencyLoss",
  pairs: [...against("none", ["cosine", "mse", "l1"]), ...against("l1", ["cosine", "mse", "l1-logits"])],
  variants: [
    { name: "none", title: "none (IVLP)", method: ivlp, paper: "IVLP" },
    ...[false, true].flatMap((logits) =>
      (Object.keys(lossTitles) as (keyof typeof lossTitles)[]).map((kind) =>
        src(
          logits ? `${kind}-logits` : kind,
          logits ? `${lossTitles[kind]} and logits` : lossTitles[kind],
          (config) => ({
            ...onlyConsistency(config),
            consistency: kind,
            lossWeights: { ...config.lossWeights, logits: logits ? config.lossWeights.logits : 0 },
          }),
          logits ? {} : { paper: `IVLP + ${lossTitles[kind]}` },
        ),
      ),
    ),
  ],
};

const ensemble: Ablation = {
  name: "ensemble",
  title: "Self-ensemble",
  question: "Which prompts of a training should be the result: the last epoch's, or an average of all?",
  datasets: some,
  paper: "ensembling",
  reference: "gpa",
  pairs: against("gpa", ["last", "ema-0.5", "ema-0.7", "ema-0.9", "equal"]),
  variants: [
    src("last", "last epoch", (config) => ({ ...config, ensemble: null })),
    ...[0.5, 0.7, 0.9].map((decay) =>
      src(`ema-${decay}`, `moving average, decay ${decay}`, (config) => ({ ...config, ensemble: { decay } }), {
        paper: decay === 0.9 ? "Exponential moving average" : undefined,
      }),
    ),
    src("equal", "equal weights", (config) => ({ ...config, ensemble: { decay: 1 } }), { paper: "Equal weighting" }),
    src("gpa", "GPA", undefined, { paper: "GPA" }),
  ],
};

/** Means and standard deviations around the paper's 15 and 1, which are 3/4 and 1/20 of the 20 epochs. */
const gpaVariant = (mean: number, std: number) =>
  src(`mean-${mean}-std-${std}`, `mean ${mean}, deviation ${std}`, (config) => ({
    ...config,
    ensemble: { mean, std },
  }));
const gpa: Ablation = {
  name: "gpa",
  title: "GPA's Gaussian",
  question: "Which epochs should count, and how many of them?",
  said: "The deviation matters little; a later mean raises base and slightly lowers novel accuracy.",
  datasets: some,
  reference: "mean-15-std-1",
  pairs: against("mean-15-std-1", [
    ...[2, 5, 10, 20].map((mean) => `mean-${mean}-std-1`),
    ...[2, 5, 10].flatMap((std) => [6, 15].map((mean) => `mean-${mean}-std-${std}`)),
  ]),
  variants: [
    ...[2, 5, 10, 15, 20].map((mean) => gpaVariant(mean, 1)),
    ...[2, 5, 10].flatMap((std) => [6, 15].map((mean) => gpaVariant(mean, std))),
  ],
};

const diversity: Ablation = {
  name: "diversity",
  title: "Textual diversity",
  question: "How many templates does the frozen text target need, and must they be averaged?",
  said: "More templates are generally better.",
  datasets: some,
  paper: "textualDiversity",
  reference: "60",
  pairs: against("60", [1, 5, 10, 20, 40, "one-a-step"]),
  variants: [
    ...[1, 5, 10, 20, 40, 60].map((count) =>
      src(
        `${count}`,
        count === 1 ? "1 template" : `${count} templates`,
        (config) => ({ ...config, textTargetTemplates: paperTemplates.slice(0, count) }),
        { paper: count === 60 ? "PromptSRC, ensemble of 60" : undefined },
      ),
    ),
    src("one-a-step", "one of 60 by lot in each step", (config) => ({ ...config, oneTemplate: true }), {
      paper: "PromptSRC, one random template per step instead of the ensemble",
    }),
  ],
};

const length: Ablation = {
  name: "length",
  title: "Prompt length",
  question: "How many tokens does a prompt need?",
  said: "Accuracy grows with length; 4 tokens in each tower have the highest harmonic mean.",
  datasets: some,
  reference: "4",
  pairs: against("4", [1, 2, 8, 16]),
  variants: [1, 2, 4, 8, 16].map((count) =>
    src(`${count}`, count === 1 ? "1 token" : `${count} tokens`, (config) => ({
      ...config,
      tokens: { text: count, image: count },
    })),
  ),
};

const depths = [1, 2, 3, 4, 5, 6, 9, 12];
const depth: Ablation = {
  name: "depth",
  title: "Prompt depth",
  question: "How many blocks should have prompts of their own?",
  datasets: some,
  pairs: against("1", depths.slice(1)),
  variants: depths.map((count) =>
    src(
      `${count}`,
      count === 1 ? "input only" : `${count} blocks`,
      (config) => ({ ...config, depth: { text: count, image: count } }),
      {
        fits: ({ text, image }) => count <= Math.max(text.blocks.length, image.blocks.length),
      },
    ),
  ),
};

const weightVariant = (term: "text" | "image" | "logits", factor: number): Variant =>
  src(`${term}-x${factor}`, factor === 0 ? `no ${term} term` : `${term} x ${factor}`, (config) => ({
    ...config,
    lossWeights: { ...config.lossWeights, [term]: factor * config.lossWeights[term] },
  }));
const weights: Ablation = {
  name: "weights",
  title: "Loss weights",
  question: "How much does each consistency term matter, and how fine is the balance?",
  datasets: some,
  pairs: against("own", [
    ...["text", "image", "logits"].flatMap((term) => [0, 4].map((factor) => `${term}-x${factor}`)),
    "logits-x32",
  ]),
  variants: [
    src("own", "as configured"),
    ...(["text", "image", "logits"] as const).flatMap((term) => [0, 4].map((factor) => weightVariant(term, factor))),
    src("logits-x32", "logits x 32", (config) => ({
      ...config,
      lossWeights: { ...config.lossWeights, logits: 32 * config.lossWeights.logits },
    })),
  ],
};

const hostVariant = (name: keyof typeof methods, paper?: string): Variant => ({
  name,
  title: methods[name].title,
  method: methods[name],
  paper,
});
const hosts: Ablation = {
  name: "hosts",
  title: "Regularisers on other hosts",
  question: "Do PromptSRC's regularisers help prompts of other kinds?",
  datasets: some,
  paper: "baseToNovel",
  pairs: [
    ["coop-src", "coop"],
    ["maple-src", "maple"],
    ["promptsrc", "ivlp"],
  ],
  variants: [
    hostVariant("coop", "CoOp"),
    hostVariant("coop-src"),
    hostVariant("maple", "MaPLe"),
    hostVariant("maple-src"),
    hostVariant("ivlp", "IVLP"),
    hostVariant("promptsrc", "PromptSRC"),
  ],
};

/** All ablations by name. Each is a question and its variants, and every variant changes the same config. */
export const ablations = {
  /** What does each of the three regularisations add to plain prompts? */
  components,
  /** Which distance should keep the prompted features close to the frozen ones, and do the logits need a loss as well? */
  consistency,
  /** Which prompts of a training should be the result: the last epoch's, or an average of all? */
  ensemble,
  /** Which epochs should count, and how many of them? */
  gpa,
  /** How many templates does the frozen text target need, and must they be averaged? */
  diversity,
  /** How many tokens does a prompt need? */
  length,
  /** How many blocks should have prompts of their own? */
  depth,
  /** How much does each consistency term matter, and how fine is the balance? */
  weights,
  /** Do PromptSRC's regularisers help prompts of other kinds? */
  hosts,
} satisfies Record<string, Ablation>;
