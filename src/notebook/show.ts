/**
 * What a cell shows: figures (interactive), tables, pictures. One output each, with plain text for viewers that know nothing else.
 *
 * A figure goes out as Plotly's JSON without a picture: JupyterLab's renderer would show the picture first and the live figure only
 * under the mouse. Lab itself adds the picture when it saves a notebook, and `addPictures` (pictures.ts) does so for notebooks run
 * without Lab, so that GitHub has something to show.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Figure } from "../figures/style";
import { type Table, tableHtml, tableText } from "../results/table";

/** Ready-made HTML and what it says in words. */
export type Html = { html: string; text: string };
/** As much of a danfo DataFrame as is needed to show one. */
export type Frame = { columns: string[]; values: unknown[] };
export type Shown = Figure | Table | Html | Frame;

type Bundle = Record<string, unknown>;
type Writer = (content: { data: Bundle; metadata: Bundle; transient: Bundle }, update: boolean) => void;

/** The MIME bundle of anything that can be shown. */
export function bundleOf(thing: Shown): Bundle {
  if ("html" in thing) return { "text/html": thing.html, "text/plain": thing.text };
  if ("layout" in thing) {
    const { data, layout, config, alt } = thing;
    return { "application/vnd.plotly.v1+json": { data, layout, config: config ?? {} }, "text/plain": alt };
  }
  const table = "rows" in thing ? thing : frameTable(thing);
  return { "text/html": tableHtml(table), "text/plain": tableText(table) };
}

function frameTable(frame: Frame): Table {
  const rows = (frame.values as unknown[][]).map((values) =>
    Object.fromEntries(
      frame.columns.map((name, k) => [name, Number.isNaN(values[k]) ? undefined : (values[k] as string | number)]),
    ),
  );
  const whole = (name: string) => rows.every((r) => typeof r[name] !== "number" || Number.isInteger(r[name]));
  return {
    title: "",
    columns: frame.columns.map((name) => ({ key: name, title: name, digits: whole(name) ? 0 : 2 })),
    rows,
  };
}

/** Shows a figure, a table, a danfo DataFrame or HTML as the output of the cell; outside a notebook its text is printed. */
export function show(thing: Shown): void {
  const bundle = bundleOf(thing);
  // tslab's public API sends one MIME type per output; this is the function beneath it, set when a kernel or the notebook runner is on.
  const jupyter = createRequire(join(process.cwd(), "package.json"))("tslab/dist/jupyter.js") as {
    lastWriteDisplayData?: Writer;
  };
  if (jupyter.lastWriteDisplayData) jupyter.lastWriteDisplayData({ data: bundle, metadata: {}, transient: {} }, false);
  else console.log(bundle["text/plain"]);
}
