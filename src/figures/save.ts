/** Saves figures to files. A browser draws them, so that they look the same as in a notebook. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, extname, join } from "node:path";
import { writeAtomic } from "../io/atomicWrite";
import { UsageError } from "../util/errors";
import { htmlPage } from "../util/htmlPage";
import { figureCsv, figureHtml, figureJson, plotlySource, titleOfFigure } from "./formats";
import { defaultHeight, type Figure, figureWidth } from "./style";

// Only those types of playwright-core that are used here: checking all of its types takes a notebook two seconds.
type Page = {
  addScriptTag(options: { content: string }): Promise<unknown>;
  evaluate(script: string): Promise<unknown>;
  setContent(html: string): Promise<void>;
  pdf(options: Record<string, string | boolean>): Promise<Buffer>;
};
type Context = {
  newPage(): Promise<Page>;
  route(url: RegExp, handle: (route: { abort(): Promise<void> }) => Promise<void>): Promise<void>;
};
type Browser = { newContext(options: { offline: boolean }): Promise<Context>; close(): Promise<void> };
type Playwright = { chromium: { launch(options: { executablePath: string; args: string[] }): Promise<Browser> } };

const requireModule = createRequire(join(process.cwd(), "package.json"));

const programNames = [
  "google-chrome-stable",
  "google-chrome",
  "chromium",
  "chromium-browser",
  "microsoft-edge-stable",
  "microsoft-edge",
  "chrome.exe",
  "msedge.exe",
];
const programPaths = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
  "C:\\Program Files (x86)\\Google\\Chrome\\Application\\chrome.exe",
  "C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe",
];

/**
 * Path of an installed Chrome, Chromium or Edge: PROMPTSRC_BROWSER if set, else from PATH or from the usual folders.
 */
function installedBrowser(): string | undefined {
  const configured = process.env.PROMPTSRC_BROWSER;
  if (configured && !existsSync(configured))
    throw new Error(`PROMPTSRC_BROWSER is set to "${configured}", but this file does not exist`);
  const folders = (process.env.PATH ?? "").split(delimiter);
  const candidates = [
    configured ?? [],
    programNames.flatMap((p) => folders.map((f) => join(f, p))),
    programPaths,
  ].flat();
  return candidates.find((path) => existsSync(path));
}

