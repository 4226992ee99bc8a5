/**
 * An extension of JupyterLab that completes the renderer of figures in the package plotly (js/src/mimeExtension.ts
 * there): figures have the theme of JupyterLab and follow it, an output that is updated is drawn again, the mode bar
 * saves SVG beside PNG, and a new figure gets the picture that code hosts show. Set-up bundles it into .venv.
 */
import { inBothThemes, pictureHtml } from "../figures/picture";
import { defaultHeight, type Figure, figureWidth } from "../figures/style";
import { switched } from "../figures/theme";

const mime = "application/vnd.plotly.v1+json";

/** What is used of Plotly, of the renderer, and of the page, whose types are not in this project. */
type Drawn = { data: unknown[]; layout: Record<string, unknown> };
type Graph = Drawn & { _context: { toImageButtonOptions: Record<string, unknown> } };
type Plotly = {
  react(node: Graph, data: unknown[], layout: unknown): Promise<unknown>;
  toImage(figure: Drawn, options: object): Promise<string>;
  downloadImage(node: Graph, options: object): Promise<unknown>;
};
type Model = { data: Record<string, unknown>; setData(change: { data: Record<string, unknown> }): void };
type Renderer = {
  node: Graph;
  disposed: { connect(listener: () => void): void };
  renderModel(model: Model): Promise<void>;
  createGraph(model: Model): Promise<void>;
};
type Plugin = {
  RenderedPlotly: { Plotly: Plotly };
  rendererFactory: { createRenderer(options: object): Renderer };
};
type Extension = { init(): void; get(name: string): Promise<() => unknown> };
declare const document: {
  body: { dataset: Record<string, string | undefined> };
  head: { insertAdjacentHTML(where: string, html: string): void };
};
declare const MutationObserver: new (
  listener: () => void,
) => { observe(node: unknown, options: { attributeFilter: string[] }): void };
const extensions = ((globalThis as { _JUPYTERLAB?: Record<string, Extension> })._JUPYTERLAB ??= {});

const isDark = () => document.body.dataset.jpThemeLight === "false";

/** Draws with the renderer's own Plotly, which is loaded with its first figure. */
function completed({ RenderedPlotly, rendererFactory }: Plugin): void {
  /** The drawn figures, with the theme of each. */
  const shown = new Map<Renderer, boolean>();

  const svgButton = {
    name: "Download plot as SVG",
    title: "Download plot as SVG",
    icon: {
      width: 24,
      height: 24,
      path: "M11 4h2v8l3-3 1.4 1.4L12 15.8l-5.4-5.4L8 9l3 3zM5 18h14v2H5z",
    },
    click: (node: Graph) =>
      RenderedPlotly.Plotly.downloadImage(node, { ...node._context.toImageButtonOptions, format: "svg", scale: 1 }),
  };

  /** A figure with the controls that a file cannot hold, drawn in a theme as SVG. */
  async function drawing({ data, layout }: Drawn, dark: boolean): Promise<string> {
    const plain = { data, layout: { ...layout, updatemenus: undefined, sliders: undefined } };
    const options = { format: "svg", width: figureWidth, height: layout.height ?? defaultHeight };
    const address = await RenderedPlotly.Plotly.toImage(dark ? switched(plain, true) : plain, options);
    return decodeURIComponent(address.slice(address.indexOf(",") + 1));
  }

  function complete(renderer: Renderer): Renderer {
    let drawn = "";
    renderer.disposed.connect(() => shown.delete(renderer));
    renderer.renderModel = async (model) => {
      const figure = model.data[mime] as Figure & Drawn;
      const text = JSON.stringify(figure);
      if (text === drawn) return;
      drawn = text;
      const { data, layout, config } = JSON.parse(text) as Figure;
      const dark = isDark();
      const image = { ...config?.toImageButtonOptions, format: "png", scale: 2 };
      const copy = {
        ...(dark ? switched({ data, layout }, true) : { data, layout }),
        config: { ...config, toImageButtonOptions: image, modeBarButtonsToAdd: [svgButton] },
      };
      await renderer.createGraph({ data: { [mime]: copy }, setData() {} });
      shown.set(renderer, dark);
      follow();
      if (model.data["text/html"] !== undefined) return;
      const picture = inBothThemes(await drawing(figure, false), await drawing(figure, true));
      if (text !== drawn) return;
      const html = pictureHtml(picture, String(model.data["text/plain"] ?? ""));
      model.setData({ data: { ...model.data, "text/html": html } });
    };
    return renderer;
  }

  /** Draws what is in the other theme again, as it is: zoomed, and with what its menu chose. */
  function follow(): void {
    for (const [renderer, was] of shown) {
      if (was === isDark()) continue;
      shown.set(renderer, isDark());
      const { data, layout } = renderer.node;
      RenderedPlotly.Plotly.react(renderer.node, switched(data, isDark()), switched(layout, isDark()));
    }
  }
  // Plotly fills the chosen and the touched entry of a menu with this colour, whatever the theme.
  const entry = '[data-jp-theme-light="false"] .updatemenu-item-rect[style*="rgb(244, 250, 255)"]';
  document.head.insertAdjacentHTML("beforeend", `<style>${entry}{fill:#30343a!important}</style>`);
  new MutationObserver(follow).observe(document.body, { attributeFilter: ["data-jp-theme-light"] });

  const create = rendererFactory.createRenderer;
  rendererFactory.createRenderer = (options) => complete(create(options));
}

extensions["promptsrc-figures"] = {
  init() {},
  async get() {
    const plotly = await extensions["jupyterlab-plotly"]?.get("./mimeExtension");
    if (plotly) completed(plotly() as Plugin);
    return () => ({ __esModule: true, default: [] }); // no further renderer
  },
};
