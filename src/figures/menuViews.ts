/** The views of a figure with a menu: what it shows after each of its choices, as figures without the menu. */
import type { Figure } from "./style";

type Properties = Record<string, unknown>;
type Button = { label?: string; method?: string; args?: [Properties?, Properties?, number[]?] };

/** A copy of a record in which a property is another value; the path is Plotly's, such as `annotations[0].text`. */
function withProperty(record: Properties, path: string, value: unknown): Properties {
  const set = (node: unknown, [key, ...rest]: string[]): unknown => {
    const copy = (Array.isArray(node) ? [...node] : { ...(node as Properties) }) as Properties;
    copy[key] = rest.length > 0 ? set(copy[key], rest) : value;
    return copy;
  };
  return set(
    record,
    path.split(/[.[\]]+/).filter((key) => key !== ""),
  ) as Properties;
}

/** The figure after a click on a button with `update`, `restyle` or `relayout`. */
function clicked(figure: Figure, { method, args = [] }: Button): Figure {
  const [first = {}, second = {}, chosen] = args;
  const [restyle, relayout] = method === "relayout" ? [{}, first] : [first, method === "update" ? second : {}];
  const traces = chosen ?? (method === "restyle" ? (second as unknown as number[] | undefined) : undefined);
  const indices = Array.isArray(traces) ? traces : figure.data.map((_, k) => k);
  const data = figure.data.map((trace, k) => {
    const at = indices.indexOf(k);
    if (at < 0) return trace;
    // A list holds a value for each of the traces, from the first again where it is shorter.
    return Object.entries(restyle).reduce(
      (changed, [path, value]) => withProperty(changed, path, Array.isArray(value) ? value[at % value.length] : value),
      trace as unknown as Properties,
    );
  });
  const layout = Object.entries(relayout).reduce(
    (changed, [path, value]) => withProperty(changed, path, value),
    figure.layout as unknown as Properties,
  );
  return { ...figure, data, layout } as unknown as Figure;
}

/** What a figure can show: the views of its menu, by their labels; without a menu the figure itself. */
export function menuViews(figure: Figure): { label?: string; figure: Figure }[] {
  const menus = (figure.layout as { updatemenus?: { buttons?: Button[] }[] }).updatemenus ?? [];
  const buttons = menus.flatMap((menu) => menu.buttons ?? []);
  if (buttons.length === 0) return [{ figure }];
  return buttons.map((button) => ({ label: button.label, figure: clicked(figure, button) }));
}
