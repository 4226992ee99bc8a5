/** Colours and markers: every method has its own, readable on white and on dark, and all themes keep the rest. */
import { expect, it } from "vitest";
import { linesFigure } from "../../src/figures/lines";
import { baseLayout, colourOf, markedMethods, symbolOf } from "../../src/figures/style";
import { darkColours, themed } from "../../src/figures/theme";
import { methods } from "../../src/methods/registry";

const linear = (hex: string) =>
  [1, 3, 5].map((at) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
const luminance = (hex: string) => linear(hex).reduce((sum, value, k) => sum + value * [0.2126, 0.7152, 0.0722][k], 0);
/** The contrast ratio of WCAG 2. */
const contrast = (a: string, b: string) => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};

it("every method has a marker of its own, and a colour that stands out from a white and from a dark ground", () => {
  const names = Object.keys(methods);
  expect(names.filter((name) => !markedMethods.includes(name))).toEqual([]);
  expect(new Set(names.map((name) => symbolOf(name))).size).toBe(names.length);
  for (const name of names) {
    const colour = colourOf(name);
    expect(contrast(colour, "#ffffff"), name).toBeGreaterThan(2.2);
    expect(contrast(darkColours[colour] ?? colour, darkColours["#ffffff"]), name).toBeGreaterThan(3);
  }
});

it("text is readable in every theme, and only colours change", () => {
  const figure = linesFigure(
    "T",
    "t",
    [{ title: "p", x: "x", lines: [{ name: "promptsrc", title: "P", x: [1], y: [2], band: [[1, 3]] }] }],
    { alt: "" },
  );
  expect(themed(figure, "light")).toBe(figure);
  for (const theme of ["dark", "print"]) {
    const { layout, data } = themed(figure, theme);
    expect(contrast(layout.font?.color as string, layout.paper_bgcolor as string)).toBeGreaterThan(10);
    const plain = (value: unknown) => JSON.stringify(value).replace(/#[0-9a-f]{6}|rgba\([\d,]+/g, "c");
    expect(plain({ layout, data })).toBe(plain({ layout: figure.layout, data: figure.data }));
  }
  expect(JSON.stringify(themed(figure, "dark").data)).toContain("rgba(90,155,230,0.15)");
  expect(() => themed(figure, "drak")).toThrow('Did you mean "dark"?');
  expect(baseLayout("T", 400).paper_bgcolor).toBe("#ffffff"); // the light theme itself stays
});
