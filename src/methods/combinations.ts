/**
 * Combinations that nobody has published: PromptSRC's objective on the hosts of later methods, and GPA over parameters
 * that are no prompts. They are spreads of what the methods' own files define.
 */
import { z } from "zod";
import { adamOptimisation, ensemble } from "../configs/settings";
import { lora } from "./lora";
import type { Method } from "./method";
import { mma } from "./mma";
import { mmrl, mmrlHost } from "./mmrl";
import { promptLearner } from "./promptLearner";
import { selfRegulated } from "./promptsrc";
import { tcp, tcpHost } from "./tcp";

const objectiveOf = "Not published: PromptSRC's objective (muzairkhattak/PromptSRC trainers/promptsrc.py)";

export const tcpSrc = promptLearner(
  {
    name: "tcp-src",
    title: "TCP + SRC",
    source: `${objectiveOf} on TCP's context`,
    optimisation: adamOptimisation("adam", 1e-3),
    paper: (benchmark, template) => ({ ...tcp.paper?.(benchmark, template), ensemble: null }),
    embedded: tcp.embedded,
  },
  tcpHost,
  selfRegulated,
);

export const mmrlSrc = promptLearner(
  {
    name: "mmrl-src",
    title: "MMRL + SRC",
    source: `${objectiveOf} on MMRL's tokens`,
    optimisation: adamOptimisation("adamw"),
    paper: (benchmark, template) => ({ ...mmrl.paper?.(benchmark, template), ensemble: null }),
    embedded: mmrl.embedded,
  },
  mmrlHost,
  selfRegulated,
);

/**
 * A method whose result is the Gaussian-weighted aggregate of the epochs; mean and standard deviation are PromptSRC's 15
 * and 1 of 20 epochs, in proportion to the method's own epochs.
 */
const withGpa = (method: Method): Method => {
  const proportional = (settings: { epochs?: number } = {}) => {
    const { epochs = 20 } = settings;
    return { ...settings, ensemble: { mean: (15 / 20) * epochs, std: epochs / 20 } };
  };
  return {
    ...method,
    name: `${method.name}-gpa`,
    title: `${method.title} + GPA`,
    source: `Not published: PromptSRC's aggregation over the epochs (arXiv 2307.06948, section 3.2.2) of ${method.title}`,
    trainedAs: method.name,
    testing: z.object({ ensemble }),
    paper: (benchmark, template) => proportional(method.paper?.(benchmark, template)),
    embedded: (benchmark, template) => proportional(method.embedded?.(benchmark, template)),
  };
};

export const [mmrlGpa, mmaGpa, loraGpa] = [mmrl, mma, lora].map(withGpa);
