/** Sizes of figures for papers and slides, at which their text is readable. */
import type { Annotation, Layout } from "plotly.js-dist-min";
import { oneOf } from "../util/errors";
import { defaultHeight, type Figure, legendRowHeight, legendRows, textSize } from "./style";

/** Width, and height if it is fixed, in inches; size of the text in points. */
const sizes: Record<string, { width: number; height?: number; points: number }> = {
  "one column": { width: 3.25, points: 7 },
  "two columns": { width: 6.75, points: 8 },
  slide: { width: 40 / 3, height: 7.5, points: 18 },
};

const pixelsPerInch = 96;
const pointsPerInch = 72;

/** Estimated mean width of a letter, as a multiple of the text's size. */
const letterWidth = 0.6;

/** Breaks text into lines of an estimated width in pixels, after hyphens too. Tags stay whole, and take no width. */
function wrapped(text: string, width: number, fontSize: number): string {
  const letters = width / (letterWidth * fontSize);
  const lengthOf = (part: string) => part.replace(/<[^>]*>/g, "").length;
  const lines: string[] = [];
  for (const given of text.split("<br>")) {
    lines.push("");
    const words = given.match(/(?:<[^>]*>|[^\s<])+/g) ?? [];
    for (const word of words.flatMap((whole) => whole.split(/(?<=[a-z]{2}-)(?=[a-z])(?![^<]*>)/))) {
      const last = lines[lines.length - 1];
      const joined = last + (last === "" || /[a-z]{2}-$/.test(last) ? "" : " ") + word;
      if (last === "" || lengthOf(joined) <= letters) lines[lines.length - 1] = joined;
      else lines.push(word);
    }
  }
  return lines.join("<br>");
}

const linesOf = (text: string): number => text.split("<br>").length;
/** Height of a line of text, as a multiple of its size. */
const lineHeight = 1.3;

type Text = { text?: string; font?: { size?: number }; subtitle?: Text };

const textOf = (title: unknown): Text => (typeof title === "string" ? { text: title } : ((title ?? {}) as Text));

/** A title whose lines fit into a width, and the pixels by which it is higher than before. */
function fittedTitle(title: Text, width: number, size = 17): { title: Text; growth: number } {
  const fontSize = title.font?.size ?? size;
  const text = wrapped(title.text ?? "", width, fontSize);
  const below = title.subtitle && fittedTitle(title.subtitle, width, textSize);
  const growth = (linesOf(text) - linesOf(title.text ?? "")) * fontSize * lineHeight;
  return { title: { ...title, text, ...(below && { subtitle: below.title }) }, growth: growth + (below?.growth ?? 0) };
}

const gapOfHeadings = 8; // pixels between the headings of neighbouring panels

/** Headings of panels whose lines fit above their panels, and the pixels by which those at the top are higher. */
function fittedHeadings(notes: Partial<Annotation>[], width: number) {
  const isHeading = (note: Partial<Annotation>) =>
    note.xref === "paper" && note.yref === "paper" && note.yanchor === "bottom" && note.showarrow === false;
  const starts = [...notes.filter(isHeading).map(({ x }) => Number(x)), 1];
  let growth = 0;
  const annotations = notes.map((note) => {
    if (!isHeading(note)) return note;
    const end = Math.min(...starts.filter((start) => start > Number(note.x)), 1);
    const text = wrapped(note.text ?? "", width * (end - Number(note.x)) - gapOfHeadings, textSize);
    const lines = linesOf(text) - linesOf(note.text ?? "");
    if (note.y === 1) growth = Math.max(growth, lines * textSize * lineHeight);
    return { ...note, text, align: "left" as const };
  });
  return { annotations, growth };
}

type Axis = {
  domain?: [number, number];
  anchor?: string;
  title?: Text;
  nticks?: number;
  showticklabels?: boolean;
  ticktext?: string[];
  tickangle?: number;
  tickfont?: { size?: number };
};
const axesOf = (layout: Partial<Layout>, letter: "x" | "y"): [string, Axis][] =>
  Object.entries(layout as Record<string, Axis>).filter(([name]) => new RegExp(`^${letter}axis\\d*$`).test(name));

/** Pixels that the labels of a vertical axis take beside the panel to its left. */
const widthOfLabels = 42;
/** Pixels that a number takes at a horizontal axis: a narrow panel has fewer, three at least. */
const widthOfNumber = 30;

/**
 * A layout of equal panels side by side, each with a vertical axis of its own, in which the labels have room: the panels
 * are narrower, and their headings move with them. Any other layout stays.
 */
