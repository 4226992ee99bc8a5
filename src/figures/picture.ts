/**
 * Figures as pictures for viewers that run no scripts, such as the pages of code hosts. One drawing has both themes: it
 * is light, and a style sheet in it replaces the colours where the reader's system is dark.
 */
import { escapeHtml } from "../util/escape";
import { darkColours } from "./theme";

const rgb = (hex: string) => `rgb(${[1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)).join(", ")})`;

/** A drawing without what is not seen: empty groups, and the classes and data of Plotly's scripts. */
function compact(svg: string): string {
  const plain = svg.replace(/<[^>]*>/g, (tag) => tag.replace(/ (?:class|data-[a-z-]+)="[^"]*"/g, ""));
  const smaller = plain.replace(/<g\/>|<g><\/g>/g, "");
  return smaller.length < svg.length ? compact(smaller) : svg;
}

const pictures = /<image\b[^>]*?(?:\/>|><\/image>)/g;

/**
 * One drawing that is light, and dark on a dark system. It is the light one with a style sheet: elements are found by
 * the colours in their styles, which viewers that allow no style sheet keep. Heat maps are pictures within the drawing;
 * both are in it, and one is shown.
 * @param dark the same figure drawn in the dark theme, if there are heat maps in it
 */
export function inBothThemes(light: string, dark = ""): string {
  const darkPictures = dark.match(pictures) ?? [];
  let k = 0;
  const drawing = compact(light).replace(pictures, (picture) => {
    const other = darkPictures[k++];
    if (other === undefined) return picture;
    const shownIn = (theme: string) => `<image class="${theme}"${theme === "dark" ? ' display="none"' : ""}`;
    return picture.replace("<image", shownIn("light")) + compact(other).replace("<image", shownIn("dark"));
  });
  const rules = Object.entries(darkColours).flatMap(([from, to]) =>
    ["fill", "stroke", "stop-color"].flatMap((property) => {
      const selectors = [`[style*="${property}: ${rgb(from)}"]`, `[${property}="${rgb(from)}"]`];
      const used = [`${property}: ${rgb(from)}`, `${property}="${rgb(from)}"`].map((text) => drawing.includes(text));
      return selectors.filter((_, n) => used[n]).map((selector) => `${selector}{${property}:${to}!important}`);
    }),
  );
  const style = `.light{display:none}.dark{display:inline}${rules.join("")}`;
  return drawing.replace(/>/, `><style>@media (prefers-color-scheme:dark){${style}}</style>`);
}

const base64 = (text: string): string =>
  btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));

/**
 * The HTML of a drawing in a notebook. It is an image with its content in its address: code hosts remove styles from
 * drawings that are part of their page, and an image has the colours of the reader's system.
 */
export const pictureHtml = (svg: string, alt: string): string =>
  `<img alt="${escapeHtml(alt)}" src="data:image/svg+xml;base64,${base64(svg)}">`;
