/** Reads the settings of a folder of reference numbers, `meta.json` (see test/golden/README.md). */
import { readFileSync } from "node:fs";
import { paper } from "../configs/presets";
import type { Preset } from "../configs/settings";

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
