/** Which jobs a bench does, in which order: each of ours is followed by the peer's same job. */
import { type BenchJob, type ModelJob, type Shape, sweep, type Where } from "../src/results/benchFile";

/** `turn` of a job that is measured more than once. */
export type Planned = { where: Where; job: BenchJob; turn?: number };
export const sections = ["embedded", "steps", "eval", "sweep"] as const;
export type Section = (typeof sections)[number];

const big: Shape = { model: "ViT-B/16", classes: 50, batch: 4, depth: 9, nameTokens: "mixed" };
const small: Shape = { model: "mini-clip", classes: 20, batch: 32, depth: 5, nameTokens: "mixed" };
const towers = ["text", "image", "frozen"] as const;

const ours = (job: BenchJob): Planned => ({ where: "ours", job });
const both = (job: BenchJob): Planned[] => [ours(job), { where: "pytorch", job }];
/** Seconds are few for a machine that others share: both sides five times, by turns. */
const byTurns = (job: BenchJob): Planned[] =>
  [0, 1, 2, 3, 4].flatMap((turn) => both(job).map((planned) => ({ ...planned, turn })));
const step = (shape: Partial<Shape>): ModelJob => ({ what: "step", ...big, ...shape });

const plans: Record<Section, Planned[]> = {
  embedded: [
    ...both({ what: "matmul", size: 2048 }),
    ...byTurns({ what: "step", ...small }),
    ...towers.flatMap((what) => both({ what, ...small })),
    ...byTurns({ what: "evaluation", ...small, batch: 100 }),
    ours({
      what: "run",
      arguments: ["--methods", "promptsrc", "--datasets", "food", "--shots", "16", "--set", "epochs=20"],
    }),
  ],
  steps: [
    ...both({ what: "matmul", size: 2048 }),
    ...[10, 50, 100, 500].flatMap((classes) => both(step({ classes }))),
    ours(step({ classes: 1000 })),
    ...towers.flatMap((what) => both({ what, ...big })),
    ...[500, 1000].map((classes) => ours({ what: "text", ...big, classes })),
  ],
  eval: [100, 1000].flatMap((classes) => both({ what: "evaluation", ...big, classes, batch: 100 })),
  sweep: Object.entries(sweep).flatMap(([key, values]) =>
    values.ours.flatMap((value) => {
      const job = step({ [key]: value });
      return values.pytorch.includes(value) ? both(job) : [ours(job)];
    }),
  ),
};

/** The jobs of some sections, each once. */
export function plan(chosen: readonly Section[], { quick, peer }: { quick: boolean; peer: boolean }): Planned[] {
  const all = quick ? [...plans.embedded, ...both(step({ classes: 10 }))] : chosen.flatMap((section) => plans[section]);
  const seen = new Set<string>();
  return all.filter((planned) => {
    const key = JSON.stringify(planned);
    if (seen.has(key) || (planned.where === "pytorch" && !peer) || (quick && planned.turn)) return false;
    return seen.add(key);
  });
}
