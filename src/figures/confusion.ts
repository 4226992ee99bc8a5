/** Which classes are taken for which: confusion matrices, and the confusions that occur most often. */
import type { Data, Layout } from "plotly.js-dist-min";
import { confusionMatrix, largestConfusions } from "../analysis/confusion";
import type { Predicted } from "../results/predictions";
import type { Labelled } from "../results/table";
import { escapeHtml } from "../util/escape";
import { choiceFigure } from "./choice";
import { axis, baseConfig, baseLayout, type Figure, faintInk, ink, panelTitle } from "./style";

/** Plotly reads labels as HTML. */
const spaced = (name: string): string => escapeHtml(name.replaceAll("_", " "));

const bareAxis = { ...axis, showgrid: false, showticklabels: false, ticks: "" };

/** The colours of shares from 0 to 100 %. */
const shares = {
  cmin: 0,
  cmax: 100,
  colorscale: [
    [0, "#ffffff"],
    [0.1, "#dbe7f3"],
    [0.3, "#8fb6da"],
    [0.6, "#3a78b5"],
    [1, "#0b2f57"],
  ],
  colorbar: { ticksuffix: " %", thickness: 12, outlinewidth: 0, tickfont: { color: faintInk } },
};

/**
 * Mean predicted probabilities, or shares of the predictions (a confusion matrix), as heat maps, with one row for the
 * images of each class. The heading of each panel gives the mean over the classes of the value of the true class.
 */
export function confusionFigure(
  title: string,
  classNames: string[],
  measured: { method: Labelled; rows: number[][] }[],
): Figure {
  const gap = 0.04;
  const width = (1 - gap * (measured.length - 1)) / measured.length;
  const domains = measured.map((_, k): [number, number] => [k * (width + gap), k * (width + gap) + width]);
  const trueClassMeans = measured.map(
    ({ rows }) => (100 * rows.reduce((sum, row, c) => sum + row[c], 0)) / rows.length,
  );
  const names = classNames.map(spaced);
  const data = measured.map(
    ({ method, rows }, k) =>
      ({
        type: "heatmap",
        z: rows.map((row) => row.map((p) => 100 * p)),
        x: names,
        y: names,
        xaxis: `x${k + 1}`.replace("x1", "x"),
        yaxis: `y${k + 1}`.replace("y1", "y"),
        coloraxis: "coloraxis",
        hovertemplate: `${method.title}: a picture of %{y}<br>is called %{x} with %{z:.1f} %<extra></extra>`,
      }) as unknown as Data,
  );
  const base = baseLayout(title, 370);
  const layout = {
    ...base,
    margin: { ...base.margin, t: 74 }, // no legend
    ...Object.fromEntries(
      measured.flatMap((_, k) => {
        const suffix = k === 0 ? "" : `${k + 1}`;
        const x = {
          ...bareAxis,
          domain: domains[k],
          anchor: `y${suffix}`,
          title: { text: "called", font: { size: 13 }, standoff: 6 },
        };
        const y = {
          ...bareAxis,
          anchor: `x${suffix}`,
          autorange: "reversed",
          title: k === 0 ? { text: "picture of", font: { size: 13 } } : undefined,
        };
        return [
          [`xaxis${suffix}`, x],
          [`yaxis${suffix}`, y],
        ];
      }),
    ),
    coloraxis: shares,
    annotations: measured.map(({ method }, k) =>
      panelTitle(`<b>${method.title}</b>: true class ${trueClassMeans[k].toFixed(0)} %`, domains[k]),
    ),
  } as unknown as Partial<Layout>;
  const summaries = measured.map(({ method }, k) => `${method.title} ${trueClassMeans[k].toFixed(1)}`);
  return {
    data,
    layout,
    config: baseConfig("predictions"),
    alt: `${title}; the true class, in the mean of the classes (%): ${summaries.join(", ")}`,
  };
}

/**
 * The confusion matrix of a classifier, in shares of the pictures of each class, beside its largest confusions with
 * their numbers of pictures. The menu chooses among several: classifiers, datasets, or halves of their classes.
 */
export const confusionsFigure = (
  title: string,
  choices: { label: string; classNames: string[]; predictions: Predicted[] }[],
): Figure =>
  choiceFigure(
    choices.map(({ label, classNames, predictions }) => ({
      label,
      figure: matrixAndList(choices.length > 1 ? `${title}, ${label}` : title, classNames, predictions),
    })),
  );

const matrixDomain: [number, number] = [0, 0.5];
const listDomain: [number, number] = [0.55, 1];

function matrixAndList(title: string, classNames: string[], predictions: Predicted[]): Figure {
  const names = classNames.map(spaced);
  const { rows } = largestConfusions(predictions, classNames);
  const pairs = rows.map((row) => `${spaced(`${row.class}`)} \u2192 ${spaced(`${row.predicted}`)}`);
  const counts = rows.map((row) => row.pictures as number);
  const right = predictions.filter(({ label, predicted }) => label === predicted).length;
  const accuracy = ((100 * right) / predictions.length).toFixed(1);
  const list = { xaxis: "x2", yaxis: "y2", y: pairs.map((_, k) => k) };
  const data = [
    {
      type: "heatmap",
      z: confusionMatrix(predictions, classNames).map((row) => row.map((share) => 100 * share)),
      x: names,
      y: names,
      coloraxis: "coloraxis",
      hovertemplate: "%{z:.1f} % of the pictures of %{y}<br>are taken for %{x}<extra></extra>",
    },
    {
      ...list,
      type: "bar",
      orientation: "h",
      x: counts,
      marker: { color: "#dbe7f3" },
      text: pairs,
      customdata: rows.map((row) => (row.share as number).toFixed(1)),
      textposition: "none",
      hovertemplate: "%{text}: %{x} pictures, %{customdata} % of the class<extra></extra>",
    },
    {
      ...list,
      type: "scatter",
      mode: "text",
      x: counts.map(() => 0),
      text: pairs.map((pair, k) => ` ${pair}  <b>${counts[k]}</b>`),
      textposition: "middle right",
      textfont: { color: ink },
      cliponaxis: false,
      hoverinfo: "skip",
    },
  ] as unknown as Data[];
  const base = baseLayout(title, 490);
  const layout = {
    ...base,
    showlegend: false,
    margin: { ...base.margin, t: 74, b: 92 }, // no legend above, the scale of the colours below
    xaxis: { ...bareAxis, domain: matrixDomain, title: { text: "taken for", font: { size: 13 }, standoff: 6 } },
    yaxis: { ...bareAxis, autorange: "reversed", title: { text: "picture of", font: { size: 13 } } },
    xaxis2: { ...bareAxis, domain: listDomain, anchor: "y2", rangemode: "tozero", showline: false },
    yaxis2: { ...bareAxis, anchor: "x2", range: [9.6, -0.6] },
    coloraxis: {
      ...shares,
      colorbar: {
        ...shares.colorbar,
        orientation: "h",
        x: 0,
        xanchor: "left",
        xpad: 0,
        len: matrixDomain[1],
        y: -0.1,
        yanchor: "top",
      },
    },
    annotations: [
      panelTitle(`<b>${accuracy} %</b> of ${predictions.length} pictures are right`, matrixDomain),
      panelTitle("<b>Largest confusions</b>, in pictures", listDomain),
    ],
  } as unknown as Partial<Layout>;
  const largest = pairs.slice(0, 3).map((pair, k) => `${pair} (${counts[k]})`);
  return {
    data,
    layout,
    config: baseConfig("confusions"),
    alt: `${title}: ${accuracy} % right; most often confused: ${largest.join(", ")}`,
  };
}
