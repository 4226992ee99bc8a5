/** Accuracy of each class, frozen against prompted: which classes training helps, and which it costs. */
import type { Data, Layout } from "plotly.js-dist-min";
import { type Change, changesByClass, changesByDataset } from "../analysis/classes";
import type { RowPredictions } from "../results/predictions";
import type { Labelled } from "../results/table";
import { escapeHtml } from "../util/escape";
import { choiceFigure } from "./choice";
import { axis, baseConfig, baseLayout, colourOf, type Figure, faintInk, panelTitle } from "./style";

/** Names stand below the classes up to this number over all panels; beyond it they are on hover only. */
const mostNames = 48;

/**
 * A panel for each test ("base", "novel"): every class as a line from the accuracy of `frozen` to that of `prompted`,
 * the largest gain first. The menu leads from the datasets, if there are several, to the classes of each. Pictures of
 * several seeds are counted together.
 * @param predictions of both rows (`predictionsOf`)
 * @throws if the two share no dataset and seed
 */
export function classesFigure(
  title: string,
  predictions: RowPredictions[],
  frozen: Labelled,
  prompted: Labelled,
): Figure {
  const classes = changesByClass(predictions, frozen.name, prompted.name);
  const datasets = [...new Set(classes.map(({ dataset }) => dataset))];
  const draw = (changes: Change[], what: string) => panelsOf(title, changes, what, frozen, prompted);
  const each = datasets.map((label) => ({
    label: datasets.length > 1 ? `classes of ${label}` : label,
    figure: draw(
      classes.filter(({ dataset }) => dataset === label),
      "classes",
    ),
  }));
  return choiceFigure(
    datasets.length > 1
      ? [{ label: `${datasets.length} datasets`, figure: draw(changesByDataset(classes), "datasets") }, ...each]
      : each,
  );
}

function panelsOf(title: string, changes: Change[], what: string, frozen: Labelled, prompted: Labelled): Figure {
  const tests = [...new Set(changes.map(({ test }) => test))];
  const gap = 0.05;
  const width = (1 - gap * (tests.length - 1)) / tests.length;
  const panels = tests.map((test, k) => ({
    test,
    suffix: k === 0 ? "" : `${k + 1}`,
    domain: [k * (width + gap), k * (width + gap) + width] as [number, number],
    changes: changes.filter((change) => change.test === test),
  }));
  const axes = panels.flatMap(({ suffix, domain, changes: own }, k) => [
    [`xaxis${suffix}`, { ...placeAxis(own, tests.length), domain, anchor: `y${suffix}` }],
    [`yaxis${suffix}`, { ...percentAxis(k), anchor: `x${suffix}` }],
  ]);
  const summaries = panels.map(({ test, changes: own }) => `${test}: ${inWords(own, what)}`);
  const base = baseLayout(title, 460, [frozen.title, prompted.title]);
  return {
    data: panels.flatMap(({ changes: own, suffix }, k) => traces(own, suffix, frozen, prompted, k === 0)),
    layout: {
      ...base,
      ...Object.fromEntries(axes),
      annotations: panels.map(({ test, changes: own, domain }) =>
        panelTitle(`<b>${heading(test)}</b>${inWords(own, what)}`, domain),
      ),
    } as unknown as Partial<Layout>,
    config: baseConfig("classes"),
    alt: `${title}, ${prompted.title} against ${frozen.title}; ${summaries.join("; ")}`,
  };
}

/** The heading of a test; one that is not of halves is called "accuracy" and needs none. */
const heading = (test: string): string =>
  test === "accuracy" ? "" : `${test[0].toUpperCase()}${test.slice(1)} classes: `;

const spaced = (name: string): string => escapeHtml(name.replaceAll("_", " "));
const points = ({ frozen, prompted }: Change): string => {
  const change = prompted - frozen;
  return `${change < 0 ? "\u2212" : "+"}${Math.abs(change).toFixed(1)}`;
};

/** How many rise and how many fall. */
function inWords(changes: Change[], what: string): string {
  const count = (test: (change: number) => boolean) =>
    changes.filter(({ frozen, prompted }) => test(prompted - frozen)).length;
  return `${count((c) => c > 0)} of ${changes.length} ${what} rise, ${count((c) => c < 0)} fall`;
}

/** The lines from frozen to prompted, and the points at both ends. */
function traces(changes: Change[], suffix: string, frozen: Labelled, prompted: Labelled, legend: boolean): Data[] {
  const place = changes.map((_, k) => k);
  const axes = { xaxis: `x${suffix}`, yaxis: `y${suffix}` };
  const hover = changes.map(
    (change) =>
      `<b>${spaced(change.name)}</b>: ${points(change)} points<br>${frozen.title} ${change.frozen.toFixed(1)} %, ` +
      `${prompted.title} ${change.prompted.toFixed(1)} %<br>of ${change.pictures} predictions ` +
      `(${change.seeds} ${change.seeds === 1 ? "seed" : "seeds"}), ${change.gained} became right, ${change.lost} wrong`,
  );
  const ends = [frozen, prompted].map(({ name, title }, k) => ({
    type: "scatter",
    mode: "markers",
    name: title,
    legendgroup: title,
    showlegend: legend,
    x: place,
    y: changes.map((change) => (k === 0 ? change.frozen : change.prompted)),
    marker: {
      color: colourOf(name, [frozen.name, prompted.name]),
      size: 7,
      symbol: k === 0 ? "circle-open" : "circle",
    },
    text: hover,
    hovertemplate: "%{text}<extra></extra>",
    ...axes,
  }));
  const lines = {
    type: "scatter",
    mode: "lines",
    showlegend: false,
    x: place.flatMap((k) => [k, k, null]),
    y: changes.flatMap((change) => [change.frozen, change.prompted, null]),
    line: { color: "#b9bec6", width: 1.6 },
    hoverinfo: "skip",
    ...axes,
  };
  return [lines, ...ends] as unknown as Data[];
}

const placeAxis = (changes: Change[], panels: number): Record<string, unknown> => ({
  ...axis,
  showgrid: false,
  range: [-0.7, changes.length - 0.3],
  ...(changes.length * panels <= mostNames
    ? {
        tickvals: changes.map((_, k) => k),
        ticktext: changes.map(({ name }) => spaced(name)),
        tickangle: -60,
        ticks: "",
        tickfont: { size: 11, color: faintInk },
      }
    : {
        showticklabels: false,
        ticks: "",
        title: { text: "largest gain first", font: { size: 13 }, standoff: 6 },
      }),
});

const percentAxis = (k: number): Record<string, unknown> => ({
  ...axis,
  range: [-2, 102],
  ticksuffix: " %",
  ...(k > 0 ? { matches: "y", showticklabels: false, ticks: "" } : {}),
});
