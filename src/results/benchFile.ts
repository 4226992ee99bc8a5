/** The types of the bench (bench/): what it measures, and the file that it writes for the notebooks. */

export type ModelName = "ViT-B/16" | "mini-clip";
/**
 * Who computes: the kit, or PyTorch as bench/peer.py has it: plain, as the official code does; tuned; tuned and with
 * products in bfloat16.
 */
export type Where = "ours" | Peer;
export const peers = ["pytorch", "pytorch-tuned", "pytorch-tuned-bf16"] as const;
export type Peer = (typeof peers)[number];

/**
 * `nameTokens`: tokens of each class name; "mixed" is 1 to 4, with mean 2.5, as real class names. `depth`: prompt depth
 * in both encoders.
 */
export type Shape = { model: ModelName; classes: number; batch: number; depth: number; nameTokens: number | "mixed" };

/**
 * `step`: a training step of PromptSRC. `text`, `image`: forward and backward pass of one encoder alone. `frozen`:
 * the frozen image pass alone. `evaluation`: test batches. `matmul`: one large matrix product, for the machine's rate.
 * `run`: a command of the command line from start to end.
 */
export type ModelJob = { what: "step" | "text" | "image" | "frozen" | "evaluation" } & Shape;
export type BenchJob = ModelJob | { what: "matmul"; size: number } | { what: "run"; arguments: string[] };

/** Median (`seconds`), smallest (`fastest`) and largest (`slowest`) seconds over the repeats. */
export type Phase = { phase: string; seconds: number; fastest: number; slowest: number; repeats: number };

/** What the child process of a job reports. */
export type BenchOutcome = {
  phases: Phase[];
  /** Peak resident memory of the child process. */
  peakBytes: number;
  threads: number;
  versions: Record<string, string>;
  /** Losses of the first step by name. Both implementations start from the same parameters and data. */
  losses?: Record<string, number>;
  /**
   * Floating-point operations of the matrix products: `needed` after all exact savings, `done` in fact, and
   * `official` as the official code computes them. `perSecond` is the rate of the `matmul` job.
   */
  flops?: { needed?: number; done?: number; official?: number; perSecond?: number };
  /** The operations of one step, the slowest first. */
  operations?: ProfiledOperation[];
};

/** `busy`: the share of the processors that other processes used just before the job; 0 on an idle machine. */
export type Measured = { where: Where; job: BenchJob; outcome: BenchOutcome; busy: number; finished: string };

/** Numbers of tokens that successive class names have if `nameTokens` is "mixed". */
export const mixedTokens = [1, 2, 2, 3, 3, 4];

/**
 * `seconds` is the median of the phase over `repeats`; with several processes, it is the median of their medians.
 * `peakBytes` is the peak resident memory of the job's own process, the same for all its phases. `nameTokens` is the
 * mean number of tokens of a class name.
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
  /**
   * Floating-point operations of the matrix products: those that our method needs, those executed, and those of the
   * official code.
   */
  flopsNeeded?: number;
  flopsDone?: number;
  flopsOfficial?: number;
  flopsPerSecond?: number;
  /** Share of the processors that other processes used just before the job. */
  busy: number;
};

/**
 * An operation of the engine by name, with the floating-point operations of its matrix products (engine/profiler.ts).
 */
export type ProfiledOperation = { name: string; calls: number; seconds: number; flops: number };

export type BenchFile = {
  made: {
    date: string;
    cpu: string;
    cores: number;
    threads: number;
    memoryBytes: number;
    versions: Partial<Record<Where, Record<string, string>>>;
  };
  records: BenchRecord[];
  /** Largest relative difference between the first-step losses of our implementation and of a peer. */
  losses: { job: BenchJob; peer: Peer; difference: number }[];
  /** Time of one of our steps, broken down by operation. */
  profiles: { job: BenchJob; operations: ProfiledOperation[] }[];
};

/**
 * The shapes of the sweep. One of classes, batch, depth and name length varies, the others are fixed. PyTorch measures
 * fewer values.
 */
export const sweep: Record<"classes" | "batch" | "depth" | "nameTokens", { ours: number[]; pytorch: number[] }> = {
  classes: { ours: [1, 10, 50, 100, 500, 1000], pytorch: [10, 50, 100, 500] },
  batch: { ours: [1, 2, 4, 8, 16], pytorch: [1, 4, 8] },
  depth: { ours: [1, 3, 6, 9, 12], pytorch: [1, 9, 12] },
  nameTokens: { ours: [1, 4, 16, 32], pytorch: [1, 32] },
};