/** Starts an installed browser, or else the Chromium in the package @sparticuz/chromium (Linux, x64). */
export async function startBrowser(): Promise<Browser> {
  const { chromium } = requireModule("playwright-core") as Playwright;
  const launchFlags = [
    ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []), // Chromium's sandbox refuses the superuser.
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
  ];
  const reasons: string[] = [];
  const installed = installedBrowser();
  if (installed) {
    try {
      return await chromium.launch({ executablePath: installed, args: launchFlags });
    } catch (error) {
      reasons.push(`${installed}: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  try {
    const bundled = (await import("@sparticuz/chromium")).default;
    return await chromium.launch({
      executablePath: await bundled.executablePath(),
      args: [...bundled.args, ...launchFlags],
    });
  } catch (error) {
    reasons.push(`@sparticuz/chromium: ${(error as Error).message.split("\n")[0]}`);
  }
  throw new Error(
    "Saving a figure needs a browser, but none could be started. Install Chrome, Chromium or Edge, or set " +
      `PROMPTSRC_BROWSER to the path of one.\n${reasons.join("\n")}`,
  );
}

/** The figure without its menus and sliders, which do not work in a saved file. */
const withoutControls = ({ data, layout }: Figure): { data: unknown; layout: unknown } => ({
  data,
  layout: { ...layout, updatemenus: undefined, sliders: undefined },
});

/** The formats that a browser draws, and a function that does. `scale` multiplies the pixels of a PNG. */
type Drawn = "svg" | "png" | "pdf";
type Paint = (figure: Figure, format: Drawn, scale?: number) => Promise<Buffer>;

async function draw(page: Page, figure: Figure, format: "svg" | "png", scale: number): Promise<Buffer> {
  const { width = figureWidth, height = defaultHeight } = figure.layout;
  const options = { format, width, height, scale: scale * (figure.scale ?? 1) };
  // The script runs in the page. It is passed as a string so that no TypeScript loader rewrites it.
  const uri = await page.evaluate(
    `Plotly.toImage(${JSON.stringify(withoutControls(figure))}, ${JSON.stringify(options)})`,
  );
  const text = String(uri);
  const body = text.slice(text.indexOf(",") + 1);
  return text.includes(";base64,") ? Buffer.from(body, "base64") : Buffer.from(decodeURIComponent(body), "utf8");
}

/** Prints a drawing on one page of its size; its text stays text, with the fonts in the file. */
async function print(page: Page, figure: Figure, svg: string): Promise<Buffer> {
  const { width = figureWidth, height = defaultHeight } = figure.layout;
  const [wide, high] = [width, height].map((length) => `${length * (figure.scale ?? 1)}px`);
  const style = `<style>@page{margin:0}body{margin:0!important}svg{display:block;width:${wide};height:${high}}</style>`;
  await page.setContent(htmlPage(titleOfFigure(figure), style + svg));
  return Buffer.from(await page.pdf({ width: wide, height: high, printBackground: true, pageRanges: "1" }));
}

/**
 * Two pages: Plotly draws in the first, and drawings are printed in the second. Both stay open as long as the browser,
 * because the Chromium of @sparticuz/chromium is a single process that ends with the first page that is closed. Neither
 * reaches the network: a figure may come from a notebook of somebody else, and name pictures of any address.
 */
async function openPages(browser: Browser): Promise<{ drawing: Page; printing: Page }> {
  const context = await browser.newContext({ offline: true });
  await context.route(/^(?!data:|blob:|about:)/, (route) => route.abort());
  const [drawing, printing] = [await context.newPage(), await context.newPage()];
  await drawing.addScriptTag({ content: plotlySource() });
  return { drawing, printing };
}

/** Calls `work` with a function that draws figures in one shared browser, which starts at the first figure. */
export async function withPainter<T>(work: (paint: Paint) => Promise<T>): Promise<T> {
  let browser: Promise<Browser> | undefined;
  let pages: ReturnType<typeof openPages> | undefined;
  try {
    return await work(async (figure, format, scale = 2) => {
      browser ??= startBrowser();
      pages ??= browser.then(openPages);
      const { drawing, printing } = await pages;
      if (format === "png") return draw(drawing, figure, format, scale);
      const svg = await draw(drawing, figure, "svg", 1);
      return format === "svg" ? svg : print(printing, figure, svg.toString("utf8"));
    });
  } finally {
    await (await browser)?.close();
  }
}

/** The content of a file in each format, by the ending of its name. */
const contents: Record<string, (figure: Figure, paint: Paint) => string | Promise<Buffer>> = {
  svg: (figure, paint) => paint(figure, "svg"),
  png: (figure, paint) => paint(figure, "png"),
  pdf: (figure, paint) => paint(figure, "pdf"),
  html: figureHtml,
  csv: figureCsv,
  json: figureJson,
};
/** The formats in which figures are saved. */
export const figureFormats = Object.keys(contents);

/**
 * Saves a figure to each of the paths and creates missing folders. The file extension chooses the format: .svg or .pdf
 * (text remains text), .png (with twice the figure's size in pixels), .html (interactive, works offline), .csv (the
 * drawn numbers) or .json (Plotly's data and layout).
 * @throws for any other extension, and if no browser can be started (the message says what to install)
 */
export async function saveFigure(figure: Figure, ...paths: string[]): Promise<string[]> {
  return withPainter((paint) => writeFigure(figure, paths, paint));
}

/** As `saveFigure`, in a browser that other figures share. */
export async function writeFigure(figure: Figure, paths: string[], paint: Paint): Promise<string[]> {
  const formats = paths.map((path) => extname(path).slice(1).toLowerCase());
  const unknown = paths.find((_, k) => !figureFormats.includes(formats[k]));
  if (unknown !== undefined)
    throw new UsageError(
      `cannot save a figure as "${unknown}"; end the name in .${figureFormats.join(", .").replace(/,(?=[^,]*$)/, " or")}`,
    );
  for (const [k, path] of paths.entries()) writeAtomic(path, await contents[formats[k]](figure, paint));
  return paths;
}
