/** Saves a figure or a table in all formats, for papers, slides, the web and other programs. */
import { existsSync, realpathSync } from "node:fs";
import { dirname, isAbsolute, join, normalize, relative, resolve } from "node:path";
import { figureFormats, saveFigure } from "../figures/save";
import { sized } from "../figures/sizes";
import type { Figure } from "../figures/style";
import { writeAtomic } from "../io/atomicWrite";
import { type Table, tableHtml } from "../results/table";
import { tableCsv, tableLatex, tableMarkdown } from "../results/tableFormats";
import { UsageError } from "../util/errors";
import { htmlPage } from "../util/htmlPage";

/** Tables as files: the text of each format. */
export const tableFormats: Record<string, (table: Table) => string> = {
  csv: tableCsv,
  md: tableMarkdown,
  tex: tableLatex,
  html: (table) => htmlPage(table.title, tableHtml(table)),
};

/** Checks a name for files below a folder. @throws UsageError where it leaves the folder or is not a name */
function checkName(name: string): void {
  const example = 'give a name such as "accuracy" or "food/accuracy"';
  const isOutside = isAbsolute(name) || name.includes("\\") || /^\.\.?(\/|$)/.test(normalize(name));
  if (name.trim() === "" || name.endsWith("/") || isOutside)
    throw new UsageError(`cannot save as "${name}": it is no file inside the folder; ${example}, and { folder } apart`);
  const ending = [...figureFormats, ...Object.keys(tableFormats)].find((format) => name.endsWith(`.${format}`));
  if (ending !== undefined)
    throw new UsageError(`cannot save as "${name}": all formats are written; leave out the ending .${ending}`);
}

/**
 * Refuses a folder outside the clone, links followed, so that the notebook of somebody else cannot write where it likes.
 * PROMPTSRC_SAVE, set where Jupyter starts, names one more folder. @throws UsageError
 */
function checkFolder(folder: string): void {
  const real = (path: string): string => (existsSync(path) ? realpathSync(path) : join(real(dirname(path)), "."));
  const isInside = (outer: string) => !/^\.\.(\/|$)|^\//.test(relative(realpathSync(outer), real(resolve(folder))));
  const own = process.env.PROMPTSRC_SAVE;
  if (isInside(process.cwd()) || (own && existsSync(own) && isInside(own))) return;
  throw new UsageError(
    `cannot save in "${folder}": it is outside this clone; choose a folder inside, or set PROMPTSRC_SAVE to yours before Jupyter starts`,
  );
}

/**
 * Saves a figure as SVG, PNG, PDF, HTML, CSV and JSON, or a table as CSV, Markdown, LaTeX and HTML: files called `name`
 * in `folder`, which replace those that are there. `size` ("one column", "two columns" or "slide") is for figures.
 * The paths are printed, and not returned: a cell that ends with `await save(...)` would show them twice.
 * @throws UsageError for anything else, a name that leaves the folder, a folder outside the clone, or an unknown size
 */
export async function save(
  thing: Figure | Table,
  name: string,
  { folder = join("results", "figures"), size }: { folder?: string; size?: string } = {},
): Promise<void> {
  checkName(name);
  checkFolder(dirname(join(folder, name)));
  const pathOf = (format: string) => join(folder, `${name}.${format}`);
  if ("layout" in thing) {
    const figure = size === undefined ? thing : sized(thing, size);
    const paths = await saveFigure(figure, ...figureFormats.map(pathOf));
    return console.log(paths.join("\n"));
  }
  if (!("rows" in thing))
    throw new UsageError(`save takes a figure or a table of the kit, not ${Object.keys(thing).join(", ")}`);
  if (size !== undefined) throw new UsageError(`a table has no size, but "${size}" was given; leave it out`);
  for (const [format, text] of Object.entries(tableFormats)) writeAtomic(pathOf(format), text(thing));
  console.log(Object.keys(tableFormats).map(pathOf).join("\n"));
}
