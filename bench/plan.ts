/** The jobs of a bench in their order: each job of the kit is followed by the same job in PyTorch. */
import { type BenchJob, type ModelJob, peers, type Shape, sweep, type Where } from "../src/results/benchFile";

/** A job and where it runs; `turn` numbers the repetitions of a job that is measured more than once. */
export type Planned = { where: Where; job: BenchJob; turn?: number };
export const sections = ["embedded", "steps", "eval", "sweep", "peers"] as const;
export type Section = (typeof sections)[number];

const big: Shape = { model: "ViT-B/16", classes: 50, batch: 4, depth: 9, nameTokens: "mixed" };
const small: Shape = { model: "mini-clip", classes: 20, batch: 32, depth: 5, nameTokens: "mixed" };
const towers = ["text", "image", "frozen"] as const;

const onKit = (job: BenchJob): Planned => ({ where: "ours", job });
const onBoth = (job: BenchJob): Planned[] => [onKit(job), { where: "pytorch", job }];
const onAll = (job: BenchJob): Planned[] => [onKit(job), ...peers.map((where) => ({ where, job }))];
const onTuned = (job: BenchJob): Planned => ({ where: "pytorch-tuned", job });
/**
 * Five processes each of the kit and of PyTorch, in alternation: these jobs take so few seconds that other programs on
 * the machine could disturb a single measurement.
 */
const alternating = (job: BenchJob): Planned[] =>
  [0, 1, 2, 3, 4].flatMap((turn) => onBoth(job).map((planned) => ({ ...planned, turn })));
const stepJob = (shape: Partial<Shape>): ModelJob => ({ what: "step", ...big, ...shape });

const large: ModelJob[] = [stepJob({ classes: 500 }), { what: "evaluation", ...big, classes: 100, batch: 100 }];

const plans: Record<Section, Planned[]> = {
  embedded: [
    ...onBoth({ what: "matmul", size: 2048 }),
    ...alternating({ what: "step", ...small }),
    ...towers.flatMap((what) => onBoth({ what, ...small })),
    ...alternating({ what: "evaluation", ...small, batch: 100 }),
    onKit({
      what: "run",
      arguments: ["--methods", "promptsrc", "--datasets", "food", "--shots", "16", "--set", "epochs=20"],
    }),
  ],
  steps: [
    ...onBoth({ what: "matmul", size: 2048 }),
    ...[10, 50, 100, 500].flatMap((classes) => onBoth(stepJob({ classes }))),
    onKit(stepJob({ classes: 1000 })),
    ...towers.flatMap((what) => onBoth({ what, ...big })),
    ...[500, 1000].map((classes) => onKit({ what: "text", ...big, classes })),
  ],
  eval: [100, 1000].flatMap((classes) => onBoth({ what: "evaluation", ...big, classes, batch: 100 })),
  sweep: Object.entries(sweep).flatMap(([key, values]) =>
    values.ours.flatMap((value) => {
      const job = stepJob({ [key]: value });
      return values.pytorch.includes(value) ? onBoth(job) : [onKit(job)];
    }),
  ),
  peers: [
    // In bfloat16 the small one only: a processor without such instructions would take minutes for a larger one.
    ...onAll({ what: "step", ...small }),
    ...onBoth(stepJob({ classes: 50 })),
    onTuned(stepJob({ classes: 50 })),
    ...large.flatMap((job) => [onKit(job), onTuned(job)]),
    ...large.flatMap(onBoth), // plain PyTorch takes minutes
  ],
};

/** The jobs of the chosen sections, without duplicates. */
export function plan(chosen: readonly Section[], { quick, peer }: { quick: boolean; peer: boolean }): Planned[] {
  const all = quick
    ? [...plans.embedded, ...onBoth(stepJob({ classes: 10 }))]
    : chosen.flatMap((section) => plans[section]);
  const keys = new Set<string>();
  return all.filter((planned) => {
    const key = JSON.stringify(planned);
    if (keys.has(key) || (planned.where !== "ours" && !peer) || (quick && planned.turn)) return false;
    return keys.add(key);
  });
}
