/** `npm run promptsrc -- export`: the figures and tables that the notebooks store, as files and on one page. */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { terminalScreen } from "../experiments/progress";
import { titleOfFigure } from "../figures/formats";
import { figureFormats, withPainter, writeFigure } from "../figures/save";
import { sized } from "../figures/sizes";
import type { Figure } from "../figures/style";
import { themed, themeNames } from "../figures/theme";
import { writeAtomic } from "../io/atomicWrite";
import { tableFormats } from "../notebook/save";
import { storedOutputs } from "../notebook/storedOutputs";
import { type Table, tableHtml } from "../results/table";
import { oneOf, UsageError } from "../util/errors";
import { escapeHtml } from "../util/escape";
import { htmlPage } from "../util/htmlPage";
import { fromHere, list, parseOptions } from "./options";

const options = {
  folder: { type: "string", default: "exported" },
  notebook: { type: "string" },
  format: { type: "string", default: "svg,pdf,csv,md,tex" },
  size: { type: "string" },
  theme: { type: "string", default: "light" },
} as const;

const formatNames = [...new Set([...figureFormats, ...Object.keys(tableFormats)])];

export const exportHelp = `  export              the figures and tables in the outputs of the notebooks as files, and index.html that shows them
    --notebook 06,13  only of these, by the beginnings of their names; --folder exported
    --format svg,pdf,csv,md,tex  also png, html (interactive, 5 MB each) and json; tables are csv, md, tex, html
    --size "one column"   or "two columns" or slide; --theme ${themeNames.join(", ")}`;

const notebooksFolder = "notebooks";

/** The files of the notebooks whose names begin so; all if nothing is asked. @throws UsageError where none does */
function notebooksOf(asked: string | undefined): string[] {
  const names = readdirSync(notebooksFolder)
    .filter((name) => name.endsWith(".ipynb"))
    .sort();
  const chosen = (asked === undefined ? [""] : list("notebook", asked)).map((start) => {
    const found = names.filter((name) => name.startsWith(start));
    if (found.length === 0)
      throw new UsageError(`--notebook ${start}: no notebook begins so. There are: ${names.join(", ")}`);
    return found;
  });
  return [...new Set(chosen.flat())].map((name) => join(notebooksFolder, name));
}

type Named<T> = { name: string; thing: T };

const links = (name: string, formats: string[]): string =>
  formats.map((format) => `<a href="${name}.${format}">${format}</a>`).join(" \u00b7 ");

/** A figure on the page: its drawing if there is one, and links to its files. */
function figureOnPage({ name, thing }: Named<Figure>, formats: string[]): string {
  const drawn = ["svg", "png"].find((format) => formats.includes(format));
  const alt = escapeHtml(thing.alt);
  const picture = drawn ? `<img src="${name}.${drawn}" alt="${alt}" style="max-width:100%">` : `<p>${alt}</p>`;
  const caption = `${escapeHtml(`${name}: ${titleOfFigure(thing)}`)} \u00b7 ${links(name, formats)}`;
  return `<figure style="margin:0 0 32px">${picture}<figcaption>${caption}</figcaption></figure>`;
}

const tableOnPage = ({ name, thing }: Named<Table>, formats: string[]): string =>
  `<figure style="margin:0 0 32px">${tableHtml(thing)}` +
  `<figcaption>${escapeHtml(name)} \u00b7 ${links(name, formats)}</figcaption></figure>`;

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;

export async function exportFigures(args: string[]): Promise<number> {
  const { values, positionals } = parseOptions(args, options);
  if (positionals.length > 0)
    throw new UsageError(`export takes options alone, not "${positionals[0]}"; choose by --notebook`);
  const formats = list("format", values.format).map((format) => oneOf("format", format, formatNames));
  const ofFigures = formats.filter((format) => figureFormats.includes(format));
  const ofTables = formats.filter((format) => format in tableFormats);
  const folder = fromHere(values.folder);
  const theme = oneOf("theme", values.theme, themeNames);
  const sections = notebooksOf(values.notebook).map((file) => {
    const stem = basename(file, ".ipynb");
    const { figures, tables } = storedOutputs(file);
    const asked = (figure: Figure) => themed(values.size === undefined ? figure : sized(figure, values.size), theme);
    return {
      stem,
      figures:
        ofFigures.length === 0 ? [] : figures.map((figure, k) => ({ name: `${stem}-${k + 1}`, thing: asked(figure) })),
      tables: ofTables.length === 0 ? [] : tables.map((thing, k) => ({ name: `${stem}-table-${k + 1}`, thing })),
    };
  });
  const figures = sections.flatMap((section) => section.figures);
  const tables = sections.flatMap((section) => section.tables);
  if (figures.length + tables.length === 0)
    throw new UsageError("these notebooks store nothing; run them first: npm run notebook -- <file> --in-place");
  for (const { name, thing } of tables)
    for (const format of ofTables) writeAtomic(join(folder, `${name}.${format}`), tableFormats[format](thing));
  const screen = terminalScreen();
  await withPainter(async (paint) => {
    for (const [k, { name, thing }] of figures.entries()) {
      screen.update(`${k + 1} of ${figures.length} figures \u00b7 ${name}`);
      const paths = ofFigures.map((format) => join(folder, `${name}.${format}`));
      await writeFigure(thing, paths, paint);
    }
  });
  screen.clear();
  const page = sections
    .filter((section) => section.figures.length + section.tables.length > 0)
    .map(
      (section) =>
        `<h2>${escapeHtml(section.stem)}</h2>\n` +
        [
          ...section.figures.map((figure) => figureOnPage(figure, ofFigures)),
          ...section.tables.map((table) => tableOnPage(table, ofTables)),
        ].join("\n"),
    );
  writeAtomic(join(folder, "index.html"), htmlPage("Figures and tables", page.join("\n")));
  const what = `${count(figures.length, "figure")} and ${count(tables.length, "table")}`;
  console.log(`${what} are in ${folder}; open ${join(folder, "index.html")}`);
  return 0;
}
