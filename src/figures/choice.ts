/**
 * Combines several figures into one with a menu, such as our numbers and the paper's, or one figure for each dataset.
 */
import type { Data, Layout } from "plotly.js-dist-min";
import type { Figure } from "./style";
import { menu } from "./views";

/**
 * The first figure is the one shown initially, and the one that a saved file shows. Menus of the figures themselves give
 * way to that of the choice, which stays at the top right also where the figures have different heights.
 */
export function choiceFigure(choices: { label: string; figure: Figure }[]): Figure {
  if (choices.length === 0) throw new Error("the list of figures is empty: there is nothing to choose from");
  const [{ figure: first }] = choices;
  const keys = [...new Set(choices.flatMap(({ figure }) => Object.keys(figure.layout)))].filter(
    (key) => key !== "updatemenus",
  );
  const buttons = choices.map(({ label, figure }, chosen) => ({
    label,
    method: "update",
    args: [
      { visible: choices.flatMap(({ figure }, k) => figure.data.map(() => k === chosen)) },
      {
        ...Object.fromEntries(keys.map((key) => [key, (figure.layout as Record<string, unknown>)[key] ?? null])),
        "updatemenus[0].y": menuHeight(figure),
      },
    ],
  }));
  const data = choices.flatMap(({ figure }, k) => figure.data.map((trace) => ({ ...trace, visible: k === 0 }) as Data));
  return {
    ...first,
    data,
    layout: { ...first.layout, ...menu(buttons, menuHeight(first)) } as Partial<Layout>,
  };
}

/** Where the menu stands, in heights of the plot: 8 pixels below the top of the figure. */
const menuHeight = ({ layout: { height = 400, margin } }: Figure): number => {
  const [top, bottom] = [margin?.t ?? 0, margin?.b ?? 0];
  return 1 + (top - 8) / (height - top - bottom);
};
