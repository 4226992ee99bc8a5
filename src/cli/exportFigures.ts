/** `npm run promptsrc -- export`: the figures that the notebooks store, as files and on one page. */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { terminalScreen } from "../experiments/progress";
import { titleOfFigure } from "../figures/formats";
import { figureFormats, withPainter, writeFigure } from "../figures/save";
import { sized } from "../figures/sizes";
import type { Figure } from "../figures/style";
import { writeAtomic } from "../io/atomicWrite";
import { storedFigures } from "../notebook/storedFigures";
import { oneOf, UsageError } from "../util/errors";
import { escapeHtml } from "../util/escape";
import { htmlPage } from "../util/htmlPage";
import { fromHere, list, parseOptions } from "./options";

const options = {
  folder: { type: "string", default: "exported" },
  notebook: { type: "string" },
  format: { type: "string", default: "svg,pdf,csv" },
  size: { type: "string" },
} as const;

export const exportHelp = `  export              the figures in the outputs of the notebooks as files, and index.html that shows them
    --notebook 06,13  only of these, by the beginnings of their names; --folder exported
    --format svg,pdf,csv  also png, html (interactive, 5 MB each) and json
    --size "one column"   or "two columns" or slide`;

const notebooksFolder = "notebooks";

/** The files of the notebooks whose names begin so; all if nothing is asked. @throws UsageError where none does */
function notebooksOf(asked: string | undefined): string[] {
  const names = readdirSync(notebooksFolder)
    .filter((name) => name.endsWith(".ipynb"))
    .sort();
  const chosen = list(asked ?? "").map((start) => {
    const found = names.filter((name) => name.startsWith(start));
    if (found.length === 0)
      throw new UsageError(`--notebook ${start}: no notebook begins so. There are: ${names.join(", ")}`);
    return found;
  });
  return (asked === undefined ? names : [...new Set(chosen.flat())]).map((name) => join(notebooksFolder, name));
}

/** A figure on the page: its drawing if there is one, and links to its files. */
function onPage(name: string, figure: Figure, formats: string[]): string {
  const drawn = ["svg", "png"].find((format) => formats.includes(format));
  const alt = escapeHtml(figure.alt);
  const picture = drawn ? `<img src="${name}.${drawn}" alt="${alt}" style="max-width:100%">` : `<p>${alt}</p>`;
  const links = formats.map((format) => `<a href="${name}.${format}">${format}</a>`).join(" \u00b7 ");
  return (
    `<figure style="margin:0 0 32px">${picture}` +
    `<figcaption>${escapeHtml(`${name}: ${titleOfFigure(figure)}`)} \u00b7 ${links}</figcaption></figure>`
  );
}

export async function exportFigures(args: string[]): Promise<number> {
  const { values, positionals } = parseOptions(args, options);
  if (positionals.length > 0)
    throw new UsageError(`export takes options alone, not "${positionals[0]}"; choose by --notebook`);
  const formats = list(values.format).map((format) => oneOf("format", format, figureFormats));
  if (formats.length === 0) throw new UsageError(`--format: there is none; choose of ${figureFormats.join(",")}`);
  const folder = fromHere(values.folder);
  const figures = notebooksOf(values.notebook).flatMap((file) =>
    storedFigures(file).map((figure, k) => ({
      name: `${basename(file, ".ipynb")}-${k + 1}`,
      figure: values.size === undefined ? figure : sized(figure, values.size),
    })),
  );
  if (figures.length === 0)
    throw new UsageError("these notebooks store no figure; run them first: npm run notebook -- <file> --in-place");
  const screen = terminalScreen();
  await withPainter(async (paint) => {
    for (const [k, { name, figure }] of figures.entries()) {
      screen.update(`${k + 1} of ${figures.length} figures \u00b7 ${name}`);
      const paths = formats.map((format) => join(folder, `${name}.${format}`));
      await writeFigure(figure, paths, paint);
    }
  });
  screen.clear();
  const page = figures.map(({ name, figure }) => onPage(name, figure, formats)).join("\n");
  writeAtomic(join(folder, "index.html"), htmlPage("Figures", page));
  console.log(`${figures.length} figures are in ${folder}; open ${join(folder, "index.html")}`);
  return 0;
}
