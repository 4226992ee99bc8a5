/** What is measured, as plain records: jobs go to child processes as JSON and come back as outcomes. */
import type { Operation } from "../src/engine/profiler";

export type ModelName = "ViT-B/16" | "mini-clip";
export type Where = "ours" | "pytorch";

/** `nameTokens` of every class name; "mixed" is 1 to 4, 2.5 in the mean, as class names have. `depth` of the prompts in both towers. */
export type Shape = { model: ModelName; classes: number; batch: number; depth: number; nameTokens: number | "mixed" };

/**
 * `step`: a training step of PromptSRC. `text`, `image`: forward and backward of one tower alone. `frozen`: the frozen image pass alone.
 * `evaluation`: test batches. `matmul`: one large product, for the machine's rate. `run`: the command line from start to end.
 */
export type ModelJob = { what: "step" | "text" | "image" | "frozen" | "evaluation" } & Shape;
export type Job = ModelJob | { what: "matmul"; size: number } | { what: "run"; arguments: string[] };

/** Median, smallest and largest seconds over the repeats. */
export type Phase = { phase: string; seconds: number; fastest: number; slowest: number; repeats: number };

/** What a child process says. */
export type Outcome = {
  phases: Phase[];
  /** Largest resident memory of the child. */
  peakBytes: number;
  threads: number;
  versions: Record<string, string>;
  /** Losses of the first step by name: both sides start from the same numbers. */
  losses?: Record<string, number>;
  /** Operations of the matrix products: what the exact savings leave, what was done, what the official way takes; of a product, the rate. */
  flops?: { needed?: number; done?: number; official?: number; perSecond?: number };
  /** The operations of one step, the slowest first. */
  operations?: Operation[];
};

/** `busy`: the share of the processors that others used just before the job, 0 on an idle machine. */
export type Measured = { where: Where; job: Job; outcome: Outcome; busy: number; finished: string };

/** Tokens of the class names in turn, where they are mixed. */
export const mixedTokens = [1, 2, 2, 3, 3, 4];
