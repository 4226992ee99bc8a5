/** Figures to files: drawn by a real browser, as a reader of the notebook sees them. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, extname, join } from "node:path";
import { writeAtomic } from "../io/atomicWrite";
import { type Figure, figureWidth } from "./style";

// As much of playwright-core's types as is used: all of them take a notebook two seconds to check.
type Page = {
  addScriptTag(options: { content: string }): Promise<unknown>;
  evaluate(script: string): Promise<unknown>;
};
type Browser = { newPage(): Promise<Page>; close(): Promise<void> };
type Playwright = { chromium: { launch(options: { executablePath: string; args: string[] }): Promise<Browser> } };

const load = createRequire(join(process.cwd(), "package.json"));

const programs = [
  "google-chrome-stable",
  "google-chrome",
  "chromium",
  "chromium-browser",
  "microsoft-edge-stable",
  "microsoft-edge",
  "chrome.exe",
  "msedge.exe",
];
const places = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
  "C:\\Program Files (x86)\\Google\\Chrome\\Application\\chrome.exe",
  "C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe",
];

/** An installed Chrome, Chromium or Edge: PROMPTSRC_BROWSER, else from the PATH, else from its usual folder. */
function installedBrowser(): string | undefined {
  const named = process.env.PROMPTSRC_BROWSER;
  if (named && !existsSync(named)) throw new Error(`PROMPTSRC_BROWSER names "${named}", which does not exist`);
  const folders = (process.env.PATH ?? "").split(delimiter);
  const candidates = [named ?? [], programs.flatMap((p) => folders.map((f) => join(f, p))), places].flat();
  return candidates.find((path) => existsSync(path));
}

/** Starts a browser: an installed one, else the Chromium that @sparticuz/chromium carries (Linux, x64). */
async function launch(): Promise<Browser> {
  const { chromium } = load("playwright-core") as Playwright;
  const quiet = [
    "--no-sandbox",
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
      return await chromium.launch({ executablePath: installed, args: quiet });
    } catch (error) {
      reasons.push(`${installed}: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  try {
    const packed = (await import("@sparticuz/chromium")).default;
    return await chromium.launch({ executablePath: await packed.executablePath(), args: [...packed.args, ...quiet] });
  } catch (error) {
    reasons.push(`@sparticuz/chromium: ${(error as Error).message.split("\n")[0]}`);
  }
  throw new Error(
    `Saving a figure needs a browser, and none starts here. Install Chrome, Chromium or Edge, or name one in PROMPTSRC_BROWSER.\n${reasons.join("\n")}`,
  );
}

/** Menus and sliders are for hands: a file shows the figure without them. */
const still = ({ data, layout }: Figure): { data: unknown; layout: unknown } => ({
  data,
  layout: { ...layout, updatemenus: undefined, sliders: undefined },
});

async function draw(page: Page, figure: Figure, format: "svg" | "png", scale: number): Promise<Buffer> {
  const options = { format, width: figure.layout.width ?? figureWidth, height: figure.layout.height ?? 420, scale };
  // Runs in the page; a string, so that no loader rewrites it.
  const uri = await page.evaluate(`Plotly.toImage(${JSON.stringify(still(figure))}, ${JSON.stringify(options)})`);
  const text = String(uri);
  const body = text.slice(text.indexOf(",") + 1);
  return text.includes(";base64,") ? Buffer.from(body, "base64") : Buffer.from(decodeURIComponent(body), "utf8");
}

/** Gives `work` a function that draws figures, all in one browser. `scale` multiplies the pixels of a PNG. */
export async function withPainter<T>(
  work: (paint: (figure: Figure, format: "svg" | "png", scale?: number) => Promise<Buffer>) => Promise<T>,
): Promise<T> {
  const browser = await launch();
  try {
    const page = await browser.newPage();
    await page.addScriptTag({ content: readFileSync(load.resolve("plotly.js-dist-min/plotly.min.js"), "utf8") });
    return await work((figure, format, scale = 2) => draw(page, figure, format, scale));
  } finally {
    await browser.close();
  }
}

/**
 * Saves a figure to each of the paths, whose endings choose the format: .svg (text stays text) or .png (twice the pixels). Makes folders.
 * @throws for another ending, and when no browser starts, saying what to install
 */
export async function saveFigure(figure: Figure, ...paths: string[]): Promise<string[]> {
  const formats = paths.map((path) => {
    const ending = extname(path).slice(1).toLowerCase();
    if (ending !== "svg" && ending !== "png")
      throw new Error(`cannot save a figure as "${path}"; end the name in .svg or .png`);
    return ending;
  });
  await withPainter(async (paint) => {
    for (const [k, path] of paths.entries()) writeAtomic(path, await paint(figure, formats[k] as "svg" | "png"));
  });
  return paths;
}
