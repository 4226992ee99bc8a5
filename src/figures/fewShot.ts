/** Accuracy against the number of shots: a line per method, zero-shot CLIP as a dashed line. */

import type { AccuracyScore } from "../results/accuracy";
import { type Paper, paperTitle } from "../results/paper";
import { average, overSeeds, type Spread } from "../results/statistics";
import type { Labelled } from "../results/table";
import { choiceFigure } from "./choice";
import { type Line, linesFigure } from "./lines";
import type { Figure } from "./style";

type Point = { shots: number; value: Spread };

/**
 * The mean of our datasets, the paper's mean of its 11, and each of our datasets, by a menu. A method stands in a mean where it was run on
 * all datasets of it; bars are standard deviations over seeds.
 * @param scores whose `column` is the number of shots, 0 for zero-shot
 * @throws when there is no score
 */
export function fewShotFigure(scores: AccuracyScore[], methods: Labelled[], paper: Paper): Figure {
  const datasets = [...new Set(scores.map((s) => s.dataset))];
  if (datasets.length === 0) throw new Error(`no few-shot run of ${methods.map((m) => m.name).join(", ")} to draw`);
  const over = `, ${overSeeds(scores)}`;
  const points = (method: Labelled, of: AccuracyScore[]): Point[] => {
    const own = of.filter((s) => s.method === method.name);
    const wanted = new Set(of.map((s) => s.dataset)).size;
    return [...new Set(own.map((s) => Number(s.column)))]
      .sort((a, b) => a - b)
      .flatMap((shots) => {
        const at = own.filter((s) => s.column === `${shots}`);
        return new Set(at.map((s) => s.dataset)).size === wanted ? [{ shots, value: average(at) }] : [];
      });
  };
  const each = datasets.map((dataset) => {
    const of = scores.filter((s) => s.dataset === dataset);
    const own = methods.map((method) => ({ method, points: points(method, of) }));
    return { label: dataset, figure: shotsFigure(`<b>Ours</b>: ${dataset}${over}`, own) };
  });
  const mean = methods.map((method) => ({ method, points: points(method, scores) }));
  const ours = {
    label: `mean of ${datasets.length} datasets`,
    figure: shotsFigure(`<b>Ours</b>: mean of ${datasets.length} datasets${over}`, mean),
  };
  const printed = methods.flatMap((method) => {
    const values = paper.fewShot.rows[method.title]?.average;
    return values
      ? [
          {
            method,
            points: values.map((value, k) => ({
              shots: Number(paper.fewShot.columns[k]),
              value: { mean: value, n: 1 },
            })),
          },
        ]
      : [];
  });
  const heading = `<b>Paper</b>: mean of 11 datasets, ViT-B/16 (${paperTitle.split(",")[0]})`;
  const theirs = printed.length > 0 ? [{ label: "the paper's numbers", figure: shotsFigure(heading, printed) }] : [];
  return choiceFigure(datasets.length > 1 ? [ours, ...theirs, ...each] : [...each, ...theirs]);
}

function shotsFigure(heading: string, drawn: { method: Labelled; points: Point[] }[]): Figure {
  const shots = [...new Set(drawn.flatMap(({ points }) => points.map((p) => p.shots)))]
    .filter((k) => k > 0)
    .sort((a, b) => a - b);
  const lines = drawn.flatMap(({ method, points }): Line[] => {
    const few = points.filter((p) => p.shots > 0);
    const [zero] = points.filter((p) => p.shots === 0);
    if (zero)
      return [
        {
          ...method,
          title: `${method.title}, zero-shot`,
          x: shots,
          y: shots.map(() => zero.value.mean),
          dash: "dash",
          plain: true,
        },
      ];
    if (few.length === 0) return [];
    return [{ ...method, x: few.map((p) => p.shots), y: few.map((p) => p.value.mean), sd: few.map((p) => p.value.sd) }];
  });
  const last = shots[shots.length - 1];
  const said = drawn.flatMap(({ method, points }) =>
    points.filter((p) => p.shots === last || p.shots === 0).map((p) => `${method.title} ${p.value.mean.toFixed(1)}`),
  );
  return linesFigure(
    "Few-shot accuracy",
    "few-shot",
    [{ title: heading, x: "shots: training pictures of each class", lines, unit: " %", ticks: shots, log: "x" }],
    {
      height: 460,
      alt: `Few-shot accuracy (%) with ${last} shots: ${said.join("; ")}`,
    },
  );
}
