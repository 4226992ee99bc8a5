/** Reads the settings of a folder of reference numbers, `meta.json` (see test/golden/README.md). */
import { readFileSync } from "node:fs";
import { paper } from "../configs/presets";
import type { Preset } from "../configs/settings";
import type { Settings } from "../methods/method";

export type Meta = {
  classes: string[];
  templates: string[];
  init: string;
  depth: number;
  nctx: number;
  batch: number;
  epochs: number;
  steps: number;
  lr: number;
  gpa_mean: number;
  gpa_std: number;
  sgd: { momentum: number; weight_decay: number; warmup_lr: number; warmup_epochs: number };
  scl: { text: number; image: number; logits: number };
};

/** Settings of a run. A method uses only those settings that it has. */
export type RunSettings = Preset & { coop?: { position: "end" | "middle" | "front"; classSpecific: boolean } };

/**
 * The settings file beside the reference numbers of a method, `<label>.json`: some keys are common (epochs, steps,
 * batch, and `optimiser` and `text` in words), the others are the method's own.
 */
export type MethodFile = { epochs: number; steps: number; batch: number; optimiser: string; text: string } & Record<
  string,
  any
>;

/** The settings of the methods that have a settings file, from its own keys. */
const ownSettings: Record<string, (file: MethodFile) => Settings> = {
  tcp: (file) => ({
    tokens: { text: file["context tokens"] },
    tcp: { block: file["block (from 0) before which the context is replaced"] },
    kgcoop: { weight: file.weight },
  }),
  "clip-lora": ({ rank, alpha, dropout }) => ({ lora: { rank, alpha, dropout } }),
  mmrl: (file) => ({
    mmrl: {
      tokens: file.rep_tokens,
      width: file.rep_dim,
      blocks: { from: Math.min(...file["layers (from 1)"]), to: Math.max(...file["layers (from 1)"]) },
      share: file.alpha,
    },
    regularisation: file.reg,
  }),
  mma: (file) => {
    const [from, to] = file["adapters before the sum of block i (from 1)"];
    return { mma: { width: file.dim, scale: file.scale, blocks: { from, to } } };
  },
  "dept-coop": (file) => ({ dept: { share: file.weight, rate: 1 } }),
};

/** What the words of `optimiser` say, such as "AdamW, betas .9 .999, eps 1e-8, decoupled weight decay 5e-4, lr .01". */
function optimiserOf(words: string, epochs: number): Settings {
  const number = (pattern: RegExp): number | undefined => {
    const found = pattern.exec(words)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const first = number(/first epoch at ([\d.e-]+)/);
  return {
    epochs,
    lr: number(/\blr ([\d.e-]+)/),
    minimumLr: number(/by step to ([\d.e-]+)/),
    warmup: { epochs: first === undefined ? 0 : 1, lr: first ?? 1e-5, recount: false },
    weightDecay: number(/(?:L2|weight decay) ([\d.e-]+)/),
    momentum: number(/SGD ([\d.]+)/),
    adam: /^Adam/.test(words) ? { decoupled: /^AdamW/.test(words), epsilon: number(/eps ([\d.e-]+)/) } : undefined,
  };
}

/** The method and the settings of a run from the file beside its reference numbers. */
export function runOfFile(label: string, file: MethodFile, meta: Meta): { method: string; config: RunSettings } {
  const method = label.replaceAll("_", "-");
  const [sentence] = file.text.split(";")[0].split("\n");
  const frozen = /frozen: (.*)$/.exec(file.text)?.[1] ?? sentence.trim();
  const own = ownSettings[method]?.(file) ?? {};
  const config = { ...presetOfCase(meta), contextInit: "", zeroShotTemplates: [frozen], batch: file.batch };
  return { method, config: { ...config, ...optimiserOf(file.optimiser, file.epochs), ...own } };
}

/** @throws if a key is missing; the message names the file and the key */
export function readMeta(path: string): Meta {
  const meta = JSON.parse(readFileSync(path, "utf8"));
  for (const key of ["classes", "templates", "init", "depth", "nctx", "batch", "epochs", "steps", "lr", "sgd"]) {
    if (meta?.[key] === undefined) throw new Error(`${path} lacks "${key}"`);
  }
  return meta;
}

/**
 * The method to which a file of reference numbers belongs, and the settings of its run.
 * @param label the file's name without extension, which may include settings: `ivlp_depth3`, `coop_middle_csc`
 * @param contextTokens the number of context tokens, if it differs from that in `meta`
 */
export function runOf(label: string, meta: Meta, contextTokens = meta.nctx): { method: string; config: RunSettings } {
  const base = { ...presetOfCase(meta), tokens: { text: contextTokens, image: contextTokens } };
  const depth = /^(.+)_depth(\d+)$/.exec(label);
  if (depth)
    return { method: depth[1], config: { ...base, depth: { text: Number(depth[2]), image: Number(depth[2]) } } };
  const coop = /^coop_(end|middle|front)(_csc)?$/.exec(label);
  if (!coop) return { method: label, config: base };
  const position = coop[1] as "end" | "middle" | "front";
  return {
    method: "coop",
    config: { ...base, contextInit: "", coop: { position, classSpecific: coop[2] !== undefined } },
  };
}

/** Converts the settings of `meta.json` to a preset of the kit. */
function presetOfCase(meta: Meta): Preset {
  return {
    ...paper.baseToNovel,
    tokens: { text: meta.nctx, image: meta.nctx },
    depth: { text: meta.depth, image: meta.depth },
    contextInit: meta.init,
    epochs: meta.epochs,
    batch: meta.batch,
    lr: meta.lr,
    warmup: { epochs: meta.sgd.warmup_epochs, lr: meta.sgd.warmup_lr },
    momentum: meta.sgd.momentum,
    weightDecay: meta.sgd.weight_decay,
    lossWeights: meta.scl ?? paper.baseToNovel.lossWeights,
    ensemble: null,
    textTargetTemplates: meta.templates,
    zeroShotTemplates: meta.templates.slice(0, 1),
  };
}
