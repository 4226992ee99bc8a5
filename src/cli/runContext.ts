/** What the command `run` has found out before it computes. */
import type { Clip } from "../clip/model";
import type { PresetName } from "../configs/presets";
import type { Dataset } from "../datasets/split";
import type { Benchmark } from "../experiments/benchmark";
import type { Job } from "../experiments/job";
import type { Method } from "../methods/method";

export type RunContext = {
  benchmark: Benchmark;
  preset: PresetName;
  methods: Method[];
  jobs: Job[];
  datasets: Dataset[];
  source?: Dataset;
  clip: Clip;
  root: string;
  /** Whether runs that came with the kit count as stored. */
  shipped: boolean;
  /** With --fresh: what was stored before this time (milliseconds) does not count. */
  fresh?: number;
};
