/** A map of the features of pictures and class names, by PCA and by UMAP, with base and novel classes marked. */
import type { Data, Layout } from "plotly.js-dist-min";
import { centred, type Features, type Place, pca, umap } from "../analysis/features";
import type { Labelled } from "../results/table";
import { escapeHtml } from "../util/escape";
import { choiceFigure } from "./choice";
import { axis, baseConfig, baseLayout, type Figure, ink, panelTitle } from "./style";

/** The two halves of the classes. */
const halves = [
  { name: "base", colour: "#1f5fa8", symbol: "circle" },
  { name: "novel", colour: "#e08e0b", symbol: "triangle-up" },
];

type Kind = "image" | "text";
type Measured = { method: Labelled; features: Features };
/** The places of all features in one map. */
type FeatureMap = { label: string; heading: string; places: Record<Kind, Place[]>[] };

/**
 * A panel for each classifier, on common axes: every picture as a small mark, every class name as a large one with a
 * dark rim. The menu chooses PCA or UMAP. Both are of the features of all classifiers together; those of pictures and
 * those of names are centred each, because CLIP keeps the two in separate cones, a gap that would fill the map.
 * @param measured features of the same pictures and class names (`featuresOf`), such as the frozen and the prompted
 * @param base how many of the classes, from the first, are base classes
 */
export function featuresFigure(title: string, classNames: string[], base: number, measured: Measured[]): Figure {
  const groups = (["image", "text"] as const).map((kind) => {
    const rows = measured.flatMap(({ features }) => features[kind]);
    return { kind, length: rows.length / measured.length, rows: centred(rows) };
  });
  const all = groups.flatMap(({ rows }) => rows);
  const parted = (places: Place[]): Record<Kind, Place[]>[] =>
    measured.map((_, m) => {
      const [{ length: images }, { length: names }] = groups;
      const afterImages = measured.length * images;
      return {
        image: places.slice(m * images, (m + 1) * images),
        text: places.slice(afterImages + m * names, afterImages + (m + 1) * names),
      };
    });
  const { places, share } = pca(all);
  const maps: FeatureMap[] = [
    { label: "PCA", heading: `PCA, ${(100 * share).toFixed(0)} % of the variance`, places: parted(places) },
    { label: "UMAP", heading: "UMAP", places: parted(umap(all)) },
  ];
  return choiceFigure(maps.map((map) => ({ label: map.label, figure: drawn(title, classNames, base, measured, map) })));
}

function drawn(
  title: string,
  classNames: string[],
  base: number,
  measured: Measured[],
  { heading, places }: FeatureMap,
): Figure {
  const gap = 0.04;
  const width = (1 - gap * (measured.length - 1)) / measured.length;
  const domains = measured.map((_, k): [number, number] => [k * (width + gap), k * (width + gap) + width]);
  const suffix = (k: number) => (k === 0 ? "" : `${k + 1}`);
  const bare = { ...axis, showgrid: false, showticklabels: false, ticks: "", mirror: true };
  const axes = measured.flatMap((_, k) => [
    [`xaxis${suffix(k)}`, { ...bare, domain: domains[k], anchor: `y${suffix(k)}`, ...(k > 0 && { matches: "x" }) }],
    [`yaxis${suffix(k)}`, { ...bare, anchor: `x${suffix(k)}`, ...(k > 0 && { matches: "y" }) }],
  ]);
  const legend = halves.flatMap(({ name }) => [`pictures, ${name}`, `names, ${name}`]);
  return {
    data: measured.flatMap(({ features: { labels } }, k) => [
      ...marks("image", labels, places[k].image, classNames, base, suffix(k)),
      ...marks(
        "text",
        classNames.map((_, label) => label),
        places[k].text,
        classNames,
        base,
        suffix(k),
      ),
    ]),
    layout: {
      ...baseLayout(title, 470, legend),
      ...Object.fromEntries(axes),
      annotations: measured.map(({ method }, k) =>
        panelTitle(`<b>${method.title}</b>${k === 0 ? `: ${heading}` : ""}`, domains[k]),
      ),
    } as unknown as Partial<Layout>,
    config: baseConfig("features"),
    alt:
      `${title}: ${heading}, of ${measured.map(({ method }) => method.title).join(" and ")}; ` +
      `${places[0].image.length} pictures and ${classNames.length} class names, of which ${base} are base classes`,
  };
}

/** The marks of one kind of features in one panel: a trace for each half of the classes. */
function marks(
  kind: Kind,
  labels: number[],
  places: Place[],
  classNames: string[],
  base: number,
  suffix: string,
): Data[] {
  return halves.map(({ name, colour, symbol }, half) => {
    const chosen = labels.flatMap((label, k) => (Number(label >= base) === half ? [k] : []));
    const title = `${kind === "image" ? "pictures" : "names"}, ${name}`;
    return {
      type: "scatter",
      mode: "markers",
      name: title,
      legendgroup: title,
      showlegend: suffix === "",
      x: chosen.map((k) => places[k][0]),
      y: chosen.map((k) => places[k][1]),
      marker: {
        color: colour,
        symbol,
        size: kind === "image" ? 5 : 9,
        opacity: kind === "image" ? 0.5 : 1,
        line: { color: kind === "image" ? colour : ink, width: kind === "image" ? 0 : 1.4 },
      },
      text: chosen.map((k) => escapeHtml(classNames[labels[k]].replaceAll("_", " "))),
      hovertemplate: `${kind === "image" ? "a picture of " : "the name "}%{text} (${name})<extra></extra>`,
      xaxis: `x${suffix}`,
      yaxis: `y${suffix}`,
    } as unknown as Data;
  });
}
