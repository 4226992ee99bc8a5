/**
 * Shows interactive figures, tables and pictures as outputs of a cell. Each is one output, which also contains plain
 * text for viewers that support nothing else.
 *
 * A figure is sent as Plotly's JSON alone. JupyterLab adds its drawing for code hosts (src/jupyterlab/renderer.ts); for
 * notebooks that were run without JupyterLab, `addPictures` (pictures.ts) does.
 */
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Figure } from "../figures/style";
import { type Table, tableHtml, tableText } from "../results/table";
import { UsageError } from "../util/errors";
import { tableMime } from "./storedOutputs";

/** HTML, and its content as plain text. */
export type Html = { html: string; text: string };
/** The properties of a danfo DataFrame that are needed to show one. */
type Frame = { columns: string[]; values: unknown[] };
/** Text in another language of Jupyter: a drawing as SVG, Markdown, or a formula in LaTeX's math mode, such as "x^2". */
type Marked = { svg: string } | { markdown: string } | { latex: string };
/** The bytes of a PNG or JPEG file are a picture. */
type Shown = Figure | Table | Html | Frame | Marked | Uint8Array;

type Bundle = Record<string, unknown>;
type Writer = (content: { data: Bundle; metadata: Bundle; transient: Bundle }, update: boolean) => void;

/** The Jupyter MIME bundle (content by MIME type) of anything that can be shown. */
export function bundleOf(thing: Shown): Bundle {
  if (thing instanceof Uint8Array) return pictureBundle(thing);
  if ("svg" in thing) return { "image/svg+xml": thing.svg, "text/plain": thing.svg };
  if ("markdown" in thing) return { "text/markdown": thing.markdown, "text/plain": thing.markdown };
  if ("latex" in thing) return { "text/latex": `$$${thing.latex}$$`, "text/plain": thing.latex };
  if ("html" in thing) return { "text/html": thing.html, "text/plain": thing.text };
  if ("layout" in thing) {
    const { data, layout, config, alt } = thing;
    return { "application/vnd.plotly.v1+json": { data, layout, config: config ?? {} }, "text/plain": alt };
  }
  const table = "rows" in thing ? thing : frameTable(thing);
  return { "text/html": tableHtml(table), "text/plain": tableText(table), [tableMime]: table };
}

/** @throws UsageError for bytes that begin like neither format */
function pictureBundle(bytes: Uint8Array): Bundle {
  const begins = (...start: number[]) => start.every((byte, i) => bytes[i] === byte);
  const type = begins(0x89, 0x50, 0x4e, 0x47) ? "image/png" : begins(0xff, 0xd8, 0xff) ? "image/jpeg" : undefined;
  if (!type)
    throw new UsageError(`show takes the bytes of a PNG or JPEG file; these ${bytes.length} bytes are neither`);
  const text = `a picture (${type}, ${bytes.length} bytes)`;
  return { [type]: Buffer.from(bytes).toString("base64"), "text/plain": text };
}

function frameTable(frame: Frame): Table {
  const rows = (frame.values as unknown[][]).map((values) =>
    Object.fromEntries(
      frame.columns.map((name, k) => [name, Number.isNaN(values[k]) ? undefined : (values[k] as string | number)]),
    ),
  );
  const isInteger = (name: string) => rows.every((r) => typeof r[name] !== "number" || Number.isInteger(r[name]));
  return {
    title: "",
    columns: frame.columns.map((name) => ({ key: name, title: name, digits: isInteger(name) ? 0 : 2 })),
    rows,
  };
}

/** The kernel's function that sends an output, or that of the notebook runner; undefined outside a notebook. */
function writer(): Writer | undefined {
  // tslab's public API sends only one MIME type per output. This is the internal function that it calls.
  const jupyter = createRequire(join(process.cwd(), "package.json"))("tslab/dist/jupyter.js") as {
    lastWriteDisplayData?: Writer;
  };
  return jupyter.lastWriteDisplayData;
}

/**
 * Shows a figure, a table, a danfo DataFrame, HTML, SVG, Markdown, LaTeX or a picture (its bytes) as output of the cell.
 * Outside a notebook, prints its plain text. @throws UsageError for bytes that are neither PNG nor JPEG
 */
export function show(thing: Shown): void {
  const bundle = bundleOf(thing);
  const write = writer();
  if (write) write({ data: bundle, metadata: {}, transient: {} }, false);
  else console.log(bundle["text/plain"]);
}

/** A function as `show` whose calls all overwrite one output. Outside a notebook it does nothing. */
export function overwritten(): (thing: Shown) => void {
  const transient = { display_id: randomUUID() };
  let isUpdate = false;
  return (thing) => {
    writer()?.({ data: bundleOf(thing), metadata: {}, transient }, isUpdate);
    isUpdate = true;
  };
}
