/** What the bench measures and writes (bench/), as notebooks read it. */

export type ModelName = "ViT-B/16" | "mini-clip";
export type Where = "ours" | "pytorch";

/** `nameTokens` of every class name; "mixed" is 1 to 4, 2.5 in the mean, as class names have. `depth` of the prompts in both towers. */
export type Shape = { model: ModelName; classes: number; batch: number; depth: number; nameTokens: number | "mixed" };

/**
 * `step`: a training step of PromptSRC. `text`, `image`: forward and backward of one tower alone. `frozen`: the frozen image pass alone.
 * `evaluation`: test batches. `matmul`: one large product, for the machine's rate. `run`: the command line from start to end.
 */
export type ModelJob = { what: "step" | "text" | "image" | "frozen" | "evaluation" } & Shape;
export type BenchJob = ModelJob | { what: "matmul"; size: number } | { what: "run"; arguments: string[] };

/** Median, smallest and largest seconds over the repeats. */
export type Phase = { phase: string; seconds: number; fastest: number; slowest: number; repeats: number };

/** What a child process says. */
export type BenchOutcome = {
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
  operations?: ProfiledOperation[];
};

/** `busy`: the share of the processors that others used just before the job, 0 on an idle machine. */
export type Measured = { where: Where; job: BenchJob; outcome: BenchOutcome; busy: number; finished: string };

/** Tokens of the class names in turn, where they are mixed. */
export const mixedTokens = [1, 2, 2, 3, 3, 4];

/**
 * `seconds` is the median of the phase over `repeats`, of several processes the median of theirs. `peakBytes` is the largest resident memory
 * of the job's own process, the same for all its phases. `nameTokens` is the mean number of tokens of a class name.
 */
export type BenchRecord = {
  where: Where;
  what: BenchJob["what"];
  phase: string;
  model?: string;
  classes?: number;
  batch?: number;
  depth?: number;
  nameTokens?: number;
  seconds: number;
  fastest: number;
  slowest: number;
  repeats: number;
  peakBytes: number;
  /** Floating-point operations of the matrix products: needed by our way, done, and those of the official way. */
  flopsNeeded?: number;
  flopsDone?: number;
  flopsOfficial?: number;
  flopsPerSecond?: number;
  /** Share of the processors that others used just before. */
  busy: number;
};

/** An operation of the engine by name, with the floating-point operations of its matrix products (engine/profiler.ts). */
export type ProfiledOperation = { name: string; calls: number; seconds: number; flops: number };

export type BenchFile = {
  made: {
    date: string;
    cpu: string;
    cores: number;
    threads: number;
    memoryBytes: number;
    versions: Record<Where, Record<string, string>>;
  };
  records: BenchRecord[];
  /** Largest relative difference between the losses of both sides' first steps. */
  losses: { job: BenchJob; difference: number }[];
  /** Where the seconds of one of our steps go, by operation. */
  profiles: { job: BenchJob; operations: ProfiledOperation[] }[];
};

/** The shapes of the sweep: one of classes, batch, depth and name length changes, the rest stays. The peer measures fewer of them. */
export const sweep: Record<"classes" | "batch" | "depth" | "nameTokens", { ours: number[]; pytorch: number[] }> = {
  classes: { ours: [1, 10, 50, 100, 500, 1000], pytorch: [10, 50, 100, 500] },
  batch: { ours: [1, 2, 4, 8, 16], pytorch: [1, 4, 8] },
  depth: { ours: [1, 3, 6, 9, 12], pytorch: [1, 9, 12] },
  nameTokens: { ours: [1, 4, 16, 32], pytorch: [1, 32] },
};
