/** Accuracy against the number of shots: one line per method, and a dashed line for zero-shot CLIP. */

import type { AccuracyScore } from "../results/accuracy";
import { type Paper, paperAuthors } from "../results/paper";
import { average, overSeeds, type Spread } from "../results/statistics";
import type { Labelled } from "../results/table";
import { choiceFigure } from "./choice";
import { type Line, linesFigure } from "./lines";
import type { Figure } from "./style";

type Point = { shots: number; value: Spread };

/**
 * A menu chooses between the mean over our datasets, the paper's mean over its 11 datasets, and each of our datasets.
 * The mean over our datasets shows a method only at those numbers of shots with which it was run on all of them. Error
 * bars are standard deviations over seeds.
 * @param scores with the number of shots in `column`, 0 for zero-shot
 * @throws if there is no score
 */
export function fewShotFigure(scores: AccuracyScore[], methods: Labelled[], paper: Paper): Figure {
  const datasets = [...new Set(scores.map((s) => s.dataset))];
  if (datasets.length === 0) throw new Error(`no few-shot run of ${methods.map((m) => m.name).join(", ")} to draw`);
  const seeds = `, ${overSeeds(scores)}`;
  const points = (method: Labelled, list: AccuracyScore[]): Point[] => {
    const ofMethod = list.filter((s) => s.method === method.name);
    const datasetCount = new Set(list.map((s) => s.dataset)).size;
    return [...new Set(ofMethod.map((s) => Number(s.column)))]
      .sort((a, b) => a - b)
      .flatMap((shots) => {
        const withShots = ofMethod.filter((s) => s.column === `${shots}`);
        const isComplete = new Set(withShots.map((s) => s.dataset)).size === datasetCount;
        return isComplete ? [{ shots, value: average(withShots) }] : [];
      });
  };
  const datasetChoices = datasets.map((dataset) => {
    const ofDataset = scores.filter((s) => s.dataset === dataset);
    const drawn = methods.map((method) => ({ method, points: points(method, ofDataset) }));
    return { label: dataset, figure: shotsFigure(`<b>Ours</b>: ${dataset}${seeds}`, drawn) };
  });
  const means = methods.map((method) => ({ method, points: points(method, scores) }));
  const meanChoice = {
    label: `mean of ${datasets.length} datasets`,
    figure: shotsFigure(`<b>Ours</b>: mean of ${datasets.length} datasets${seeds}`, means),
  };
  const paperPoints = methods.flatMap((method) => {
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
  const others = paperPoints.some(({ method }) => paper.fewShot.others?.[method.title] !== undefined);
  const heading = `<b>Paper</b>: mean of 11 datasets, ViT-B/16 (${paperAuthors(others)})`;
  const paperChoice =
    paperPoints.length > 0 ? [{ label: "the paper's numbers", figure: shotsFigure(heading, paperPoints) }] : [];
  return choiceFigure(
    datasets.length > 1 ? [meanChoice, ...paperChoice, ...datasetChoices] : [...datasetChoices, ...paperChoice],
  );
}

function shotsFigure(heading: string, drawn: { method: Labelled; points: Point[] }[]): Figure {
  const shots = [...new Set(drawn.flatMap(({ points }) => points.map((p) => p.shots)))]
    .filter((k) => k > 0)
    .sort((a, b) => a - b);
  const lines = drawn.flatMap(({ method, points }): Line[] => {
    const fewShotPoints = points.filter((p) => p.shots > 0);
    const [zeroShotPoint] = points.filter((p) => p.shots === 0);
    if (zeroShotPoint)
      return [
        {
          ...method,
          title: `${method.title}, zero-shot`,
          x: shots,
          y: shots.map(() => zeroShotPoint.value.mean),
          dash: "dash",
          plain: true,
        },
      ];
    if (fewShotPoints.length === 0) return [];
    return [
      {
        ...method,
        x: fewShotPoints.map((p) => p.shots),
        y: fewShotPoints.map((p) => p.value.mean),
        sd: fewShotPoints.map((p) => p.value.sd),
      },
    ];
  });
  const last = shots[shots.length - 1];
  const summaries = drawn.flatMap(({ method, points }) =>
    points.filter((p) => p.shots === last || p.shots === 0).map((p) => `${method.title} ${p.value.mean.toFixed(1)}`),
  );
  return linesFigure(
    "Few-shot accuracy",
    "few-shot",
    [{ title: heading, x: "shots: training pictures of each class", lines, unit: " %", ticks: shots, log: "x" }],
    {
      height: 460,
      alt: `Few-shot accuracy (%) with ${last} shots: ${summaries.join("; ")}`,
    },
  );
}
