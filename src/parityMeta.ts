/** The settings of a reference folder, `meta.json` (see test/golden/README.md). */
import { readFileSync } from "node:fs";
import type { Config } from "./methods/config";
import { paper } from "./methods/config";

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

/** @throws naming the file and the key that is missing. */
export function readMeta(path: string): Meta {
  const meta = JSON.parse(readFileSync(path, "utf8"));
  for (const key of ["classes", "templates", "init", "depth", "nctx", "batch", "epochs", "steps", "lr", "sgd"]) {
    if (meta?.[key] === undefined) throw new Error(`${path} lacks "${key}"`);
  }
  return meta;
}

/** The same settings as the kit's own configuration. @param depth J, which a file may have of its own (`ivlp_depth3`). */
export function configOf(meta: Meta, depth = meta.depth): Config {
  return {
    ...paper.baseToNovel,
    tokens: { text: meta.nctx, image: meta.nctx },
    depth: { text: depth, image: depth },
    init: meta.init,
    epochs: meta.epochs,
    batch: meta.batch,
    lr: meta.lr,
    warmup: { epochs: meta.sgd.warmup_epochs, lr: meta.sgd.warmup_lr },
    momentum: meta.sgd.momentum,
    weightDecay: meta.sgd.weight_decay,
    weights: meta.scl ?? paper.baseToNovel.weights,
    gpa: null,
    templates: meta.templates,
    zeroshot: meta.templates.slice(0, 1),
  };
}
