/** All methods by name, in the order of tables. A new one is a file beside this and a line here. */
import { oneOf } from "../util/errors";
import { clip, clip60, clip80 } from "./clip";
import { cocoop } from "./cocoop";
import { loraGpa, mmaGpa, mmrlGpa, mmrlSrc, tcpSrc } from "./combinations";
import { coop } from "./coop";
import { deptCoop, deptPromptsrc } from "./dept";
import { ivlp, language, vision } from "./ivlp";
import { kgcoop } from "./kgcoop";
import { lora } from "./lora";
import { maple } from "./maple";
import type { Method } from "./method";
import { mma } from "./mma";
import { mmrl } from "./mmrl";
import { probe } from "./probe";
import { proda } from "./proda";
import { prograd } from "./prograd";
import { coopSrc, mapleSrc, promptsrc } from "./promptsrc";
import { tcp } from "./tcp";
import { tip, tipF } from "./tip";

/**
 * All methods by name, in the order of tables. Their names are part of the type, so that a wrong one is a type error.
 */
export const methods = {
  /** Zero-shot CLIP with one sentence. */
  clip,
  /** Zero-shot CLIP with the mean feature of 60 sentences. */
  clip60,
  /** Zero-shot CLIP with the mean feature of 80 sentences. */
  clip80,
  /** Linear probe: logistic regression on the frozen features of the pictures. */
  probe,
  /** CoOp: a learnt context before the class names. */
  coop,
  /** CoCoOp: a context that depends on the picture. */
  cocoop,
  /** KgCoOp: CoOp, kept close to the text features of hand-written prompts. */
  kgcoop,
  /** ProGrad: CoOp, whose gradient may not contradict zero-shot CLIP. */
  prograd,
  /** ProDA: a distribution of contexts. */
  proda,
  /** Deep prompts in the text encoder alone. */
  language,
  /** Deep prompts in the image encoder alone. */
  vision,
  /** MaPLe: deep prompts of the text encoder, from which those of the image encoder are computed. */
  maple,
  /** IVLP: independent deep prompts in both encoders, PromptSRC without its regularisers. */
  ivlp,
  /** PromptSRC: IVLP with the three regularisers. */
  promptsrc,
  /** CoOp's context with PromptSRC's regularisers (not published). */
  "coop-src": coopSrc,
  /** MaPLe's prompts with PromptSRC's regularisers (not published). */
  "maple-src": mapleSrc,
  /** Tip-Adapter: a cache of the training pictures' features beside zero-shot CLIP, without training. */
  "tip-adapter": tip,
  /** Tip-Adapter-F: Tip-Adapter, whose keys are trained. */
  "tip-adapter-f": tipF,
  /** TCP: prompts in the text encoder's upper blocks, computed from the frozen text features of each class. */
  tcp,
  /** MMA: adapters in the upper blocks of both encoders that share their inner projection. */
  mma,
  /** DePT around CoOp: a second head of its own channel for the trained classes. */
  "dept-coop": deptCoop,
  /** DePT around PromptSRC (not published). */
  "dept-promptsrc": deptPromptsrc,
  /** MMRL: representation tokens of a space that both encoders share, read by a second head. */
  mmrl,
  /** CLIP-LoRA: low-rank changes of the attention weights of both encoders. */
  "clip-lora": lora,
  /** TCP with PromptSRC's regularisers (not published). */
  "tcp-src": tcpSrc,
  /** MMRL with PromptSRC's regularisers (not published). */
  "mmrl-src": mmrlSrc,
  /** MMRL with the Gaussian-weighted mean of its epochs (not published). */
  "mmrl-gpa": mmrlGpa,
  /** MMA with the Gaussian-weighted mean of its epochs (not published). */
  "mma-gpa": mmaGpa,
  /** CLIP-LoRA with the Gaussian-weighted mean of its epochs (not published). */
  "clip-lora-gpa": loraGpa,
} satisfies Record<string, Method>;

/** The method of a name from outside. @throws UsageError with similar names, and all */
export const methodNamed = (name: string): Method => {
  const known: Record<string, Method> = methods;
  return known[oneOf("method", name, Object.keys(known))];
};
