/**
 * The themes of figures. All figures are made in the light theme; the other themes replace its colours one by one, so
 * that a method keeps its hue.
 */
import { oneOf } from "../util/errors";
import { type Figure, faintInk, ink } from "./style";

/**
 * Colours on a dark ground: the neutral ones are turned round, and colours of methods that are darker than 3:1 against
 * the ground are lighter.
 */
export const darkColours: Record<string, string> = {
  "#ffffff": "#15171a",
  [ink]: "#e4e7eb",
  [faintInk]: "#a3aab4",
  "#3d434c": "#c3c8d0",
  "#b9bec6": "#575e68",
  "#e6e8eb": "#30343a",
  "#f3f4f6": "#22262b",
  "#1f5fa8": "#5a9be6",
  "#8f2d3f": "#d8667c",
  "#00604a": "#3fa98a",
  "#5c4b3c": "#a98d75",
  "#3b4a9b": "#7f8fe0",
  "#a83279": "#d662a8",
  "#6c7179": "#8f959e",
  // The scale of heat maps: what was strong on white is strong on black.
  "#dbe7f3": "#1c2c3e",
  "#8fb6da": "#2f5780",
  "#3a78b5": "#6ba3d8",
  "#0b2f57": "#d5e6f7",
};

/** For paper: everything that is text or a line is darker, because print makes light grey fade. */
const printColours: Record<string, string> = { [ink]: "#000000", [faintInk]: "#33373d", "#b9bec6": "#6c7179" };

/** The light colours of the dark ones. */
const lightColours = Object.fromEntries(Object.entries(darkColours).map(([light, dark]) => [dark, light]));

const themes: Record<string, Record<string, string>> = { light: {}, dark: darkColours, print: printColours };
export const themeNames = Object.keys(themes);

const channels = (hex: string) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)).join(",");

/** A value with all its colours (`#rrggbb`, `rgba(r,g,b,a)`) replaced, in lists, records and texts. */
function recoloured(value: unknown, colours: Record<string, string>): unknown {
  if (typeof value === "string") {
    if (value.startsWith("data:")) return value;
    return value
      .replace(/#[0-9a-f]{6}\b/gi, (hex) => colours[hex.toLowerCase()] ?? hex)
      .replace(/rgba\((\d+),(\d+),(\d+),/g, (text, ...rgb) => {
        const hex = `#${rgb
          .slice(0, 3)
          .map((channel) => Number(channel).toString(16).padStart(2, "0"))
          .join("")}`;
        return colours[hex] ? `rgba(${channels(colours[hex])},` : text;
      });
  }
  if (Array.isArray(value)) return value.map((item) => recoloured(item, colours));
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, recoloured(item, colours)]));
}

/** Data or a layout made in the other theme; what is drawn already and was changed by a menu keeps the change. */
export const switched = <T>(part: T, isDark: boolean): T => recoloured(part, isDark ? darkColours : lightColours) as T;

/** The figure in a theme: "light" (as it is), "dark" or "print". @throws UsageError for another theme */
export function themed(figure: Figure, theme: string): Figure {
  const colours = themes[oneOf("theme", theme, themeNames)];
  if (Object.keys(colours).length === 0) return figure;
  const { data, layout } = recoloured({ data: figure.data, layout: figure.layout }, colours) as Figure;
  return { ...figure, data, layout };
}