function withRoomForLabels(layout: Partial<Layout>, width: number): Partial<Layout> {
  const panels = axesOf(layout, "x").filter(([, { domain }]) => domain);
  const starts = [...new Set(panels.map(([, { domain }]) => domain?.[0] ?? 0))].sort((a, b) => a - b);
  const [[from = 0, to = 1] = []] = panels.map(([, { domain }]) => domain ?? []);
  const [first, second] = starts;
  const isLabelled = panels.every(([, { domain, anchor = "y" }]) => {
    const vertical = (layout as Record<string, Axis | undefined>)[`yaxis${anchor.slice(1)}`];
    return domain?.[0] === first || (vertical && vertical.showticklabels !== false);
  });
  const isEqual = starts.every((start, k) => Math.abs(start - k * (second - first)) < 1e-6) && first === 0;
  const missing = widthOfLabels / width - (second - to);
  if (starts.length < 2 || !isLabelled || !isEqual || missing <= 0) return layout;
  const size = to - from - (missing * (starts.length - 1)) / starts.length;
  const moved = (start: number) => starts.indexOf(start) * (size + widthOfLabels / width);
  const narrower = panels.map(([name, axis]) => {
    const start = moved(axis.domain?.[0] ?? 0);
    return [name, { ...axis, domain: [start, start + size] }];
  });
  const annotations = (layout.annotations ?? []).map((note) =>
    note.xref === "paper" && starts.includes(Number(note.x)) ? { ...note, x: moved(Number(note.x)) } : note,
  );
  return { ...layout, ...Object.fromEntries(narrower), annotations };
}

/** The horizontal axes of a layout, whose titles, numbers and names fit under their panels. */
function fittedAxes(layout: Partial<Layout>, width: number): Record<string, unknown> {
  const fitted = axesOf(layout, "x").map(([name, axis]) => {
    const [start, end] = axis.domain ?? [0, 1];
    const pixels = width * (end - start);
    const title = textOf(axis.title);
    const text = title.text && wrapped(title.text, pixels, textSize);
    const nticks = Math.max(3, Math.floor(pixels / widthOfNumber));
    const size = Math.min(axis.tickfont?.size ?? textSize, pixels / Math.max(1, axis.ticktext?.length ?? 0));
    const changed = {
      ...axis,
      ...(text && { title: { ...title, text } }),
      ...(nticks < 5 && !axis.ticktext && { nticks }),
      ...(axis.ticktext && axis.tickangle && { tickfont: { ...axis.tickfont, size } }),
    };
    return [name, changed];
  });
  return Object.fromEntries(fitted);
}

/** Estimated width in pixels of the labels at the vertical axis, where these are names. */
function widthOfNames({ data }: Figure): number {
  const names = (data as { y?: ArrayLike<unknown> }[]).flatMap(({ y }) => Array.from(y ?? []));
  const letters = names.map((name) => (typeof name === "string" ? name.replace(/<[^>]*>/g, "").length : 0));
  return letters.reduce((longest, length) => Math.max(longest, length), 0) * letterWidth * textSize;
}

/**
 * The figure at a size for papers or slides: "one column" (3.25 inches), "two columns" (6.75 inches) or "slide" (13.33
 * by 7.5 inches), with text of 7, 8 and up to 18 points. Titles are broken into lines, and there is room for a legend
 * of several rows. Everything is drawn at the size of a notebook and scaled, so that all proportions stay.
 * @throws UsageError for another size
 */
export function sized(figure: Figure, size: string): Figure {
  const { width: inches, height: fixedHeight, points } = sizes[oneOf("size", size, Object.keys(sizes))];
  const given = figure.layout;
  const [wide, fixed] = [inches, fixedHeight ?? 0].map((length) => length * pixelsPerInch);
  const before = given.height ?? defaultHeight;
  const largest = (points * pixelsPerInch) / pointsPerInch / textSize;
  const width = Math.round(wide / Math.min(largest, fixed > 0 ? fixed / before : largest));
  const margin = { l: 80, r: 80, t: 100, b: 80, ...(given.margin as Record<string, number> | undefined) };

  const { title, growth: titleGrowth } = fittedTitle(textOf(given.title), width - 36);
  const panelsWidth = width - Math.max(margin.l, widthOfNames(figure)) - margin.r;
  const layout = withRoomForLabels(given, panelsWidth);
  const { annotations, growth } = fittedHeadings((layout.annotations ?? []) as Partial<Annotation>[], panelsWidth);
  const hasLegendAbove = layout.legend?.orientation === "h";
  const entries = (figure.data as { name?: string; showlegend?: boolean }[]).flatMap(({ name, showlegend }) =>
    name === undefined || showlegend === false ? [] : [name],
  );
  const moreRows = hasLegendAbove ? Math.max(0, legendRows(entries, width) - legendRows(entries)) : 0;
  const top = margin.t + titleGrowth + growth + legendRowHeight * moreRows;
  const needed = Math.round(before + top - margin.t);
  const finalWidth = fixed > 0 ? Math.max(width, Math.ceil((needed * wide) / fixed)) : width;
  const height = fixed > 0 ? (finalWidth * fixed) / wide : needed;

  // In pixels, the legend stays as far above the headings as it was; Plotly counts in heights of the panels.
  const [panelsBefore, panels] = [before - margin.t - margin.b, height - top - margin.b];
  const legendY = 1 + (((layout.legend?.y ?? 1) - 1) * panelsBefore + growth) / panels;
  return {
    ...figure,
    layout: {
      ...layout,
      ...fittedAxes(layout, panelsWidth),
      title,
      annotations,
      width: finalWidth,
      height,
      margin: { ...margin, t: top },
      ...(hasLegendAbove && { legend: { ...layout.legend, y: legendY } }),
    } as Partial<Layout>,
    scale: wide / finalWidth,
  };
}
