/** Saves figures to files. A browser draws them, so that they look the same as in a notebook. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, extname, join } from "node:path";
import { writeAtomic } from "../io/atomicWrite";
import { type Figure, figureWidth } from "./style";

// Only those types of playwright-core that are used here: checking all of its types takes a notebook two seconds.
type Page = {
  addScriptTag(options: { content: string }): Promise<unknown>;
  evaluate(script: string): Promise<unknown>;
};
type Browser = { newPage(): Promise<Page>; close(): Promise<void> };
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
async function launch(): Promise<Browser> {
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

async function draw(page: Page, figure: Figure, format: "svg" | "png", scale: number): Promise<Buffer> {
  const options = { format, width: figure.layout.width ?? figureWidth, height: figure.layout.height ?? 420, scale };
  // The script runs in the page. It is passed as a string so that no TypeScript loader rewrites it.
  const uri = await page.evaluate(
    `Plotly.toImage(${JSON.stringify(withoutControls(figure))}, ${JSON.stringify(options)})`,
  );
  const text = String(uri);
  const body = text.slice(text.indexOf(",") + 1);
  return text.includes(";base64,") ? Buffer.from(body, "base64") : Buffer.from(decodeURIComponent(body), "utf8");
}

/** Calls `work` with a function that draws figures in one shared browser. `scale` multiplies the pixels of a PNG. */
export async function withPainter<T>(
  work: (paint: (figure: Figure, format: "svg" | "png", scale?: number) => Promise<Buffer>) => Promise<T>,
): Promise<T> {
  const browser = await launch();
  try {
    const page = await browser.newPage();
    await page.addScriptTag({
      content: readFileSync(requireModule.resolve("plotly.js-dist-min/plotly.min.js"), "utf8"),
    });
    return await work((figure, format, scale = 2) => draw(page, figure, format, scale));
  } finally {
    await browser.close();
  }
}

/**
 * Saves a figure to each of the paths and creates missing folders. The file extension chooses the format: .svg (text
 * remains text) or .png (with twice the figure's size in pixels).
 * @throws for any other extension, and if no browser can be started (the message says what to install)
 */
export async function saveFigure(figure: Figure, ...paths: string[]): Promise<string[]> {
  const formats = paths.map((path) => {
    const extension = extname(path).slice(1).toLowerCase();
    if (extension !== "svg" && extension !== "png")
      throw new Error(`cannot save a figure as "${path}"; end the name in .svg or .png`);
    return extension;
  });
  await withPainter(async (paint) => {
    for (const [k, path] of paths.entries()) writeAtomic(path, await paint(figure, formats[k] as "svg" | "png"));
  });
  return paths;
}
