/** Figures in JupyterLab, in a real browser: they follow its theme, are saved as SVG, and get a picture in both themes. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Browser, Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
// @ts-expect-error: the scripts of set-up have no declarations
import { bundle } from "../../bin/setup/figures.mjs";
import { choiceFigure } from "../../src/figures/choice";
import { linesFigure } from "../../src/figures/lines";
import { startBrowser } from "../../src/figures/save";
import { darkColours } from "../../src/figures/theme";
import { bundleOf } from "../../src/notebook/show";
import { temporaryFolder } from "../temporary";

const python = join(".venv", "bin", "python");
const folder = temporaryFolder("lab");
const notebook = join(folder, "figure.ipynb");

const line = (y: number) =>
  linesFigure("T", "t", [{ title: "p", x: "x", lines: [{ name: "promptsrc", title: "P", x: [1, 2], y: [y, 2] }] }], {
    alt: `a line from ${y} to 2`,
  });
const figure = choiceFigure([1, 3].map((y) => ({ label: `from ${y}`, figure: line(y) })));

const freePort = () =>
  new Promise<number>((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

/** What a reader of the notebook would see of the figure. */
const stored = () => JSON.parse(readFileSync(notebook, "utf8")).cells[0].outputs[0].data;

describe.skipIf(!existsSync(python))("a figure in JupyterLab", () => {
  let server: ChildProcess;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    const output = { output_type: "display_data", metadata: {}, data: bundleOf(figure) };
    const cell = { id: "a", cell_type: "code", metadata: {}, source: "1", execution_count: null, outputs: [output] };
    writeFileSync(notebook, JSON.stringify({ nbformat: 4, nbformat_minor: 5, metadata: {}, cells: [cell] }));
    mkdirSync(join(folder, "data"));
    bundle(join(folder, "data", "labextensions"));
    const port = await freePort();
    const places = ["CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"].map((name) => `JUPYTER_${name}`);
    const labPlaces = ["SETTINGS_DIR", "WORKSPACES_DIR"].map((name) => `JUPYTERLAB_${name}`);
    const own = [...places, ...labPlaces].map((name) => [name, join(folder, name === places[1] ? "data" : name)]);
    const options = ["--no-browser", "--allow-root", `--port=${port}`, "--IdentityProvider.token=t"];
    server = spawn(python, ["-m", "jupyterlab", ...options, `--ServerApp.root_dir=${folder}`], {
      env: { ...process.env, ...Object.fromEntries(own) },
      stdio: "ignore",
    });
    browser = (await startBrowser()) as unknown as Browser;
    page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
    const address = `http://127.0.0.1:${port}/doc/tree/figure.ipynb?token=t`;
    while (!(await fetch(address).catch(() => undefined))) await sleep(200);
    await page.goto(address);
    await page.click('.jp-Dialog button:has-text("No Kernel")');
    await page.waitForSelector(".js-plotly-plot .updatemenu-header", { timeout: 60_000 });
  });
  afterAll(async () => {
    await browser?.close();
    server?.kill();
  });

  const ground = () => page.evaluate<string>("document.querySelector('.js-plotly-plot').layout.paper_bgcolor");

  it("follows the theme, and keeps what its menu chose", async () => {
    expect(await ground()).toBe("#ffffff");
    await page.click(".updatemenu-header");
    await page.click(".updatemenu-dropdown-button >> nth=1");
    await page.click('.lm-MenuBar-itemLabel:text-is("Settings")');
    await page.hover('.lm-Menu-itemLabel:text-is("Theme")');
    await page.click('.lm-Menu-itemLabel:text-is("JupyterLab Dark")');
    await expect.poll(ground, { timeout: 20_000 }).toBe(darkColours["#ffffff"]);
    const shown = "document.querySelector('.js-plotly-plot').data.map(({ visible }) => visible).join()";
    expect(await page.evaluate(shown)).toBe("false,true");
  });

  it("is downloaded as SVG and as PNG", async () => {
    await page.hover(".js-plotly-plot .plot-container"); // shows the mode bar
    for (const [button, start] of [
      ["SVG", "<svg"],
      ["a PNG", "\x89PNG"],
    ]) {
      const download = page.waitForEvent("download");
      await page.locator(`.modebar-btn[data-title="Download plot as ${button}"]`).click({ force: true });
      expect(readFileSync(await (await download).path(), "latin1").slice(0, 4)).toBe(start);
    }
  });

  it("is saved with a picture that has the colours of the reader's system", async () => {
    await page.keyboard.press("Control+s");
    await expect.poll(() => stored()["text/html"], { timeout: 20_000 }).toBeDefined();
    expect(stored()["application/vnd.plotly.v1+json"].layout.paper_bgcolor).toBe("#ffffff");
    for (const [scheme, colour] of [
      ["light", "#ffffff"],
      ["dark", darkColours["#ffffff"]],
    ] as const) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setContent(`<body style="margin:0">${[stored()["text/html"]].flat().join("")}`);
      await expect.poll(() => page.evaluate("document.images[0].complete && document.images[0].width")).toBe(900);
      const { data } = await sharp(await page.screenshot())
        .raw()
        .toBuffer({ resolveWithObject: true });
      expect(`#${data.subarray(0, 3).toString("hex")}`).toBe(colour);
    }
  });
});
