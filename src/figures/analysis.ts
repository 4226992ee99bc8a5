/**
 * Figures of what happens during prompt learning: angles between prompted and frozen features, loss terms, GPA's
 * weights of the epochs, attention to the prompts.
 */

import type { Angles } from "../analysis/diagnostics";
import type { Labelled } from "../results/table";
import { type Line, linesFigure } from "./lines";
import type { Figure } from "./style";

const upTo = (count: number, from = 1): number[] => Array.from({ length: count }, (_, k) => k + from);
const last = <T>(list: T[]): T => list[list.length - 1];

/** Angles before training and after every epoch, on base and on novel classes. */
export function anglesFigure(measured: { method: Labelled; base: Angles[]; novel: Angles[] }[]): Figure {
  const lines = (key: keyof Angles): Line[] =>
    measured.flatMap(({ method, base, novel }) =>
      [base, novel].map(
        (angles, k): Line => ({
          name: method.name,
          title: `${method.title}, ${k === 0 ? "base" : "novel"}`,
          x: upTo(angles.length, 0),
          y: angles.map((angle) => angle[key]),
          dash: k === 0 ? "solid" : "dot",
        }),
      ),
    );
  const summaries = measured.map(
    ({ method, base, novel }) =>
      `${method.title}: pictures ${last(base).image.toFixed(1)} (novel ${last(novel).image.toFixed(1)}), ` +
      `names ${last(base).text.toFixed(1)} (${last(novel).text.toFixed(1)})`,
  );
  return linesFigure(
    "How far prompted features leave the frozen ones",
    "angles",
    [
      {
        title: "<b>Pictures</b>, mean angle",
        x: "epoch",
        unit: "\u00b0",
        digits: 1,
        lines: lines("image"),
        fromZero: true,
      },
      {
        title: "<b>Class names</b>, mean angle",
        x: "epoch",
        unit: "\u00b0",
        digits: 1,
        lines: lines("text"),
        fromZero: true,
      },
    ],
    { alt: `Mean angle in degrees between prompted and frozen features, at the end. ${summaries.join("; ")}` },
  );
}

const termTitles: Record<string, string> = {
  ce: "<b>Cross-entropy</b>",
  scl_text: "<b>Text</b> term",
  scl_image: "<b>Image</b> term",
  scl_logits: "<b>Logits</b> term",
};

/** The terms of PromptSRC's loss on one batch, before training and after every epoch of each method. */
export function termsFigure(measured: { method: Labelled; terms: Record<string, number>[] }[]): Figure {
  const panels = Object.entries(termTitles).map(([key, title]) => ({
    title,
    x: "epoch",
    digits: 3,
    fromZero: true,
    lines: measured.map(
      ({ method, terms }): Line => ({ ...method, x: upTo(terms.length, 0), y: terms.map((t) => t[key]), plain: true }),
    ),
  }));
  const summaries = measured.map(
    ({ method, terms }) =>
      `${method.title} ${Object.keys(termTitles)
        .map((key) => last(terms)[key].toFixed(3))
        .join(" / ")}`,
  );
  return linesFigure("PromptSRC's loss on one batch, with its weights", "terms", panels, {
    height: 330,
    alt: `Cross-entropy, text, image and logits term at the end: ${summaries.join("; ")}`,
  });
}

/**
 * Left: the weights that each of `ensembles` gives to the epochs. Right: the distance of each epoch's prompts from the
 * result, relative to that of the initial prompts.
 */
export function gpaFigure(
  ensembles: { title: string; colour: string; weights: number[] }[],
  method: Labelled,
  distances: number[],
): Figure {
  const lines = ensembles.map(
    ({ title, colour, weights }): Line => ({ name: title, title, colour, x: upTo(weights.length), y: weights }),
  );
  const path: Line = { ...method, title: `${method.title}'s prompts`, x: upTo(distances.length, 0), y: distances };
  const nearest = distances.indexOf(Math.min(...distances));
  return linesFigure(
    "Gaussian-weighted prompt aggregation",
    "ensemble",
    [
      { title: "<b>Weight</b> of each epoch", x: "epoch", digits: 3, lines, fromZero: true },
      { title: "<b>Distance</b> to the result (start: 1)", x: "epoch", digits: 3, lines: [path], fromZero: true },
    ],
    { alt: `Weights of the epochs; the prompts of epoch ${nearest} are nearest to the weighted average` },
  );
}

/** Share of the attention that goes to the prompts in each block of both towers. */
export function attentionFigure(
  measured: { method: Labelled; dash?: Line["dash"]; image?: number[]; text: number[] }[],
): Figure {
  const lines = (key: "image" | "text"): Line[] =>
    measured.flatMap(({ method, dash, ...shares }) => {
      const y = shares[key]?.map((share) => 100 * share);
      return y ? [{ ...method, dash, x: upTo(y.length), y }] : [];
    });
  const blockTicks = (drawn: Line[]) => drawn[0]?.x;
  const [image, text] = [lines("image"), lines("text")];
  const summaries = measured.map(
    ({ method, text }) => `${method.title} ${text.map((share) => (100 * share).toFixed(0)).join(" / ")} %`,
  );
  return linesFigure(
    "Attention that goes to the prompts",
    "attention",
    [
      {
        title: "<b>Image</b>: of CLS, to the prompts",
        x: "block",
        unit: " %",
        digits: 1,
        lines: image,
        ticks: blockTicks(image),
        fromZero: true,
      },
      {
        title: "<b>Text</b>: of the end token, to the context",
        x: "block",
        unit: " %",
        digits: 1,
        lines: text,
        ticks: blockTicks(text),
        fromZero: true,
      },
    ],
    {
      height: 370,
      alt: `Share of the end token's attention that goes to the context, by block: ${summaries.join("; ")}`,
    },
  );
}
